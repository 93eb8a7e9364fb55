//! What a tracked file must look like, so that documents do not lie and code stays easy to read.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

mod documents;
mod rust;
mod words;

/// A tracked file.
struct File {
    /// Relative to the top of the repository, with `/` between its parts.
    path: String,
    /// Empty if the file is no UTF-8 text.
    text: String,
}

/// Everything untidy in the tracked files, each as `path:line: what`.
///
/// # Errors
/// If git cannot list the files, or one cannot be read.
pub(crate) fn findings(root: &Path) -> Result<Vec<String>> {
    let files = read(root)?;
    let paths = with_folders(&files);
    let mut findings = Vec::new();
    for file in &files {
        words::check(file, &mut findings);
        if file.path.ends_with(".rs") {
            rust::check(file, &mut findings);
        }
        if file.path.ends_with(".md") {
            documents::check(file, &paths, &mut findings);
        }
    }
    documents::check_map(&files, &mut findings);
    Ok(findings)
}

fn read(root: &Path) -> Result<Vec<File>> {
    let list = Command::new("git")
        // CI may run as another user than the owner of the checkout; git refuses that without this.
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root)
        .output()
        .context("run `git ls-files`")?;
    ensure!(list.status.success(), "`git ls-files` failed: {}", String::from_utf8_lossy(&list.stderr));
    let mut files = Vec::new();
    for path in String::from_utf8(list.stdout)?.split_terminator('\0') {
        let place = root.join(path);
        if !place.exists() {
            continue; // Deleted, not yet committed.
        }
        let bytes = std::fs::read(&place).with_context(|| format!("read `{path}`"))?;
        files.push(File { path: path.to_owned(), text: String::from_utf8(bytes).unwrap_or_default() });
    }
    Ok(files)
}

/// The paths of all files and of all folders above them.
fn with_folders(files: &[File]) -> BTreeSet<&str> {
    let ends = |path: &str| path.match_indices('/').map(|(end, _)| end).chain([path.len()]).collect::<Vec<_>>();
    files.iter().flat_map(|file| ends(&file.path).into_iter().map(|end| &file.path[..end])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let findings = findings(crate::root()).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn a_file_brings_the_folders_above_it() {
        let files = [File { path: "proto/src/lib.rs".to_owned(), text: String::new() }];
        assert_eq!(with_folders(&files), BTreeSet::from(["proto", "proto/src", "proto/src/lib.rs"]));
    }
}
