//! A pack: what was read once is read again, without the files.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jobfile::{Entry, JobFile, Pack};
use proptest::prelude::*;

use crate::{good, good_files, reader};

/// The job file that comes out of the JSON of a file's pack.
fn repacked(file: &JobFile) -> JobFile {
    let document = serde_json::to_string(&file.pack).unwrap();
    let pack: Pack = serde_json::from_str(&document).unwrap();
    pack.parse().unwrap_or_else(|faults| panic!("{faults}"))
}

/// That the pack gives the same file, with all that it says and every place of it.
fn assert_repacks(file: &JobFile) {
    assert_eq!(format!("{:#?}", repacked(file)), format!("{file:#?}"));
}

const MAIN: &str = "
version: 1
include:
  - { files: 'policies.yaml', may_define: [tag_sets, destinations] }
  - { files: 'teams/*.yaml', may_define: [groups] }
  - { files: '*/extra/x.yaml', may_define: [groups] }
  - { files: 'none/*.yaml', may_define: [groups] }
network: { ca_file: ca.pem }
defaults: { to: [own, oci:mirror], tags: $few }
groups: { own: { lists: [lists/vendor.txt, lists/vendor.txt], images: { a: } } }
";
const POLICIES: &str =
    "version: 1\ntag_sets: { few: '1' }\ndestinations: { own: { repositories: 'h.example.com/{path}' } }\n";
const TEAM: &str =
    "version: 1\ngroups: { team: { lists: ../lists/team.txt, from: 'oci:in:quay.io/b', images: { b: } } }\n";

/// A job file with includes, patterns of which some find nothing, lists, and paths that begin at two folders.
fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("f.yaml", MAIN),
        ("policies.yaml", POLICIES),
        ("teams/a.yaml", TEAM),
        ("teams/readme.md", "none of it"),
        ("a/extra/x.yaml", "version: 1\ngroups: { extra: { images: { c: } } }\n"),
        ("b/readme.md", "no `extra` here"),
        ("lists/vendor.txt", "quay.io/x/y:1\n"),
        ("teams/../lists/team.txt", "quay.io/x/z:1\n"),
    ]
}

#[test]
fn a_pack_gives_the_same_file_with_its_digest_its_jobs_and_its_places() {
    let file = good_files(&files());
    assert!(!file.warnings.is_empty(), "one pattern finds nothing");
    assert_eq!(file.files.len(), 6);
    assert_repacks(&file);
    assert_repacks(&good("{version: 1, to: 'a.example.com/{path}', images: {a: '1'}}"));
}

#[test]
fn a_pack_of_files_on_disk_keeps_the_name_that_they_were_called_by_and_their_absolute_folder() {
    let file = jobfile::load(Path::new("tests/files/bank/factory.yaml")).unwrap();
    let again = repacked(&file);
    assert_eq!(again.digest, file.digest);
    assert_repacks(&file);
    assert_eq!(again.jobs[0].sources[0].lines[0].place.file.as_ref(), Path::new("tests/files/bank/factory.yaml"));
}

#[test]
fn a_pack_is_current_until_something_that_was_looked_at_is_another() {
    let before = files();
    let file = good_files(&before);
    assert!(file.pack.is_current(&reader(&before)));
    let mut unrelated = before.clone();
    unrelated.push(("other/file.yaml", "version: 2\n"));
    assert!(!file.pack.is_current(&reader(&unrelated)), "`*/extra` looks into the top folder");
    for (at, (name, _)) in before.iter().enumerate().filter(|(_, (name, _))| !name.ends_with("readme.md")) {
        let mut gone = before.clone();
        gone.remove(at);
        assert!(!file.pack.is_current(&reader(&gone)), "`{name}` is gone");
        let mut other = before.clone();
        other[at].1 = "version: 1\n";
        assert!(!file.pack.is_current(&reader(&other)), "`{name}` is another");
    }
    let mut readme = before.clone();
    readme[3].1 = "another text";
    assert!(file.pack.is_current(&reader(&readme)), "nobody reads it");
    let mut more = before.clone();
    more.push(("b/extra/x.yaml", "version: 1\n"));
    assert!(!file.pack.is_current(&reader(&more)), "a file came where there was none");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_once() {
    let reads = RefCell::new(BTreeMap::new());
    let files = files();
    let read = reader(&files);
    let changing = |path: &Path| {
        let Entry::File(_) = read(path)? else { return read(path) };
        let mut reads = reads.borrow_mut();
        let count = reads.entry(path.to_owned()).or_insert(0);
        *count += 1;
        match path.ends_with("vendor.txt") {
            true => Ok(Entry::File(format!("quay.io/x/y:{count}\n").into_bytes())),
            false => read(path),
        }
    };
    let file = jobfile::parse_with(MAIN.as_bytes(), Path::new("/jobs/f.yaml"), &changing).unwrap();
    assert_eq!(reads.borrow().get(Path::new("/jobs/lists/vendor.txt")), Some(&1));
    assert_repacks(&file);
}

#[test]
fn a_pack_with_a_path_that_is_no_text_cannot_be_written() {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(b"/jobs/\xff/f.yaml"));
    let alone = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let text = b"{version: 1, to: 'a.example.com/{path}', images: {a: '1'}}";
    let file = jobfile::parse_with(text, path, &alone).unwrap();
    assert!(serde_json::to_string(&file.pack).is_err());
    assert!(file.pack.parse().is_ok());
}

proptest! {
    /// Whatever files there are, with faults or without: reading them from the pack is reading them.
    #[test]
    fn any_files_are_packed_as_they_were_read(
        pattern in "(\\*|teams|lists|[ab])/(\\*|[ab])(\\.yaml|)",
        names in proptest::collection::btree_set("(teams|lists|a|b)/[ab](\\.yaml|/[ab]\\.yaml)", 0..6),
        bodies in proptest::collection::vec(0..4usize, 6),
        lists in proptest::collection::vec("(lists|a|b)/[ab](\\.yaml|)", 0..3),
    ) {
        let lists = lists.iter().map(|list| format!("'{list}'")).collect::<Vec<_>>().join(", ");
        let lists = if lists.is_empty() { String::new() } else { format!("lists: [{lists}], ") };
        let main = format!(
            "version: 1\ninclude: [{{ files: '{pattern}', may_define: [groups, tag_sets] }}]\nto: h.example.com/{{path}}\n\
             groups: {{ own: {{ {lists}images: {{ a: '1' }} }} }}\n"
        );
        let names: Vec<String> = names.into_iter().collect();
        let bodies = names.iter().zip(bodies).map(|(name, body)| match body {
            0 => "version: 1\n".to_owned(),
            1 => format!("version: 1\ngroups: {{ {}: {{ images: {{ '{name}': '1' }} }} }}\n", name.replace(['/', '.'], "-")),
            2 => format!("quay.io/{}:1\n", name.replace('.', "-")),
            _ => "version: 1\ntag_sets: { few: '1' }\n".to_owned(),
        });
        let bodies: Vec<String> = bodies.collect();
        let mut files: Vec<(&str, &str)> = vec![("f.yaml", &main)];
        files.extend(names.iter().map(String::as_str).zip(bodies.iter().map(String::as_str)));
        if let Ok(file) = crate::parse_files(&files) {
            prop_assert_eq!(format!("{:?}", repacked(&file)), format!("{file:?}"));
            prop_assert!(file.pack.is_current(&reader(&files)));
        }
    }
}
