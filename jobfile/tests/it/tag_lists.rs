//! The rules on tag lists in the shapes that real repositories have.
//!
//! `tests/tags/NAME.tags` is a listing; `NAME.expected` holds rules and what they must take from it.

use std::path::Path;

use jobfile::Selection;
use proto::Tag;

use crate::{good, only_line};

/// What `rules`, as written in a file, make of the listing `name`.
pub(crate) fn select(name: &str, rules: &str) -> Selection {
    let file = good(&format!(
        "
version: 1
to: registry.example.com/{{path}}
tag_sets:
  stable: {{ versions: '>=0', newest: {{ minors: 3, patches: 2 }} }}
  minio: {{ pattern: '^RELEASE\\.(?<version>[0-9-]{{10}})T.*Z$', newest: {{ count: 3 }} }}
  no-windows: ['!*windowsservercore*', '!*nanoserver*']
images:
  example.com/{name}: {rules}
"
    ));
    only_line(&file).rules.select(&listing(name))
}

/// The tags in `NAME.tags`.
pub(crate) fn listing(name: &str) -> Vec<Tag> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/tags/{name}.tags"));
    let listing = std::fs::read_to_string(path).unwrap();
    listing.split_whitespace().map(|tag| tag.parse().unwrap()).collect()
}

pub(crate) fn taken(selection: &Selection) -> String {
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
    amazonlinux_has_dates_with_parts: "amazonlinux",
    busybox_has_variants_by_library: "busybox",
    debian_has_names_with_dates: "debian",
    temurin_has_builds_and_no_plain_releases: "eclipse-temurin",
    etcd_has_architectures_as_variants: "etcd",
    golang_has_pre_releases_of_its_own_form: "golang",
    grafana_has_builds_as_variants: "grafana",
    httpd_has_one_minor: "httpd",
    linuxserver_has_architectures_before_and_builds_after_the_version: "linuxserver-mariadb",
    mariadb_has_release_candidates_after_the_variant: "mariadb",
    minio_has_nothing_but_dates: "minio",
    mysql_has_milestones_and_development_releases: "mysql",
    nginx_has_variants_of_variants_and_signatures: "nginx",
    node_has_codenames: "node",
    openjdk_has_early_access_and_updates: "openjdk",
    pause_has_short_releases_beside_long_ones: "pause",
    php_has_pre_releases_in_upper_case: "php",
    postgres_has_two_parts_and_pre_releases_without_separator: "postgres",
    prometheus_has_a_v_before_the_number: "prometheus",
    python_has_pre_releases_of_several_forms: "python",
    rabbitmq_has_candidates_that_move: "rabbitmq",
    redis_has_milestones: "redis",
    ruby_has_previews: "ruby",
    traefik_has_each_version_twice: "traefik",
    ubuntu_has_years_as_first_part: "ubuntu",
}

#[test]
fn every_tag_that_is_dropped_says_why() {
    let why = |name: &str, rules: &str, tag: &str| {
        let selection = select(name, rules);
        let dropped = selection.dropped.iter().find(|dropped| dropped.tag.as_str() == tag);
        dropped.map(|dropped| dropped.why.to_string())
    };
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(why("alpine", "'>=3.18'", "3.22.2"), None, "taken");
    let alias = is("an alias, `3.22.2` says more; taken only with `aliases: true`");
    assert_eq!(why("alpine", "'>=3.18'", "3.22"), alias);
    assert_eq!(why("alpine", "'>=3'", "3"), alias);
    let date = is("a date; a range takes versions, or dates with `scheme: date`");
    assert_eq!(why("alpine", "'>=3.18'", "20250108"), date);
    assert_eq!(why("alpine", "'>=3.18'", "edge"), is("no rule takes it"));
    assert_eq!(why("alpine", "'>=3.18'", "3.17.10"), is("no rule takes it"));
    assert_eq!(why("nginx", "['>=1', '!1.29.0']", "1.29.0"), is("removed by `!1.29.0`"));
    let variant = is("variant `perl`; the plain one is taken, and those that `variants` names");
    assert_eq!(why("nginx", "'>=1'", "1.29.0-perl"), variant);
    let pre_release = is("pre-release `rc1`; taken only with `pre_releases: true`");
    assert_eq!(why("postgres", "'>=14'", "18rc1"), pre_release);
    assert_eq!(why("alpine", "$stable", "3.22.0"), is("older than the newest 2 versions of 3.22"));
    assert_eq!(why("alpine", "$stable", "3.19.9"), is("older than the newest 3 minors"));
    let majors = "[{ versions: '>=0', newest: { majors: 1, minors: 2 } }]";
    assert_eq!(why("alpine", majors, "2.7"), is("older than the newest major"));
    assert_eq!(why("alpine", majors, "3.20.1"), is("older than the newest 2 minors of 3"));
    assert_eq!(
        why("alpine", "[{ versions: '>=0', newest: { count: 2 } }]", "3.22.0"),
        is("older than the newest 2 versions")
    );
    let aliases = "[{ versions: '>=0', aliases: true, newest: { count: 2 } }]";
    assert_eq!(why("alpine", aliases, "3.21"), is("an alias of `3.21.5`, which is not taken"));
    assert_eq!(why("golang", "['1.23*', $no-windows]", "1.23-nanoserver"), is("removed by `$no-windows`"));
    let signature = format!("sha256-{}.sig", "ab".repeat(32));
    assert_eq!(why("nginx", "\"*\"", &signature), is("belongs to another image and travels with it"));
}

#[test]
fn every_tag_that_is_taken_says_by_which_rule() {
    let selection = select("alpine", "['3.22.*', '>=3.22', $stable, '3.22.2', edge, '3.22.0', { versions: '=3.21' }]");
    let by: Vec<_> = selection.taken.iter().map(|taken| format!("{} {}", taken.tag, taken.rule)).collect();
    let expected = [
        "3.22.2 3.22.2",
        "3.22.1 $stable",
        "3.22.0 3.22.0",
        "3.21.5 $stable",
        "3.21.4 $stable",
        "3.21.3 { versions: \"=3.21\" }",
        "3.21.2 { versions: \"=3.21\" }",
        "3.21.1 { versions: \"=3.21\" }",
        "3.21.0 { versions: \"=3.21\" }",
        "3.20.8 $stable",
        "3.20.7 $stable",
        "edge edge",
    ];
    assert_eq!(by, expected);
}
