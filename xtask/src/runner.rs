//! Runs all tests and counts them: what passed, what failed, and what was skipped for want of something.
//!
//! libtest cannot skip at run time. A test that cannot run here writes one line, `SKIPPED name: reason`, straight to
//! stderr (`writeln!(std::io::stderr(), …)` is not captured) and returns; libtest counts it as passed, we do not.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Runs `cargo test --workspace` with `more` arguments, passes its output through, and closes with the counts.
///
/// Succeeds if at least one test passed and nothing failed: no test, no binary, no build.
///
/// # Errors
/// If cargo cannot be started, or its output cannot be passed through.
pub(crate) fn run(root: &Path, more: &[&str]) -> Result<ExitCode> {
    let started = Instant::now();
    let mut cargo = Command::new("cargo")
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .args(more)
        .current_dir(root)
        .env("CARGO_TERM_QUIET", "false") // Else libtest names no test.
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run `cargo test`")?;
    let stdout = cargo.stdout.take().context("`cargo test` has no stdout")?;
    let stderr = cargo.stderr.take().context("`cargo test` has no stderr")?;
    // Two pipes, read side by side: in a single one a SKIPPED line could end up inside a line of libtest.
    let counts = std::thread::scope(|scope| {
        let errors = scope.spawn(|| pass_through(stderr, std::io::stderr()));
        let mut counts = pass_through(stdout, std::io::stdout())?;
        counts.skipped = errors.join().map_err(|_| std::io::Error::other("the reader of stderr panicked"))??.skipped;
        std::io::Result::Ok(counts)
    })
    .context("pass the output of `cargo test` through")?;
    let status = cargo.wait()?;
    if !status.success() && counts.failed == 0 {
        println!("\n`cargo test` failed, though no test did: {status}");
    }
    print!("{}", closing(&counts, started.elapsed()));
    let good = status.success() && counts.failed == 0 && counts.passed > counts.skipped.len();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Copies `from` to `to` line by line, and counts what it says.
fn pass_through(from: impl Read, mut to: impl Write) -> std::io::Result<Counts> {
    let mut from = BufReader::new(from);
    let mut counts = Counts::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        counts.read_line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(counts)
}

/// What the output of `cargo test` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Test binaries and sets of documentation tests that came to their end.
    binaries: usize,
    /// As libtest counts, so with the skipped ones.
    passed: usize,
    failed: usize,
    /// `name: reason` of each test that said so itself.
    skipped: Vec<String>,
    /// `name: reason` of each test that libtest was told not to run.
    ignored: Vec<String>,
}

impl Counts {
    fn read_line(&mut self, line: &str) {
        if let Some(skipped) = line.strip_prefix("SKIPPED ") {
            self.skipped.push(skipped.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.binaries += 1;
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
        } else if let Some((name, _)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... ignored")) {
            self.ignored.push(format!("{name}: marked as ignored"));
        }
    }
}

/// The number that stands before `word` in a line such as `ok. 3 passed; 0 failed`, else 0.
fn number_before(text: &str, word: &str) -> usize {
    let number = text.split(';').find_map(|part| part.strip_suffix(word)?.rsplit(' ').next()?.parse().ok());
    number.unwrap_or(0)
}

/// The skipped tests, the duration, and the one line that says it all.
fn closing(counts: &Counts, duration: Duration) -> String {
    let skipped: Vec<&String> = counts.skipped.iter().chain(&counts.ignored).collect();
    let mut text = String::new();
    if !skipped.is_empty() {
        text.push_str("\nskipped:\n");
    }
    for line in &skipped {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(&format!("\n{} test binaries in {} s\n", counts.binaries, duration.as_secs()));
    let passed = counts.passed.saturating_sub(counts.skipped.len());
    text.push_str(&format!("tests: {passed} passed, {} failed, {} skipped\n", counts.failed, skipped.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STDOUT: &str = "
running 3 tests
test digest::tests::a_digest_is_read ... ok
test it::skopeo_reads_what_we_wrote ... ok
test digest::tests::a_short_one_is_refused ... FAILED

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
test src/lib.rs - parse (line 3) ... ignored
test src/lib.rs - parse (line 9) ... ok

test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s
";
    const STDERR: &str = "
     Running unittests src/lib.rs (target/debug/deps/proto-0123456789abcdef)
SKIPPED it::skopeo_reads_what_we_wrote: skopeo is not here
error: 1 target failed:
";

    fn read(text: &str) -> Counts {
        pass_through(text.as_bytes(), std::io::sink()).unwrap()
    }

    #[test]
    fn the_output_passes_through_unchanged() {
        let mut out = Vec::new();
        pass_through(&b"one\ntwo \xff\nno end of line"[..], &mut out).unwrap();
        assert_eq!(out, b"one\ntwo \xff\nno end of line");
    }

    #[test]
    fn results_are_summed_over_binaries() {
        let counts = read(STDOUT);
        assert_eq!((counts.binaries, counts.passed, counts.failed), (2, 3, 1));
        assert_eq!(counts.ignored, ["src/lib.rs - parse (line 3): marked as ignored"]);
    }

    #[test]
    fn a_skipped_test_does_not_count_as_passed() {
        let counts = Counts { skipped: read(STDERR).skipped, ..read(STDOUT) };
        let text = closing(&counts, Duration::from_secs(83));
        let expected = "
skipped:
  it::skopeo_reads_what_we_wrote: skopeo is not here
  src/lib.rs - parse (line 3): marked as ignored

2 test binaries in 83 s
tests: 2 passed, 1 failed, 2 skipped
";
        assert_eq!(text, expected);
    }

    #[test]
    fn output_without_tests_counts_none() {
        assert_eq!(read("error: could not compile `proto`\n"), Counts::default());
    }
}
