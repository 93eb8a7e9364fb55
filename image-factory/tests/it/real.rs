//! The program against registries and clients that no one here wrote. What is not on this machine is skipped, aloud.

mod copy;
mod doctor;
mod layouts;
mod mirror;
mod outside;
mod page;
mod platforms;
mod server;
mod skopeo;
mod terminal;

use std::io::Write;

/// Says why the running test does not run; the test then returns.
#[expect(clippy::explicit_write, reason = "`eprintln!` is captured, and the runner counts these lines")]
fn skip(why: &str) {
    let test = std::thread::current();
    writeln!(std::io::stderr(), "SKIPPED {}: {why}", test.name().unwrap_or("a test")).unwrap();
}
