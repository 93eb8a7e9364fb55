//! The servers that the suites run on come back as they were, and leave nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use backends::conformance::server::{Kind, Server};

#[test]
fn a_server_that_is_killed_comes_back_with_what_it_kept_and_one_that_is_wiped_without() {
    let Some(mut server) = Server::start(Kind::Redis) else { return };
    assert_eq!(redis(&server, "SET name kept"), "+OK");
    server.kill();
    server.start_again();
    assert_eq!(redis(&server, "STRLEN name"), ":4");
    server.kill();
    server.wipe();
    server.start_again();
    assert_eq!(redis(&server, "STRLEN name"), ":0");
}

/// The first line of an answer, by Redis' inline commands.
pub(crate) fn redis(server: &Server, command: &str) -> String {
    let mut connection = TcpStream::connect(&server.address).unwrap();
    write!(connection, "AUTH secret\r\n{command}\r\nQUIT\r\n").unwrap();
    let mut answers = String::new();
    connection.read_to_string(&mut answers).unwrap();
    answers.lines().nth(1).unwrap_or_default().to_owned()
}
