//! `include`: several files that are one.

use crate::{faults, faults_of, good, good_files, sources};

/// A job file with these values of `include`, a destination and a group.
fn main(include: &str) -> String {
    format!(
        "version: 1\ninclude:\n{include}\ndestinations: {{ harbor: {{ repositories: 'h.example.com/{{path}}' }}, \
         other: {{ repositories: 'o.example.com/{{path}}' }} }}\ndefaults: {{ to: [harbor, other], tags: '1' }}\n\
         groups: {{ own: {{ images: {{ a: }} }} }}\n"
    )
}

const TEAMS: &str = "  - { files: 'teams/*.yaml', may_define: [groups], may_use: { destinations: [harbor] } }";
const POLICIES: &str = "  - { files: policies.yaml, may_define: [tag_sets, destinations, registries, jobs] }";

#[test]
fn included_files_add_what_they_may_define_in_any_order() {
    let sets = "version: 1\ntag_sets: { stable: '2' }\n";
    let team = "version: 1\ngroups: { team: { to: harbor, from: quay.io/b, tags: $stable, images: { b: } } }\n";
    for include in [format!("{TEAMS}\n{POLICIES}"), format!("{POLICIES}\n{TEAMS}")] {
        let file = good_files(&[("f.yaml", &main(&include)), ("policies.yaml", sets), ("teams/b.yaml", team)]);
        let places: Vec<_> = sources(&file).iter().map(|source| source.lines[0].place.to_string()).collect();
        assert_eq!(places, ["/jobs/f.yaml:7:28", "/jobs/teams/b.yaml:2:73"]);
        let paths: Vec<_> = file.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["f.yaml", "policies.yaml", "teams/b.yaml"]);
    }
}

#[test]
fn paths_in_an_included_file_begin_at_its_own_folder() {
    let team =
        "version: 1\ngroups: { team: { lists: [../lists/b.txt], from: 'oci:vendor:quay.io/b', images: { b: } } }\n";
    let file =
        good_files(&[("f.yaml", &main(TEAMS)), ("teams/b.yaml", team), ("teams/../lists/b.txt", "quay.io/c/d:1\n")]);
    let found: Vec<_> = sources(&file).iter().map(|source| source.location.to_string()).collect();
    assert_eq!(found, ["docker.io/library/a", "oci:/jobs/teams/vendor:quay.io/b/b", "quay.io/c/d"]);
    assert_eq!(file.files[1].path, "lists/b.txt");
}

#[test]
fn a_name_that_is_defined_twice_is_told_with_both_places() {
    let include = "  - { files: '*/x.yaml', may_define: [tag_sets, destinations, registries, groups, jobs] }";
    let all = "version: 1\ntag_sets: { s: '1' }\ndestinations: { harbor: { repositories: 'x.example.com/{path}' } }\n\
               registries: { quay.io: { name: q } }\ngroups: { own: { images: { b: } } }\njobs: { j: { groups: '*' } }\n";
    let told = faults_of(&[("f.yaml", &main(include)), ("a/x.yaml", all), ("b/x.yaml", all)]);
    insta::assert_snapshot!(told);
}

#[test]
fn an_included_file_holds_only_what_it_may_define() {
    let team = "version: 1\ninclude: []\nnetwork: {}\ntag_sets: { s: '1' }\njobs: { j: { groups: '*' } }\n";
    insta::assert_snapshot!(faults_of(&[("f.yaml", &main(TEAMS)), ("teams/a.yaml", team)]));
}

#[test]
fn an_included_group_names_only_destinations_that_it_may_use_and_inherits_others() {
    let team = "version: 1\ngroups:\n  fine: { images: { x: } }\n  other: { to: [harbor, other], images: { y: } }\n  \
                inline: { images: { z: { to: 'example.com/{path}' } } }\n";
    insta::assert_snapshot!(faults_of(&[("f.yaml", &main(TEAMS)), ("teams/a.yaml", team)]));
}

#[test]
fn an_include_that_finds_nothing_is_a_warning_for_a_pattern_and_a_fault_for_a_path() {
    let file = good_files(&[("f.yaml", &main(TEAMS))]);
    assert_eq!(
        file.warnings.to_string(),
        "/jobs/f.yaml:3:14 include no file matches `teams/*.yaml`; correct it, or leave it out"
    );
    let told = faults_of(&[("f.yaml", &main(POLICIES))]);
    assert!(told.starts_with("/jobs/f.yaml:3:14 file `policies.yaml` cannot be read: "), "{told}");
}

#[test]
fn a_file_is_included_once_and_never_includes_itself() {
    let include = "  - { files: '*.yaml', may_define: groups }\n  - { files: a.y?ml, may_define: groups }";
    insta::assert_snapshot!(faults_of(&[("f.yaml", &main(include)), ("a.yaml", "version: 1\n")]));
}

#[test]
fn an_include_that_cannot_be_understood_is_told() {
    let include = "  - { files: 'teams/**/*.yaml', may_define: [groups, defaults, group] }\n  - { files: '[.yaml' }\n  \
                   - { may_define: [groups], may_use: { destinations: [harbour] } }\n  \
                   - { files: x, may_define: groups, may_use: {} }";
    insta::assert_snapshot!(faults_of(&[("f.yaml", &main(include))]));
}

#[test]
fn hidden_files_and_folders_match_no_pattern_that_does_not_name_them() {
    let faulty = "version: 2\n";
    let include = "  - { files: '*/*', may_define: groups }";
    let files = [("f.yaml", &*main(include)), (".git/x", faulty), ("a/.#x.yaml", faulty), ("a/b/c.yaml", faulty)];
    assert!(good_files(&files).warnings.to_string().contains("no file matches"));
}

#[test]
fn a_file_that_is_read_alone_cannot_include_others() {
    let told = faults(&main(TEAMS));
    assert!(told.contains("include `teams/*.yaml` cannot be looked for"), "{told}");
    assert!(good("{version: 1, to: 'a.example.com/{path}', images: {a: '1'}}").files.len() == 1);
}

#[test]
fn files_are_bounded_in_number_and_size() {
    let include = "  - { files: 'many/*', may_define: groups }";
    let names: Vec<String> = (0..jobfile::FILES_MAX).map(|n| format!("many/{n}.yaml")).collect();
    let text = main(include);
    let mut files = vec![("f.yaml", &*text)];
    files.extend(names.iter().map(|name| (&**name, "version: 1\n")));
    assert!(faults_of(&files).contains("file-size there are more than 1000 files"));
    let large = format!("version: 1\n{}", " ".repeat(jobfile::FILE_BYTES_MAX - 11));
    let files = [("f.yaml", &*text), ("many/1", &large), ("many/2", &large), ("many/3", &large), ("many/4", &large)];
    assert!(faults_of(&files).contains("file-size the files have more than 16777216 bytes"));
}

#[test]
fn a_limit_for_groups_where_none_may_be_defined_is_a_fault() {
    let include = "  - { files: x.yaml, may_define: jobs, may_use: { destinations: harbor } }";
    let told = faults_of(&[("f.yaml", &main(include)), ("x.yaml", "version: 1\n")]);
    assert_eq!(
        told,
        "/jobs/f.yaml:3:40 include `may_use` limits groups, and these files may define none; leave it out, or allow \
         `groups` in `may_define`"
    );
}
