//! A folder with a job file and data, and the program run in it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// The longest that any wait in these tests may last; far more than is needed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A place to run the program in; everything in it goes with the test.
pub(crate) struct Workshop {
    folder: TempDir,
}

/// What the program left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes `job.yaml`.
    pub(crate) fn job(&self, text: &str) -> &Self {
        self.write("job.yaml", text);
        self
    }

    /// The program with these arguments, in this folder, with no credentials but those of the test.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-factory"));
        command.args(args).current_dir(self.path()).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.env("HOME", self.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("IMAGE_FACTORY_DATA", self.path().join("data"));
        command
    }

    /// Runs the program to its end.
    pub(crate) async fn program(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().await.unwrap();
        Ended {
            code: code(output.status),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same on a disk where no file can grow beyond `bytes`.
    pub(crate) fn start_with_room_for(&self, bytes: u64, args: &[&str]) -> Child {
        let program = self.command(args);
        // The limit comes with a signal that would kill; without it writes fail, as on a full disk.
        let script = r#"trap '' XFSZ; limit=$1; shift; exec prlimit --fsize="$limit":unlimited "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", &bytes.to_string()]).arg(program.as_std().get_program()).args(args);
        command.current_dir(self.path()).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.envs(program.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// From now on no file can grow any more.
    pub(crate) fn leave_no_room(&self, child: &Child) {
        shell(&format!("prlimit --pid {} --fsize=0:unlimited", child.id().unwrap()));
    }

    /// Listens to a running program.
    pub(crate) fn watch(&self, mut child: Child) -> Running {
        let stdout = child.stdout.take().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, stdout, stderr, said: String::new() }
    }

    /// Runs `job.yaml`, with short delays between tries.
    pub(crate) async fn run(&self) -> Ended {
        self.program(&RUN).await
    }

    /// The report of the newest run.
    pub(crate) async fn report(&self) -> Value {
        let report = self.program(&["report", "--json"]).await;
        assert_eq!(report.code, 0, "{}", report.stderr);
        serde_json::from_str(&report.stdout).unwrap()
    }
}

/// A program that runs, and what it said on standard error until now.
pub(crate) struct Running {
    child: Child,
    stdout: ChildStdout,
    stderr: Lines<BufReader<ChildStderr>>,
    said: String,
}

impl Running {
    /// Waits for a line with `text` on standard error.
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

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        let ended = timeout(PATIENCE, async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                self.said += &(line + "\n");
            }
            let mut stdout = String::new();
            self.stdout.read_to_string(&mut stdout).await.unwrap();
            (self.child.wait().await.unwrap(), stdout)
        });
        let Ok((status, stdout)) = ended.await else { panic!("it does not end; it said:\n{}", self.said) };
        Ended { code: code(status), stdout, stderr: self.said }
    }
}

/// What `work` gives; fails the test if it takes too long.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("what the test waits for never came")
}

/// Sends a signal, such as `INT`, to a program.
pub(crate) fn signal(child: &Child, name: &str) {
    shell(&format!("kill -{name} {}", child.id().unwrap()));
}

fn shell(script: &str) {
    assert!(std::process::Command::new("sh").args(["-c", script]).status().unwrap().success(), "{script}");
}

/// Runs `job.yaml` with a patience fit for tests.
pub(crate) const RUN: [&str; 5] =
    ["run", "job.yaml", "--retry-after=50ms,100ms", "--repeat-after=20ms", "--stall-timeout=1s"];

impl Ended {
    /// Fails the test unless the program ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("ended by {status}"))
}

/// The totals of a report that are not zero, as in `3 pushed, 1 failed`.
pub(crate) fn totals(report: &Value) -> String {
    let keys = ["up_to_date", "pushed", "postponed", "cancelled", "failed", "unlisted"];
    let count = |key: &&str| report["totals"][*key].as_u64().unwrap();
    let parts: Vec<_> = keys.iter().filter(|key| count(key) > 0).map(|key| format!("{} {key}", count(key))).collect();
    parts.join(", ")
}

/// The failure codes of a report, each as `source → code`.
pub(crate) fn failures(report: &Value) -> Vec<String> {
    let images = report["images"].as_array().unwrap().iter().flat_map(|image| {
        let source = image["source"].as_str().unwrap();
        let destinations = image["destinations"].as_array().unwrap().iter();
        destinations.filter_map(move |d| Some(format!("{source} → {}", d["failure"]["code"].as_str()?)))
    });
    let unlisted = report["unlisted"].as_array().unwrap().iter().map(|line| {
        format!("{} → {}", line["repository"].as_str().unwrap(), line["failure"]["code"].as_str().unwrap())
    });
    images.chain(unlisted).collect()
}

/// Says that a test cannot run here; the runner counts these lines.
#[expect(clippy::explicit_write, reason = "`eprintln!` is captured")]
pub(crate) fn skip(test: &str, why: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").unwrap();
}
