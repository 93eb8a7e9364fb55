//! Markdown: every path of this repository that a document names exists, and the README names every crate.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::File;

/// How a name ends that is a file even without a folder before it.
const SUFFIXES: &[&str] = &[".json", ".lock", ".md", ".rs", ".sh", ".sql", ".toml", ".yaml", ".yml"];

static CODE: LazyLock<Regex> = LazyLock::new(|| pattern(r"`([^`]+)`"));
static LINK: LazyLock<Regex> = LazyLock::new(|| pattern(r"\]\(([^)\s]+)\)|^\[[^\]]+\]:\s+(\S+)"));
static PATH: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[\w.-]+(/[\w.-]+)*/?$"));
/// A line of a code block that explains a folder, as a map of the code does: `proto/   the treaty`.
static MAP_LINE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*([\w.-]+(?:/[\w.-]+)*/)\s\s+\S"));

#[expect(clippy::expect_used, reason = "the patterns stand above, and a test uses each")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

pub(super) fn check(file: &File, paths: &BTreeSet<&str>, findings: &mut Vec<String>) {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut in_block = false;
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let missing: Vec<&str> = if in_block || line.starts_with("    ") {
            captures(&MAP_LINE, line).filter(|path| !exists(paths, folder, path)).collect()
        } else {
            let code = captures(&CODE, line).filter(|code| means_a_path(code, paths, folder));
            let code = code.filter(|path| !exists(paths, folder, path));
            code.chain(captures(&LINK, line).filter(|link| leads_nowhere(link, paths, folder))).collect()
        };
        findings.extend(missing.iter().map(|path| format!("{}:{number}: `{path}` does not exist", file.path)));
    }
}

/// Whether the README names every crate, as `` `name` `` or `name/`.
pub(super) fn check_map(files: &[File], findings: &mut Vec<String>) {
    let Some(readme) = files.iter().find(|file| file.path == "README.md") else {
        findings.push("README.md: does not exist".to_owned());
        return;
    };
    for name in files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml")) {
        let folder = format!("{name}/");
        let in_map = readme.text.split_whitespace().any(|word| word == folder);
        if !in_map && !readme.text.contains(&format!("`{name}`")) && !readme.text.contains(&format!("`{folder}")) {
            findings.push(format!("README.md: does not name the crate `{name}`"));
        }
    }
}

fn captures<'a>(pattern: &'a Regex, line: &'a str) -> impl Iterator<Item = &'a str> {
    pattern.captures_iter(line).filter_map(|found| found.iter().skip(1).flatten().next().map(|group| group.as_str()))
}

/// Whether `code` means a path of ours, rather than an image, a type or a path elsewhere: it begins with something that
/// is here, or is a Rust file in a folder.
fn means_a_path(code: &str, paths: &BTreeSet<&str>, folder: &str) -> bool {
    let first = code.split('/').next().unwrap_or_default();
    let in_folder = code.contains('/');
    let is_file = SUFFIXES.iter().any(|suffix| code.ends_with(suffix));
    let ours = (in_folder || is_file) && exists(paths, folder, first);
    PATH.is_match(code) && (ours || in_folder && code.ends_with(".rs"))
}

fn leads_nowhere(link: &str, paths: &BTreeSet<&str>, folder: &str) -> bool {
    let path = link.split('#').next().unwrap_or_default();
    !path.is_empty() && !path.contains(':') && !paths.contains(joined(folder, path).as_str())
}

/// Whether `path` exists, from the top or from `folder`.
fn exists(paths: &BTreeSet<&str>, folder: &str, path: &str) -> bool {
    ["", folder].iter().any(|from| paths.contains(joined(from, path).as_str()))
}

/// `path` as seen from `folder`, without `.`, `..` and a `/` at its end.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a document at `path` in a small repository.
    fn findings(path: &str, text: &str) -> Vec<String> {
        let paths =
            BTreeSet::from(["Cargo.toml", "proto", "proto/README.md", "proto/src", "proto/src/lib.rs", "docs", path]);
        let mut findings = Vec::new();
        check(&File { path: path.to_owned(), text: text.to_owned() }, &paths, &mut findings);
        findings
    }

    #[test]
    fn a_path_in_backticks_that_does_not_exist_is_found() {
        let text = "Read `proto/src/lib.rs`, `Cargo.toml`, then\n`proto/src/gone.rs` and `elsewhere/src/gone.rs`.\n";
        let found =
            ["README.md:2: `proto/src/gone.rs` does not exist", "README.md:2: `elsewhere/src/gone.rs` does not exist"];
        assert_eq!(findings("README.md", text), found);
    }

    #[test]
    fn what_is_no_path_of_ours_is_left_alone() {
        let text =
            "`library/alpine`, `linux/amd64`, `proto::Digest`, `a/b:1.0`, `report.json`, `proto/*.rs`, `cd /x/y.rs`\n";
        assert_eq!(findings("README.md", text), Vec::<String>::new());
    }

    #[test]
    fn a_document_of_a_crate_may_name_paths_from_its_own_folder() {
        let text = "`src/lib.rs` `proto/src/lib.rs` `src/gone.rs`\n";
        assert_eq!(findings("proto/README.md", text), ["proto/README.md:1: `src/gone.rs` does not exist"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let text =
            "[a](../proto/README.md#words) [b](https://example.org/x.md) [c](#here)\n[d](gone.md)\n[e]: gone2.md\n";
        let found = ["docs/a.md:2: `gone.md` does not exist", "docs/a.md:3: `gone2.md` does not exist"];
        assert_eq!(findings("docs/a.md", text), found);
    }

    #[test]
    fn a_map_of_folders_in_a_code_block_is_checked() {
        let text =
            "```text\nproto/    the treaty\nscanner/  gone\nproto/src/gone.rs\n```\n\n    buildkit/    gone too\n";
        let found = ["README.md:3: `scanner/` does not exist", "README.md:7: `buildkit/` does not exist"];
        assert_eq!(findings("README.md", text), found);
    }

    #[test]
    fn a_readme_that_leaves_a_crate_out_is_found() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let crates = ["proto/Cargo.toml", "worker/Cargo.toml", "registry/Cargo.toml", "Cargo.toml"];
        let mut files: Vec<File> = crates.iter().map(|path| file(path, "")).collect();
        let mut findings = Vec::new();
        check_map(&files, &mut findings);
        files.push(file("README.md", "proto/   the treaty\nThe worker works with `registry`.\n"));
        check_map(&files, &mut findings);
        assert_eq!(findings, ["README.md: does not exist", "README.md: does not name the crate `worker`"]);
    }
}
