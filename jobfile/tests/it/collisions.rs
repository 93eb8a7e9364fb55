//! What two groups want of one destination.

use proto::Digest;

use crate::{faults, good, sources};

/// Two groups in one job, or each in its own.
fn two(a: &str, b: &str, more: &str) -> String {
    format!(
        "version: 1\nto: example.com/{{name}}\ngroups:\n  a: {{ from: docker.io/library, {a} }}\n  \
         b: {{ from: docker.io/library, {b} }}\n{more}"
    )
}

#[test]
fn the_same_source_and_destination_in_two_groups_is_one_source_with_two_lines() {
    let file = good(&two("images: { alpine: '3.*' }", "images: { alpine: ['3.22', '2.*'] }", ""));
    assert_eq!(sources(&file).len(), 1);
    let groups: Vec<_> = sources(&file)[0].lines.iter().map(|line| line.group.as_deref().unwrap()).collect();
    assert_eq!(groups, ["a", "b"]);
}

#[test]
fn the_same_images_with_other_content_are_a_fault_that_names_both_places() {
    let told = faults(&two("images: { alpine: '3.*' }", "referrers: none, images: { alpine: '3.22' }", ""));
    assert_eq!(
        told,
        "/jobs/first.yaml:5:60 collision `example.com/alpine` gets `platforms: all; referrers: none` here and \
         `platforms: all; referrers: all` by line 4; carry the same in both, or send them to different destinations"
    );
    good(&two("images: { alpine: '3.21' }", "referrers: none, images: { alpine: '3.22' }", ""));
}

#[test]
fn pins_of_a_tag_that_differ_are_a_fault_by_name_and_by_pattern() {
    let (x, y) = (Digest::of(b"x"), Digest::of(b"y"));
    let (x, y) = (format!("images: {{ alpine: '3@{x}' }}"), format!("images: {{ alpine: '3@{y}' }}"));
    for (a, b) in [
        (&*x, &*y),
        (&*x, "images: { alpine: '3' }"),
        ("images: { alpine: '3' }", &*x),
        (&*x, "images: { alpine: '3*' }"),
        ("images: { alpine: '3*' }", &*x),
    ] {
        let told = faults(&two(a, b, ""));
        assert!(
            told.contains(":5:43 collision `3` of `docker.io/library/alpine` is taken here and in line 4"),
            "{told}"
        );
    }
    let both = x.replace("'3@", "['3*', '3', '3@").replace("' }", "'] }");
    for (a, b) in [
        (&*x, &*x),
        (&*x, &*both),
        (&*both, &*both),
        (&*x, "images: { alpine: ['3*', '!3'] }"),
        (&*x, "images: { alpine: '4' }"),
    ] {
        good(&two(a, b, ""));
    }
}

#[test]
fn two_sources_for_a_destination_tag_are_a_fault_across_groups() {
    let text = two("images: { alpine: '3' }", "images: { other/alpine: '3' }", "");
    assert_eq!(
        faults(&text),
        "/jobs/first.yaml:5:43 collision `example.com/alpine:3` is the destination of \
         `docker.io/library/other/alpine` and of `docker.io/library/alpine` in line 4; tell them apart by `{registry}` \
         and `{path}` in `to`, or name different tags"
    );
}

#[test]
fn two_jobs_with_one_target_are_a_fault() {
    let jobs = "jobs: { x: { groups: a }, y: { groups: b } }\n";
    let told = faults(&two("images: { alpine: '3.*' }", "images: { alpine: '3.22' }", jobs));
    assert_eq!(
        told,
        "/jobs/first.yaml:5:43 collision `example.com/alpine` is a destination of this job and, by line 4, of another; \
         let one job run both groups, or send them to different destinations"
    );
    good(&two("images: { alpine: '3.21' }", "images: { alpine: '3.22' }", jobs));
}

#[test]
fn groups_in_no_job_collide_with_nothing() {
    good(&two("images: { alpine: '3' }", "images: { other/alpine: '3' }", "jobs: { x: { groups: a } }\n"));
}

#[test]
fn a_place_in_two_spellings_is_one_destination() {
    for (a, b) in [
        ("h.example.com/{name}", "H.example.com:443/{name}"),
        ("h.example.com:5000/{name}", "h.example.com:05000/{name}"),
        ("[::1]:5000/{name}", "[0:0:0:0:0:0:0:1]:5000/{name}"),
        ("docker.io/{name}", "index.docker.io/library/{name}"),
    ] {
        let text = format!(
            "version: 1\ngroups:\n  a: {{ to: '{a}', images: {{ quay.io/a/app: '1' }} }}\n  \
             b: {{ to: '{b}', images: {{ quay.io/b/app: '1' }} }}\n"
        );
        let told = faults(&text);
        assert!(told.contains(" is the destination of `quay.io/b/app` and of `quay.io/a/app` in line 3"), "{told}");
    }
    let layouts = "version: 1\nto: oci:out\ngroups:\n  a: { images: { alpine: '3' } }\n  \
                   b: { to: 'oci:in/../out', referrers: none, images: { alpine: '3' } }\n";
    assert!(faults(layouts).contains("collision `oci:/jobs/out:docker.io/library/alpine:3` gets "));
    for onto in ["quay.io:443/{path}", "quay.io/{path}"] {
        let told = faults(&format!("version: 1\nto: '{onto}'\nimages: {{ quay.io/a/b: '1' }}\n"));
        assert!(told.contains("sends this onto itself"), "{told}");
    }
    let told = faults("version: 1\nto: [a.io/x, 'a.io:443/x']\nimages: { alpine: '1' }\n");
    assert!(told.contains("two values of `to` send this to `a.io:443/x`"), "{told}");
}

#[test]
fn what_goes_to_a_destination_tag_of_another_file_is_told_by_both_lines() {
    let file = |name: &'static str, images: &str| {
        let text = format!("version: 1\nto: example.com/{{name}}\nimages:\n  {images}\n");
        crate::parse_files(&[(name, &text)]).unwrap_or_else(|faults| panic!("{faults}"))
    };
    let (alpine, tools) = (file("a.yaml", "alpine: ['3.22', '3.21']"), file("b.yaml", "quay.io/x/tools: '1.*'"));
    let others = [&alpine, &tools];
    let told = |images: &str| file("c.yaml", images).collisions(&others).to_string();
    assert_eq!(told("alpine: '3.20'"), "", "another tag");
    assert_eq!(told("busybox: '1'"), "");
    assert_eq!(
        told("alpine: '3.21'"),
        "/jobs/c.yaml:4:3 collision `example.com/alpine:3.21` is a destination of this job and, by /jobs/a.yaml:4, of \
         another; let one job run both groups, or send them to different destinations"
    );
    assert_eq!(
        told("quay.io/y/tools: '2'"),
        "/jobs/c.yaml:4:3 collision `example.com/tools` is the destination of `quay.io/y/tools` and of `quay.io/x/tools` \
         in /jobs/b.yaml:4; tell them apart by `{registry}` and `{path}` in `to`, or name different tags"
    );
    assert!(told("alpine: '3.*'").contains("`example.com/alpine` is a destination of this job"));
}
