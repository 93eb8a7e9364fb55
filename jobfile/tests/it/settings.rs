//! Settings in layers: which is in force, and where it comes from.

use jobfile::Line;
use proto::content::{IndexForm, Platforms, Referrers};

use crate::{faults, good, only_line, sources};

/// A file with these defaults, settings of a group, and settings of an image.
fn layers(defaults: &str, group: &str, image: &str) -> String {
    format!(
        "version: 1\ndefaults: {{ to: 'example.com/{{path}}', {defaults} }}\ngroups:\n  hub:\n    from: docker.io/library\n    \
         {group}\n    images: {{ alpine: {{ tags: '3.*', {image} }} }}\n"
    )
}

fn told(line: &Line) -> String {
    let rows = line.settings.iter().map(|setting| {
        let place = setting.place.as_ref().map_or("(default)".to_owned(), ToString::to_string);
        format!("{}: {}  {place}", setting.key, setting.value)
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_setting_in_force_is_told_with_where_it_comes_from() {
    let file = good(
        "
version: 1
registries: { docker.io: { name: hub, auth: { username: bank, password: { env: HUB } } } }
destinations: { harbor: { repositories: 'h.example.com/{path}' } }
defaults:
  to: [harbor, 'eu.example.com/{path}']
  platforms: { only: [linux/amd64, linux/arm64], index: sparse }
  expect: { min: 1, max: 100 }
groups:
  hub:
    owner: platform
    from: docker.io/library
    expect: { max: 50 }
    platforms: { only: linux/amd64 }
    images:
      alpine: ['>=3.18', '!*-perl', { versions: '>=3', variants: [''] }]
",
    );
    insta::assert_snapshot!(told(only_line(&file)));
}

#[test]
fn what_no_layer_says_is_told_as_a_default() {
    let file = good("{version: 1, to: 'example.com/{path}', images: {alpine: '3.20'}}");
    insta::assert_snapshot!(told(only_line(&file)));
}

#[test]
fn an_image_goes_before_its_group_and_a_group_before_the_defaults() {
    let line = |defaults: &str, group: &str, image: &str| only_line(&good(&layers(defaults, group, image))).clone();
    assert_eq!(line("owner: a", "owner: b", "owner: c").owner.as_deref(), Some("c"));
    assert_eq!(line("owner: a", "owner: b", "").owner.as_deref(), Some("b"));
    assert_eq!(line("referrers: none", "tags: '1'", "").content.referrers, Referrers::None);
    let destinations = line("owner: a", "to: 'b.example.com/{path}'", "to: 'c.example.com/{path}'").destinations;
    assert_eq!(destinations.len(), 1, "lists replace");
}

#[test]
fn maps_merge_by_key() {
    let line = |defaults: &str, group: &str, image: &str| only_line(&good(&layers(defaults, group, image))).clone();
    let expect = line("expect: { min: 1, max: 9 }", "expect: { max: 20 }", "expect: { min: 2 }").expect;
    assert_eq!((expect.min, expect.max), (Some(2), Some(20)));
    let sparse = line("platforms: { only: linux/amd64, index: sparse }", "platforms: { only: linux/arm64 }", "");
    let platforms = ["linux/arm64".parse().unwrap()].into();
    assert_eq!(sparse.content.platforms, Platforms::Only { platforms, index: IndexForm::Sparse });
    let all = line("platforms: { only: linux/amd64, index: sparse }", "platforms: all", "");
    assert_eq!(all.content.platforms, Platforms::All);
}

#[test]
fn only_some_platforms_need_a_word_on_the_index() {
    let told = faults(&layers("owner: a", "platforms: { only: linux/amd64 }", ""));
    assert_eq!(
        told,
        "/jobs/first.yaml:6:24 platforms `only` leaves out what the index names, and nothing says what becomes of the \
         index; write `index: rewrite` for an index of these alone, with a new digest that no signature of the source \
         fits; or `index: sparse` for the same bytes and digest, which many registries refuse"
    );
}

#[test]
fn a_new_digest_is_warned_of_once_where_it_is_asked_for() {
    let text = "version: 1\nto: 'example.com/{path}'\ndefaults:\n  platforms: { only: linux/amd64, index: rewrite }\n\
                images: { alpine: '3', nginx: '1', redis: '8' }\n";
    let file = good(text);
    assert_eq!(
        file.warnings.to_string(),
        "/jobs/first.yaml:4:35 new-digest a rewritten index has a new digest, which no signature of the source fits; keep \
         `platforms: all`, or expect it"
    );
    assert_eq!(sources(&file).len(), 3);
}

#[test]
fn charts_and_artifacts_have_no_platforms() {
    let some = "platforms: { only: linux/amd64, index: sparse }";
    let told = faults(&layers(some, "kind: chart", ""));
    assert!(
        told.starts_with("/jobs/first.yaml:6:11 platforms a repository of kind `chart` has no platforms"),
        "{told}"
    );
    good(&layers(some, "kind: chart", "platforms: all"));
}

#[test]
fn the_short_to_at_the_top_and_that_of_the_defaults_exclude_each_other() {
    let told = faults(&(layers("owner: a", "owner: b", "") + "to: 'example.com/{path}'\n"));
    assert_eq!(told, "/jobs/first.yaml:8:1 duplicate-key `to` is in `defaults` too, in line 2; make one of both");
}
