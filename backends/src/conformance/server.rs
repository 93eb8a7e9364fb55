//! Real brokers, databases and ledgers for tests, one process each, by `deploy/backend.sh`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Who gets in, as `deploy/backend.sh` has it.
pub const USER: &str = "robot";
/// The password for that.
pub const PASSWORD: &str = "secret";

/// The exit code of `deploy/backend.sh` for a program that is not on this machine.
const NOT_HERE: i32 = 77;

/// What is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A broker.
    RabbitMq,
    /// A database.
    PostgreSql,
    /// A ledger.
    Redis,
    /// An object store, which forgets all when it is killed.
    S3,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::RabbitMq => "rabbitmq",
            Self::PostgreSql => "postgresql",
            Self::Redis => "redis",
            Self::S3 => "s3",
        }
    }
}

/// A server with all its files in a folder of its own. It ends with the process that started it, or when it is dropped.
pub struct Server {
    kind: Kind,
    tls: bool,
    /// Where it listens, as in `127.0.0.1:21234`; the same after each restart.
    pub address: String,
    folder: TempDir,
    process: Child,
}

impl Server {
    /// Starts one; if it is not on this machine, says that the test is skipped.
    pub fn start(kind: Kind) -> Option<Self> {
        Self::try_start(kind, false).map_err(|why| skip(&why)).ok()
    }

    /// The same, which speaks nothing but TLS, under a certificate of its own authority, see [`Server::file`].
    pub fn start_with_tls(kind: Kind) -> Option<Self> {
        Self::try_start(kind, true).map_err(|why| skip(&why)).ok()
    }

    /// An error says why it is not on this machine.
    fn try_start(kind: Kind, tls: bool) -> Result<Self, String> {
        let folder = TempDir::new().unwrap();
        let (address, process) = spawn(kind, tls, folder.path())?;
        Ok(Self { kind, tls, address, folder, process })
    }

    /// The one that all tests of this process share, each under a name of its own; started with the first.
    pub fn shared(kind: Kind) -> Option<&'static Self> {
        static SHARED: [OnceLock<Result<Server, String>>; 4] = [const { OnceLock::new() }; 4];
        let shared = SHARED[kind as usize].get_or_init(|| Self::try_start(kind, false));
        shared.as_ref().map_err(|why| skip(why)).ok()
    }

    /// Its address as a URL without a name of a database, with user and password.
    pub fn url(&self) -> String {
        let s = if self.tls { "s" } else { "" };
        match self.kind {
            Kind::RabbitMq => format!("amqp{s}://{USER}:{PASSWORD}@{}", self.address),
            Kind::PostgreSql => format!("postgres://{USER}:{PASSWORD}@{}/robot", self.address),
            Kind::Redis => format!("redis{s}://:{PASSWORD}@{}", self.address),
            Kind::S3 => format!("http://{}", self.address),
        }
    }

    /// A file of its folder: `ca.crt`, `client.pem`, `client-key.pem` with TLS.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Stops it in the midst of whatever it does, until [`Server::resume`]: it keeps its connections, and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Kills it with all its processes, and waits until it is gone.
    pub fn kill(&mut self) {
        // Closed only after the server's end: what closes while it lives has its files deleted.
        let stdin = self.process.stdin.take();
        self.signal(Signal::KILL);
        self.process.wait().unwrap();
        drop(stdin);
    }

    /// Starts it again after [`Server::kill`], with what it kept.
    pub fn start_again(&mut self) {
        let (address, process) = spawn(self.kind, self.tls, self.folder.path()).unwrap();
        assert_eq!(address, self.address);
        self.process = process;
    }

    /// Loses what a killed server kept.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    /// Has `rabbitmqctl` do something to the broker.
    pub fn ctl(&self, args: &[&str]) -> String {
        let done = Command::new(self.file("rabbitmqctl")).args(args).output().unwrap();
        assert!(done.status.success(), "rabbitmqctl {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// To the first of its processes, which begins no more then, and to all that it began.
    fn signal(&self, signal: Signal) {
        let first = i32::try_from(self.process.id()).unwrap();
        kill_process(Pid::from_raw(first).unwrap(), signal).unwrap();
        let (mut family, parents) = (vec![first], parents());
        let mut at = 0;
        while let Some(parent) = family.get(at).copied() {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            at += 1;
        }
        for pid in &family[1..] {
            // It may have ended by now.
            let _ = kill_process(Pid::from_raw(*pid).unwrap(), signal);
        }
    }
}

/// All processes, each with its parent.
fn parents() -> Vec<(i32, i32)> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // After the name, which may hold anything, and the state.
        Some((pid, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
    };
    pids.filter_map(parent).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Its address and its process; an error says why it is not on this machine.
fn spawn(kind: Kind, tls: bool, folder: &Path) -> Result<(String, Child), String> {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/backend.sh"));
    command.arg(kind.as_str()).arg(folder).arg("--scratch").args(tls.then_some("--tls"));
    // Its stdin is ours to close: when this process ends, however it does, so does the server.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if let Some(address) = line.trim_end().strip_prefix("address=") {
        return Ok((address.to_owned(), process));
    }
    let mut why = String::new();
    process.stderr.take().unwrap().read_to_string(&mut why).unwrap();
    let status = process.wait().unwrap();
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert_eq!(status.code(), Some(NOT_HERE), "`{}` did not start: {why}{log}", kind.as_str());
    Err(why)
}

fn skip(why: &str) {
    let test = std::thread::current();
    // Not by a macro that libtest captures: whoever counts what was skipped reads it.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED {}: {}", test.name().unwrap_or("a test"), why.trim()).unwrap();
}
