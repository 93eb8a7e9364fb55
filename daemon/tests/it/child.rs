//! A process of its own for what there is once in each: signals, logs, traces. It is this test binary, started again.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStderr, Command};
use tokio::time::timeout;

/// The longest that any wait in these tests may last; far more than is needed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Says to a test that it is the child.
const ROLE: &str = "DAEMON_TEST_ROLE";

/// Whether this process is the child of `test`.
pub(crate) fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// A child, and what it said on standard error until now.
pub(crate) struct Child {
    process: Process,
    stderr: Lines<BufReader<ChildStderr>>,
    pub(crate) said: String,
}

impl Child {
    /// Runs the test of this name, as in `shutdown::the_first_signal…`, in a process with these variables.
    pub(crate) fn of(test: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env_clear().env(ROLE, "child");
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        Self { process, stderr, said: String::new() }
    }

    /// Waits for a line with `text`.
    pub(crate) async fn says(&mut self, text: &str) {
        let found = timeout(PATIENCE, async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                let found = line.contains(text);
                self.said += &(line + "\n");
                if found {
                    return true;
                }
            }
            false
        });
        assert_eq!(found.await, Ok(true), "no line has `{text}`:\n{}", self.said);
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([format!("-{name}"), id]).status().unwrap().success());
    }

    /// Waits until it ends well; what it said.
    pub(crate) async fn ended(mut self) -> String {
        let status = timeout(PATIENCE, async {
            self.stderr.get_mut().read_to_string(&mut self.said).await.unwrap();
            self.process.wait().await.unwrap()
        });
        let status = status.await.unwrap_or_else(|_| panic!("it does not end; it said:\n{}", self.said));
        assert!(status.success(), "{status}; it said:\n{}", self.said);
        self.said
    }
}
