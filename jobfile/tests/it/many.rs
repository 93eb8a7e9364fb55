//! Many of everything: faults at once, tags, and values of any kind.

use crate::{faults_of, good, parse};

#[test]
fn a_set_of_files_with_many_different_faults_tells_them_all() {
    let factory = "\
version: 1
include:
  - { files: 'teams/*.yaml', may_define: [groups, jobs], may_use: { destinations: [harbor, ecr] } }
  - { files: sets.yaml, may_define: [tag_sets, desinations] }
  - { files: missing.yaml, may_define: [groups] }
network: { proxy: 'http://bank:secret@proxy.example.com' }
registries:
  quay.io: { name: Quay, limits: { concurency: 4 } }
  docker.io: { auth: { username: bank, password: hunter2 } }
destinations:
  harbor: { repositories: ['harbor.example.com/{registry}/{path}', 'harbor.example.com/{team}'] }
  Other: { repositories: oci:out }
to: harbour
defaults: { platforms: { only: [linux] }, referrers: some, expect: { min: 5, max: 2 } }
groups:
  hub:
    from: docker.io/library
    images:
      alpine: [3.20, '>=3.x']
      nginx: $stabel
      '*': '1'
      redis:
      busybox: { tags: '1', kind: charts }
  vendor: { lists: [lists/vendor.txt] }
  empty: { owner: me, policy: standard }
jobs:
  nightly: { groups: ['hup', '!x['] }
";
    let team = "\
version: 2
include: [{ files: x }]
tag_sets: { own: '1' }
groups:
  hub: { images: { a: '1' } }
  team: { to: 'example.com/{path}', from: 'quay.io/a:1', images: { b: '1' } }
";
    let told = faults_of(&[
        ("factory.yaml", factory),
        ("teams/a.yaml", team),
        ("sets.yaml", "version: 1\ntag_sets: { stable: [$other], stable: '1' }\n"),
        ("lists/vendor.txt", "quay.io/a/b\nquay.io/a/c:1\n"),
    ]);
    assert!(told.lines().count() >= 25, "{told}");
    assert!(!told.contains("hunter2") && !told.contains("secret@"), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn six_thousand_tags_in_four_hundred_repositories_and_ten_groups_are_read() {
    let mut text =
        "version: 1\ndefaults: { to: ['a.example.com/{registry}/{path}', 'b.example.com/{registry}/{path}'] }\n\
                    tag_sets: { stable: { versions: '>=0', newest: { minors: 3 } } }\n\
                    registries: { quay.io: { name: quay }, docker.io: { name: hub } }\ngroups:\n"
            .to_owned();
    for group in 0..10 {
        text += &format!("  group{group}:\n    from: quay.io/team{}\n    images:\n", group % 5);
        for image in 0..42 {
            let tags: Vec<String> = (0..15).map(|tag| format!("1.{tag}.{image}")).collect();
            text += &format!("      app{image}: [$stable, {}, '!*-debug']\n", tags.join(", "));
        }
    }
    let file = good(&text);
    assert_eq!((file.jobs[0].sources.len(), file.jobs[0].sources[0].lines.len()), (210, 2));
}

#[test]
fn thousands_of_sources_for_one_destination_are_told_each_once() {
    let mut text = "version: 1\nto: example.com/all\nimages:\n".to_owned();
    for image in 0..3_000 {
        text += &format!("  quay.io/a/app{image}: '>=1'\n");
    }
    assert_eq!(parse(&text).unwrap_err().iter().count(), 2_999);
}
