//! `groups`, `images` and `destinations`: which repositories, and where they go.

use proto::Digest;

use crate::{faults, good, mirrored, sources};

/// A file with these groups.
fn groups(groups: &str) -> String {
    format!("version: 1\nto: registry.example.com/{{host}}/{{path}}\ngroups:\n{groups}")
}

#[test]
fn the_value_of_an_image_is_nothing_or_tags_or_settings_or_skip() {
    let file = good(&groups(
        "
  hub:
    from: docker.io/library
    tags: '3.22'
    images:
      alpine:
      busybox: ['1.36', '1.37']
      nginx: { tags: stable, to: 'eu.example.com/{name}' }
      redis: { owner: cache }
      mongo: skip
",
    ));
    let expected = [
        "docker.io/library/alpine [3.22] -> registry.example.com/docker.io/library/alpine",
        "docker.io/library/busybox [1.37 1.36] -> registry.example.com/docker.io/library/busybox",
        "docker.io/library/nginx [stable] -> eu.example.com/nginx",
        "docker.io/library/redis [3.22] -> registry.example.com/docker.io/library/redis",
    ];
    assert_eq!(mirrored(&file.jobs[0], &[]), expected);
}

#[test]
fn keys_are_paths_below_from_or_whole_references_without_it() {
    let file = good(&groups(
        "
  registry: { from: registry.k8s.io, tags: '1', images: { pause: , coredns/coredns: } }
  port: { from: 'localhost:5000', tags: '1', images: { app: } }
  short: { from: grafana, tags: '1', images: { grafana: } }
  layout: { from: 'oci:vendor:quay.io/strimzi', tags: '1', images: { kafka: } }
  whole: { tags: '1', images: { quay.io/a/b: , alpine: } }
",
    ));
    let found: Vec<_> = sources(&file).iter().map(|source| source.location.to_string()).collect();
    let expected = [
        "registry.k8s.io/pause",
        "registry.k8s.io/coredns/coredns",
        "localhost:5000/app",
        "docker.io/grafana/grafana",
        "oci:/jobs/vendor:quay.io/strimzi/kafka",
        "quay.io/a/b",
        "docker.io/library/alpine",
    ];
    assert_eq!(found, expected);
}

#[test]
fn from_with_a_tag_is_that_one_image() {
    let digest = Digest::of(b"image");
    let file = good(&groups(&format!(
        "  a: {{ from: 'quay.io/a/b:1.2' }}\n  b: {{ from: 'alpine:3.22@{digest}' }}\n  \
         c: {{ from: 'oci:vendor:quay.io/c/d:7' }}\n"
    )));
    let expected = [
        "quay.io/a/b [1.2] -> registry.example.com/quay.io/a/b",
        "docker.io/library/alpine [3.22] -> registry.example.com/docker.io/library/alpine",
        "oci:/jobs/vendor:quay.io/c/d [7] -> registry.example.com/quay.io/c/d",
    ];
    assert_eq!(mirrored(&file.jobs[0], &[]), expected);
    let taken = &sources(&file)[1].lines[0].rules.select(&[]).taken[0];
    assert_eq!(taken.digest.as_ref(), Some(&digest));
}

#[test]
fn a_name_in_to_is_a_destination_and_text_with_a_slash_is_a_template() {
    let file = good(
        "
version: 1
destinations:
  harbor: { repositories: 'harbor.example.com/{group}/{owner}/{name}' }
  ecr: { repositories: ['eu.example.com/{path}', 'us.example.com/{path}'] }
defaults: { to: [harbor, ecr, 'backup.example.com/{path}', oci:/data] }
groups: { hub: { owner: platform, from: docker.io/library, images: { alpine: '3' } } }
",
    );
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    let expected = "docker.io/library/alpine [3] -> harbor.example.com/hub/platform/alpine eu.example.com/library/alpine \
                    us.example.com/library/alpine backup.example.com/library/alpine \
                    oci:/data:docker.io/library/alpine";
    assert_eq!(mirrored(&file.jobs[0], &[]), [expected]);
}

#[test]
fn images_at_the_top_are_a_group_without_a_name() {
    let file = good(
        "{version: 1, defaults: {to: 'example.com/{path}', tags: '1', owner: me}, images: {alpine: , nginx: {kind: artifact}}}",
    );
    let lines: Vec<_> = sources(&file).iter().map(|source| &source.lines[0]).collect();
    assert!(lines.iter().all(|line| line.group.is_none() && line.owner.as_deref() == Some("me")));
    assert_eq!(lines[1].kind.as_str(), "artifact");
}

#[test]
fn a_destination_that_does_not_exist_is_told_with_the_one_that_was_meant() {
    let told = faults(
        "version: 1\nto: harbour\ndestinations: { harbor: { repositories: 'h.example.com/{path}' } }\nimages: { a: '1' }",
    );
    assert_eq!(told, "/jobs/first.yaml:2:5 destination there is no destination `harbour`; did you mean `harbor`?");
}

#[test]
fn a_destination_that_nothing_names_is_a_warning() {
    let file = good(
        "version: 1\nto: h.example.com/{path}\ndestinations: { old: { repositories: 'o.example.com/{path}' } }\n\
         images: { a: '1' }",
    );
    assert_eq!(
        file.warnings.to_string(),
        "/jobs/first.yaml:3:17 unused-destination no `to` names the destination `old`; use it, or leave it out"
    );
}

#[test]
fn without_tags_anywhere_the_fault_says_where_to_write_them() {
    let told = faults(&groups("  hub: { from: docker.io/library, images: { alpine: } }\n"));
    assert!(told.starts_with("/jobs/first.yaml:4:45 type no tags are given"), "{told}");
    assert!(told.ends_with("or `tags` in the group or in `defaults`"), "{told}");
}

#[test]
fn a_group_that_skips_all_of_its_images_is_a_warning() {
    let file = good("version: 1\nto: example.com/{path}\ngroups:\n  a: { images: { b: skip } }\n");
    assert_eq!(
        file.warnings.to_string(),
        "/jobs/first.yaml:4:3 unused-group all images here are skipped, so nothing is mirrored; leave it out, or skip \
         less of it"
    );
}
