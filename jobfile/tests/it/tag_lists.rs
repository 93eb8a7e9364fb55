//! The rules on tag lists in the shapes that real repositories have.
//!
//! `tests/tags/NAME.tags` is a listing; `NAME.expected` holds rules and what they must take from it.

use std::path::Path;

use jobfile::Selection;
use proto::Tag;

use crate::{good, only_line};

/// What `rules`, as written in a file, make of the listing `name`.
fn select(name: &str, rules: &str) -> Selection {
    let file =
        good(&format!("version: 1\nto: registry.example.com/{{path}}\nimages:\n  example.com/{name}: {rules}\n"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tags");
    let listing = std::fs::read_to_string(folder.join(format!("{name}.tags"))).unwrap();
    let tags: Vec<Tag> = listing.lines().map(|tag| tag.parse().unwrap()).collect();
    only_line(&file).rules.select(&tags)
}

fn taken(selection: &Selection) -> String {
    selection.taken.iter().map(|taken| taken.tag.as_str()).collect::<Vec<_>>().join(" ")
}

/// Compares all blocks of `NAME.expected`.
fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/tags/{name}.expected"));
    let expected = std::fs::read_to_string(&path).unwrap();
    let rules = expected.lines().filter_map(|line| line.strip_prefix("rules: "));
    let blocks = rules.map(|rules| {
        let selection = select(name, rules);
        let idle =
            if selection.idle.is_empty() { String::new() } else { format!("\nidle:  {}", selection.idle.join(" ")) };
        format!("rules: {rules}\ntaken: {}{idle}\n", taken(&selection))
    });
    let found = blocks.collect::<Vec<_>>().join("\n");
    assert!(!found.is_empty());
    assert_eq!(found, expected, "{name}");
}

macro_rules! lists {
    ($($test:ident: $name:literal,)+) => {$(
        #[test]
        fn $test() {
            check($name);
        }
    )+};
}

lists! {
    alpine_has_aliases_and_edge_snapshots: "alpine",
    nginx_has_variants_of_variants_and_signatures: "nginx",
    postgres_has_two_parts_and_pre_releases_without_separator: "postgres",
    temurin_has_builds_and_no_plain_releases: "eclipse-temurin",
    python_has_pre_releases_of_several_forms: "python",
    ubuntu_has_years_as_first_part: "ubuntu",
    debian_has_names_with_dates: "debian",
    prometheus_has_a_v_before_the_number: "prometheus",
    minio_has_nothing_but_dates: "minio",
    golang_has_pre_releases_of_its_own_form: "golang",
    redis_has_milestones: "redis",
}

#[test]
fn every_tag_that_is_dropped_says_why() {
    let why = |name: &str, rules: &str, tag: &str| {
        let selection = select(name, rules);
        let dropped = selection.dropped.iter().find(|dropped| dropped.tag.as_str() == tag);
        dropped.map(|dropped| dropped.why.to_string())
    };
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(why("alpine", "\">=3.18\"", "3.22.2"), None, "taken");
    assert_eq!(why("alpine", "\">=3.18\"", "3.22"), is("an alias, `3.22.2` says more"));
    assert_eq!(why("alpine", "\">=3\"", "3"), is("an alias, `3.22.2` says more"));
    assert_eq!(why("alpine", "\">=3.18\"", "20250108"), is("a date; a range takes versions"));
    assert_eq!(why("alpine", "\">=3.18\"", "edge"), is("no rule takes it"));
    assert_eq!(why("alpine", "\">=3.18\"", "3.17.10"), is("no rule takes it"));
    assert_eq!(why("nginx", "[\">=1\", \"!1.29.0\"]", "1.29.0"), is("removed by `!1.29.0`"));
    assert_eq!(why("nginx", "\">=1\"", "1.29.0-perl"), is("variant `perl`; a range takes the plain one"));
    assert_eq!(why("postgres", "\">=14\"", "18rc1"), is("pre-release `rc1`; a range takes releases"));
    let signature = format!("sha256-{}.sig", "ab".repeat(32));
    assert_eq!(why("nginx", "\"*\"", &signature), is("belongs to another image and travels with it"));
}

#[test]
fn every_tag_that_is_taken_says_by_which_rule() {
    let selection = select("alpine", "[\"3.22.*\", \">=3.22\", \"3.22.2\", \"edge\"]");
    let by: Vec<_> = selection.taken.iter().map(|taken| format!("{} {}", taken.tag, taken.rule)).collect();
    assert_eq!(by, ["3.22.0 >=3.22", "3.22.1 >=3.22", "3.22.2 3.22.2", "edge edge"]);
}
