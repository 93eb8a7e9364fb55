//! `lists`: a vendor's file of references.

use proto::Digest;

use crate::{faults_of, good_files, mirrored, sources};

const FILE: &str = "version: 1\nto: example.com/{path}\ngroups:\n  vendor: { owner: me, lists: [lists/images.txt] }\n";

#[test]
fn a_repository_of_a_list_is_one_line_with_all_its_tags() {
    let pin = Digest::of(b"image");
    let list = format!(
        "# A vendor's images.\nquay.io/a/app:1\n\n  quay.io/a/app:2@{pin}  # newest\r\nalpine:3\nquay.io/a/app:1\n"
    );
    let file = good_files(&[("first.yaml", FILE), ("lists/images.txt", &list)]);
    let expected =
        ["quay.io/a/app [2 1] -> example.com/a/app", "docker.io/library/alpine [3] -> example.com/library/alpine"];
    assert_eq!(mirrored(&file.jobs[0], &[]), expected);
    let line = &sources(&file)[0].lines[0];
    assert_eq!(line.place.to_string(), "/jobs/lists/images.txt:2:1");
    assert_eq!((line.group.as_deref(), line.owner.as_deref()), (Some("vendor"), Some("me")));
    assert!(line.rules.select(&[]).taken.iter().any(|taken| taken.digest.as_ref() == Some(&pin)));
}

#[test]
fn what_is_wrong_in_a_list_is_told_with_its_line_there_and_never_repeated() {
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let list = format!(
        "quay.io/a/app\nhunter2 is secret\n  https://quay.io/a/b:1\nquay.io/a/b@{a}\nquay.io/c/d:1@{a}\nquay.io/c/d:1@{b}\n\
         quay.io/e/f:sha256-{}.sig\nlocalhost:5000\n",
        a.hex()
    );
    let told = faults_of(&[("first.yaml", FILE), ("lists/images.txt", &list)]);
    insta::assert_snapshot!(told);
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn a_list_that_is_not_there_or_names_nothing_is_a_fault() {
    let told = faults_of(&[("first.yaml", FILE)]);
    assert!(told.starts_with("/jobs/first.yaml:4:32 file `lists/images.txt` cannot be read: "), "{told}");
    let told = faults_of(&[("first.yaml", FILE), ("lists/images.txt", "# none\n")]);
    assert!(told.starts_with("/jobs/lists/images.txt:1:1 list the list names no image"), "{told}");
}

#[test]
fn what_a_group_skips_is_left_out_of_its_lists() {
    let group = FILE.replace("lists:", "images: { quay.io/a/app: skip }, lists:");
    let file = good_files(&[("first.yaml", &group), ("lists/images.txt", "quay.io/a/app:1\nquay.io/b/app:1\n")]);
    assert_eq!(mirrored(&file.jobs[0], &[]), ["quay.io/b/app [1] -> example.com/b/app"]);
}
