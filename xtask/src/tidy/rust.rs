//! Rust files: a first sentence in each module, and a length that can be read in one go.

use super::File;

/// Lines, with tests and comments. A longer file has more than one subject; tests may live in a file beside it.
const LINES_MAX: usize = 400;

pub(super) fn check(file: &File, findings: &mut Vec<String>) {
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        findings.push(format!("{}: {lines} lines, more than {LINES_MAX}", file.path));
    }
    let in_src = file.path.starts_with("src/") || file.path.contains("/src/");
    if in_src && !file.text.starts_with("//! ") {
        findings.push(format!("{}:1: does not open with `//!` and a sentence on its job", file.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(&File { path: path.to_owned(), text: text.to_owned() }, &mut findings);
        findings
    }

    #[test]
    fn a_module_without_a_first_sentence_is_found() {
        let found = ["proto/src/ids.rs:1: does not open with `//!` and a sentence on its job"];
        assert_eq!(findings("proto/src/ids.rs", "use std::fmt;\n"), found);
        assert_eq!(findings("proto/src/ids.rs", "//! Ids of runs.\n"), Vec::<String>::new());
        assert_eq!(findings("proto/tests/it/main.rs", "mod ids;\n"), Vec::<String>::new());
    }

    #[test]
    fn a_file_above_the_limit_is_found() {
        let lines = |n| format!("//! Long.\n{}", "\n".repeat(n - 1));
        assert_eq!(findings("proto/src/ids.rs", &lines(LINES_MAX)), Vec::<String>::new());
        assert_eq!(findings("proto/src/ids.rs", &lines(LINES_MAX + 1)), ["proto/src/ids.rs: 401 lines, more than 400"]);
    }
}
