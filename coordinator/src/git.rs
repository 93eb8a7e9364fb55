//! Which commit a job file is of.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jobfile::FileDigest;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a program may take to print something: longer, and the disk does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The commit of the work tree that the job file lies in, with `-dirty` if it or a file that it names is not as it is
/// there; none if there is no work tree, or no Git.
pub async fn commit_of(path: &Path, files: &[FileDigest]) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let commit = head(folder).await?;
    let status = ["status", "--porcelain", "--ignored", "--"].map(OsStr::new);
    let files = files.iter().map(|file| Path::new(&file.path));
    // Files elsewhere are in no commit of this work tree.
    let here = files.filter(|file| file.is_relative() && !file.starts_with("..")).map(Path::as_os_str);
    let changes = git(folder, &status.into_iter().chain(here).collect::<Vec<_>>()).await;
    Some(if changes.as_deref() == Some("") { commit } else { format!("{commit}-dirty") })
}

/// The commit of the work tree that the folder lies in; none if there is no work tree, or no Git.
pub(crate) async fn head(folder: &Path) -> Option<String> {
    git(folder, &["rev-parse".as_ref(), "HEAD".as_ref()]).await.filter(|commit| !commit.is_empty())
}

async fn git(folder: &Path, args: &[&OsStr]) -> Option<String> {
    output_of(Command::new("git").arg("-C").arg(folder).args(args)).await
}

/// What a program prints, trimmed; none if it fails, or takes too long.
pub async fn output_of(program: &mut Command) -> Option<String> {
    let output = timeout(PATIENCE, program.stdin(Stdio::null()).kill_on_drop(true).output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().to_owned())
}
