//! What no tracked file may contain: paths of one machine, hosts of package registries, unfinished code.
//!
//! The words are put together from parts, so that this file does not contain them either.

use super::File;

/// In any file, and in its name.
const ANYWHERE: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("crates", ".io"), PACKAGES),
    (concat!("proxy.golang", ".org"), PACKAGES),
    (concat!("sum.golang", ".org"), PACKAGES),
    (concat!("deb.debian", ".org"), PACKAGES),
    (concat!("pypi", ".org"), PACKAGES),
    (concat!("registry.npmjs", ".org"), PACKAGES),
];
const PACKAGES: &str = "a host of packages; whoever builds chooses that";

/// Files that a package manager writes: they name where packages come from.
const LOCKS: &[&str] = &["Cargo.lock", "go.sum"];

/// Ends of names of files that hold what a program printed, to the byte.
const PRINTED: &[&str] = &[".expected", ".snap"];

/// In Rust.
const IN_RUST: &[(&str, &str)] = &[
    (concat!("to", "do!"), UNFINISHED),
    (concat!("unimple", "mented!"), UNFINISHED),
    (concat!("db", "g!"), UNFINISHED),
    (concat!("#[ign", "ore"), "a test that does not run; print SKIPPED with the reason instead"),
];
const UNFINISHED: &str = "unfinished code";

pub(super) fn check(file: &File, findings: &mut Vec<String>) {
    let locked = LOCKS.iter().any(|lock| file.path.rsplit('/').next() == Some(lock));
    let named = format!("/{}", file.path);
    for (word, reason) in ANYWHERE.iter().filter(|(word, _)| named.contains(word)) {
        findings.push(format!("{}: `{word}` in its name: {reason}", file.path));
    }
    for (number, line) in (1..).zip(file.text.lines()) {
        let here = format!("{}:{number}", file.path);
        let rust = if file.path.ends_with(".rs") { IN_RUST } else { &[] };
        let anywhere = if locked { &[] } else { ANYWHERE };
        for (word, reason) in anywhere.iter().chain(rust).filter(|(word, _)| line.contains(word)) {
            findings.push(format!("{here}: `{word}`: {reason}"));
        }
        if line.ends_with([' ', '\t']) && !PRINTED.iter().any(|suffix| file.path.ends_with(suffix)) {
            findings.push(format!("{here}: white space at the end of the line"));
        }
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
    fn each_word_is_found_with_its_line() {
        for (word, reason) in ANYWHERE {
            assert_eq!(findings("a.md", &format!("\nsee {word}x\n")), [format!("a.md:2: `{word}`: {reason}")]);
        }
        for (word, reason) in IN_RUST {
            assert_eq!(findings("a.rs", word), [format!("a.rs:1: `{word}`: {reason}")]);
            assert_eq!(findings("a.md", word), Vec::<String>::new());
        }
    }

    #[test]
    fn a_name_is_searched_too() {
        let (word, reason) = ANYWHERE[0];
        let path = format!("x{word}a.md");
        assert_eq!(findings(&path, ""), [format!("{path}: `{word}` in its name: {reason}")]);
    }

    #[test]
    fn a_lock_file_may_say_where_packages_come_from() {
        let (word, _) = ANYWHERE[2];
        assert_eq!(findings("Cargo.lock", word), Vec::<String>::new());
        assert_eq!(findings("deploy/go/olareg/go.sum", word), Vec::<String>::new());
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_found() {
        assert_eq!(findings("Makefile", "all: \n"), ["Makefile:1: white space at the end of the line"]);
        assert_eq!(findings("snapshots/a.snap", "all: \n"), Vec::<String>::new());
    }
}
