//! The suite on a real broker, and what holds of RabbitMQ only.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "tests may panic, and tell what they saw")]

mod alarm;
mod counting;
mod cuts;
mod outages;
mod parking;
mod refusals;
mod scene;

use std::sync::Arc;

use backends::Queue;
use backends::conformance::server::{Kind, Server};

backends::queue_suite!(async {
    let server = Server::shared(Kind::RabbitMq)?;
    Some((Arc::new(scene::queue(&server.url())) as Arc<dyn Queue>, ()))
});
