//! What one command took: time, memory, and what it asked of the registries on both of its sides.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::server::Counts;

/// By its path, since shells have a word of this name.
const TIME: &str = "/usr/bin/time";

/// One run of a command.
pub(crate) struct Sample {
    pub(crate) usage: Usage,
    pub(crate) source: Counts,
    pub(crate) destination: Counts,
}

/// What a process took of the machine.
#[derive(Debug, PartialEq)]
pub(crate) struct Usage {
    /// From its start to its end.
    pub(crate) seconds: f64,
    /// Of all cores, in user and in system mode.
    pub(crate) cpu_seconds: f64,
    /// Maximum resident set.
    pub(crate) peak_mib: f64,
}

/// Runs a command under GNU time, which writes to `file`; the end of what it said if it failed.
pub(crate) fn timed(command: &Command, file: &Path) -> Result<Result<Usage, String>> {
    ensure!(Path::new(TIME).exists(), "GNU time is not here; `deploy/tools.sh bench` gets it");
    let mut time = Command::new(TIME);
    time.arg("-o").arg(file).args(["-f", "%M %U %S"]).arg(command.get_program()).args(command.get_args());
    time.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let began = Instant::now();
    let output = time.output().with_context(|| format!("run {command:?}"))?;
    let seconds = began.elapsed().as_secs_f64();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = said.lines().rev().take(5).collect();
        return Ok(Err(lines.into_iter().rev().collect::<Vec<_>>().join("\n")));
    }
    let text = std::fs::read_to_string(file).context("read what GNU time wrote")?;
    Ok(Ok(usage(seconds, &text)?))
}

/// Reads `%M %U %S` of GNU time: KiB, and seconds in user and in system mode.
fn usage(seconds: f64, text: &str) -> Result<Usage> {
    let numbers: Vec<f64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [kib, user, system] = numbers[..] else { anyhow::bail!("GNU time wrote `{}`", text.trim()) };
    Ok(Usage { seconds, cpu_seconds: user + system, peak_mib: kib / 1024.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gnu_time_writes_is_read() {
        let expected = Usage { seconds: 2.0, cpu_seconds: 1.5, peak_mib: 2.0 };
        assert_eq!(usage(2.0, "2048 1.25 0.25\n").unwrap(), expected);
        let refused = usage(2.0, "Command terminated by signal 9\n").unwrap_err();
        assert_eq!(refused.to_string(), "GNU time wrote `Command terminated by signal 9`");
    }
}
