//! Faulty files, and what a person is told about each: line, rule, and how to mend it.

mod jobs;
mod registries;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::parse;

/// The day-one file with more at its end.
fn and(more: &str) -> String {
    format!("version: 1\nto: registry.example.com/{{path}}\nimages:\n  alpine: latest\n{more}")
}

/// The day-one file with other images.
fn images(images: &str) -> String {
    format!("version: 1\nto: registry.example.com/{{path}}\nimages:\n{images}\n")
}

/// The day-one file with another destination.
fn to(to: &str) -> String {
    format!("version: 1\nto: {to}\nimages:\n  quay.io/a/app: \"1\"\n  quay.io/b/app: \"1.*\"\n")
}

/// A file with these groups.
fn groups(groups: &str) -> String {
    format!("version: 1\nto: registry.example.com/{{path}}\ngroups:\n{groups}\n")
}

/// The day-one file with these defaults.
fn defaults(defaults: &str) -> String {
    and(&format!("defaults: {defaults}\n"))
}

/// The day-one file with settings for one registry.
fn registry(settings: &str) -> String {
    and(&format!("registries:\n  quay.io: {settings}\n"))
}

fn files() -> Vec<(&'static str, String)> {
    let mut files = files_of_repositories();
    files.extend(files_of_groups());
    files.extend(files_of_settings());
    files.extend(registries::files());
    files.extend(jobs::files());
    files
}

fn files_of_groups() -> Vec<(&'static str, String)> {
    vec![
        ("maps without entries", "version: 1\ndestinations: {}\ngroups: {}\njobs: {}\n".to_owned()),
        ("maps that are something else", "version: 1\ndestinations: a\ngroups: [a]\njobs: a\ninclude: a\n".to_owned()),
        ("names that cannot be part of a path", groups("  Hub: { images: { a: \"1\" } }\n  a/b: {}\n  \"\": {}")),
        ("a group without images", groups("  hub: { owner: me }\n  library: { from: docker.io/library }")),
        ("a group that is a list", groups("  hub: [alpine]")),
        (
            "prefixes that cannot be read",
            groups(
                "  a: { from: quay.io/Team, images: { a: \"1\" } }\n  b: { from: \"https://quay.io\", images: { a: \"1\" } }\n  \
                 c: { from: oci-archive:a.tar, images: { a: \"1\" } }\n  d: { from: oci:a, images: { a: \"1\" } }\n  \
                 e: { from: quay.io/, images: { a: \"1\" } }\n  f: { from: [a], images: { a: \"1\" } }",
            ),
        ),
        (
            "prefixes that are images",
            groups(&format!(
                "  a: {{ from: quay.io/a/b:1, images: {{ c: \"1\" }} }}\n  b: {{ from: quay.io/a/b:1, tags: \"2\" }}\n  \
                 c: {{ from: quay.io/a/b@sha256:{} }}\n  d: {{ from: quay.io/a/b:sha256-{0}.sig }}",
                "ab".repeat(32)
            )),
        ),
        (
            "keys that are no paths below a prefix",
            groups(
                "  a:\n    from: quay.io\n    tags: \"1\"\n    images: { a/b:1: , A: , /c: , \"*\": , \"{a,b}\": , d@x: , d/: }",
            ),
        ),
        ("an image in two spellings", groups("  a: { images: { alpine: \"1\", docker.io/alpine: \"2\" } }")),
        ("a rule for tags without its list", groups("  a: { images: { alpine: { versions: \">=3\" } } }")),
        ("no tags anywhere", groups("  a: { images: { alpine: , nginx: { owner: me } } }")),
        ("nowhere to go", "version: 1\nimages: { alpine: \"1\", nginx: \"1\" }\n".to_owned()),
        ("settings for lists that say nothing of them", groups("  a: { lists: none.txt, from: quay.io, tags: \"1\" }")),
        (
            "fields of a destination that are empty",
            "version: 1\nto: [\"registry.example.com/{group}/{name}\", \"registry.example.com/{owner}/{name}\"]\nimages: { a: \"1\" }\n"
                .to_owned(),
        ),
        (
            "destinations without repositories",
            and("destinations: { a: {}, b: { repositories: [] }, c: { repositories: oci-archive:x }, d: { create: {} } }\n"),
        ),
        ("a destination that there is not", to("[harbor, registry.example.com]")),
        ("two ways to say `to`", defaults("{ to: registry.example.com/{path} }").replace("{path} }", "a }")),
    ]
}

fn files_of_settings() -> Vec<(&'static str, String)> {
    vec![
        (
            "settings of wrong types",
            defaults("{ owner: 1, kind: [image], platforms: 5, referrers: true, expect: 3, tags: { versions: \">=1\" } }"),
        ),
        ("settings that are empty maps", defaults("{ platforms: {}, referrers: {}, expect: {} }")),
        (
            "settings with unknown values",
            defaults("{ kind: charts, platforms: amd64, referrers: { only: [sboms, sig] }, expect: { min: -1, max: 1e3 } }"),
        ),
        ("settings of a later part", defaults("{ policy: standard, immutable: [], prune: { after: 30d } }")),
        ("some platforms and no word on the index", defaults("{ platforms: { only: [linux/amd64] } }")),
        ("a word on the index and all platforms", defaults("{ platforms: { index: sparse } }")),
        (
            "a chart of which only some platforms are wanted",
            defaults("{ kind: chart, platforms: { only: linux/amd64, index: sparse } }"),
        ),
        ("more expected at least than at most", defaults("{ expect: { min: 3, max: 2 } }")),
        (
            "names that are fewer or more than are expected",
            groups(
                "  a: { expect: { min: 2 }, images: { alpine: [\"1\", \"2\", \"!2\"] } }\n  \
                 b: { expect: { max: 1 }, images: { nginx: [\"1\", \"2\"] } }",
            ),
        ),
        (
            "an owner that cannot be part of a path",
            groups(
                "  a: { owner: \"The Bank\", images: { alpine: \"1\" } }\n  b: { owner: x/y, images: { nginx: \"1\" } }",
            )
            .replace("{path}", "{owner}/{path}"),
        ),
        (
            "jobs that read back what is no percentage",
            groups("  a: { images: { alpine: \"1\" } }")
                + "jobs:\n  b: { groups: a, verify: { at_most: 5 } }\n  c: { verify: { at_most: 101% } }\n  d: { verify: {} }\n  \
                   e: { verify: { at_most: 0.5% } }\n  f: { verify: 5% }\n  g: { verify: { atmost: [5%] } }\n  h: { verify: { at_most: [5%] } }\n",
        ),
        (
            "jobs that cannot be read",
            groups("  a: { images: { alpine: \"1\" } }")
                + "jobs: { a: {}, b: { groups: [] }, c: { groups: [A, \"[\"] }, d: { groups: \"!a\", schedule: x }, e: [a] }\n",
        ),
    ]
}

fn files_of_repositories() -> Vec<(&'static str, String)> {
    vec![
        ("an empty file", String::new()),
        ("a file that is not YAML", "version: 1\nto: [a, b\nimages: {}\n".to_owned()),
        ("a second document", "version: 1\n---\nversion: 1\n".to_owned()),
        ("a file that is a list", "- version: 1\n".to_owned()),
        ("nothing but an unknown key", "image:\n  alpine: latest\n".to_owned()),
        ("a key of a later part", and("policies: {}\nschedule: {}\nregistry: {}\n")),
        ("a later version", and("").replace("version: 1", "version: 2")),
        ("a key that is given twice", and("images:\n  busybox: latest\n")),
        ("a merge of maps", and("<<: { network: {} }\n")),
        (
            "credentials in references",
            images("  https://me:hush@docker.io/a: \"1\"\n  me:hush@docker.io/a: \"1\"")
                + "registries:\n  me:hush@quay.io: { auth: anonymous }\ndefaults: { to: \"me:hush@r.example/{path}\" }\n",
        ),
        ("control characters", images("  alpine: [\"1\\e[2J\"]") + "defaults: { owner: \"a\\e[2J\\nb\" }\n"),
        ("a number where a tag belongs", images("  alpine: 3.20\n  nginx: [1.20, 0x1F, 1e3, \"1.20\"]")),
        ("other words that YAML takes for something else", images("  alpine: [on, No, true, ~, null]")),
        ("a boolean as a key", images("  on: latest\n  1: latest")),
        ("a range without quotes", images("  alpine: >=3.18")),
        ("any tag without quotes", images("  alpine: *")),
        ("a removal without quotes", images("  alpine: [latest, !edge, !*-perl]")),
        ("a glob without quotes", images("  alpine: *-slim\n  nginx: [1.29, *perl]")),
        ("no tags", images("  alpine:\n  nginx: []\n  busybox: \"\"\n  redis: [\"!8\"]")),
        ("a selection that is a map", images("  alpine: { versions: \">=3\" }")),
        (
            "rules that cannot be read",
            images(
                "  alpine: [\"/[/\", \"/3\", \">=3.x\", \">=3-alpine\", \">=2024\", \">3 || <2\", \"[3\", \"3 4\"]\n  \
                   nginx: [\"1@sha256:12\", \"!1@sha256:12\", \"1.29;*\", \"!<2024\", \"!!1\", \"!\", \"$stable\"]",
            ),
        ),
        (
            "signatures asked for by name",
            images(&format!("  alpine: [\"sha256-{0}.sig\", \"sha256-{0}.sig@sha256:{0}\"]", "ab".repeat(32))),
        ),
        (
            "two digests for one tag",
            images(&format!("  alpine: [\"3@sha256:{}\", \"3@sha256:{}\"]", "ab".repeat(32), "cd".repeat(32))),
        ),
        (
            "keys that are no repositories",
            images(
                "  alpine:3.22: latest\n  https://quay.io/a/b: latest\n  quay.io/Team/app: latest\n  \
                   quay.io/prometheus/*: latest\n  oci:mirror: latest\n  oci-archive:a.tar: latest",
            ),
        ),
        ("a repository in two spellings", images("  alpine: latest\n  docker.io/library/alpine: edge")),
        ("a pin within a layout", images(&format!("  oci:mirror:alpine: \"3@sha256:{}\"", "ab".repeat(32)))),
        ("two sources for one repository", to("registry.example.com/{name}")),
        ("two sources for one tag", to("registry.example.com/{name}").replace("1.*", "1")),
        (
            "several sources for one repository, of which one needs a listing",
            "version: 1\nto: registry.example.com/{name}\nimages:\n  quay.io/a/app: \"1\"\n  quay.io/b/app: \"2\"\n  \
             quay.io/c/app: \"3.*\"\n  quay.io/d/app: \"4\"\n"
                .to_owned(),
        ),
        ("one destination twice", to("['registry.example.com/{path}', 'registry.example.com/{path}']")),
        ("a source as its own destination", to("quay.io/{path}")),
        (
            "destinations that cannot be read",
            to(
                "['mirror/{path}', registry.example.com, 'registry.example.com/{path}:1', 'registry.example.com/{tag}', \
                 oci-archive:a.tar, 'https://registry.example.com/a', 'oci:mirror:a', 'registry.example.com/{path', \
                 'oci:{path}', 'oci:', 'a_b.example.com/{path}', '${REGISTRY}/{path}']",
            ),
        ),
        ("a destination with fields and without quotes, in a list", to("[registry.example.com/{path}, oci:mirror]")),
        ("text with control characters", images("  alpine: \"a\\n\\e[31mb\"")),
        ("a destination that no registry allows", to("registry.example.com/Mirror/{path}")),
        ("a number as destination", to("5000")),
        ("a proxy with a password", and("network: { proxy: 'http://bank:hunter2@proxy.example.com' }\n")),
        ("a network that cannot be read", and("network: { proxy: proxy.example.com, direct: [10.0.0.0/33, a b] }\n")),
    ]
}

/// Files with maps and sets of rules for tags.
fn tag_rules() -> Vec<(&'static str, String)> {
    vec![
        (
            "maps that are no rules",
            images(
                "  alpine: [{}, { version: \">=3\" }, { versions: \">=3\", pattern: \"3\" }, { versions: 3 }]\n  \
                   nginx: [{ versions: \"1.*\" }, { versions: \" \" }, { versions: \">=2024\" }, { versions: \">=1-rc1\" }]\n  \
                   redis: [{ versions: \">=1\", scheme: date }, { versions: \">=7\", scheme: semver }]\n  \
                   node: [{ versions: \">=1\", pre_releases: yes, aliases: 1, newest: 3 }]",
            ),
        ),
        (
            "variants that cannot be",
            images(
                "  alpine: [{ versions: \">=3\", variants: [-slim, \"a b\", \"[a\", \"*/\", 3.22] }, { versions: \">=3\", variants: [] }]",
            ),
        ),
        (
            "limits that cannot be",
            images(
                "  alpine:\n  - { versions: \">=3\", newest: { minor: 3, patches: 0, count: \"2\", majors: 99999 } }\n  \
                   - { versions: \">=3\", newest: {} }",
            ),
        ),
        (
            "newest by time with more than a count",
            images(
                "  alpine:\n  - { versions: \">=3\", newest: { majors: 1, minors: 1, patches: 1, count: 1, by: time } }\n  \
                   - { versions: \">=3\", newest: { by: time } }\n  - { versions: \">=3\", newest: { by: version } }\n  \
                   - { pattern: \"v.*\", newest: { count: 1, by: date } }\n  - { pattern: \"v.*\", newest: { count: 1, by: version } }",
            ),
        ),
        (
            "patterns that cannot be",
            images(
                "  alpine:\n  - pattern: \"(?<version>[0-9]\"\n  - pattern: \"v([0-9]+)\"\n  - pattern: \"(?<version>a))|(b\"\n  \
                   - { pattern: \"(?<version>.*)\", variants: [slim], aliases: true, pre_releases: true, scheme: date }",
            ),
        ),
        (
            "tag sets that cannot be",
            and(
                "tag_sets:\n  Stable: \">=0\"\n  a.b: \">=0\"\n  none:\n  empty: []\n  other: [$stable, \">=0\"]\n  bad: { versions: 3 }\n",
            ),
        ),
        ("tag sets that are a list", and("tag_sets: [stable]\n")),
        (
            "tag sets that are not there",
            images("  alpine: [$stabel, $lts]\n  nginx: [\"1\", \"!$stable\"]\ntag_sets: { stable: \">=0\" }"),
        ),
        ("a tag set where there are none", images("  alpine: $stable")),
        (
            "a tag set with a fault, which is told once",
            images("  alpine: $stable\n  nginx: [$stable, \"!*-perl\"]\ntag_sets: { stable: \">=x\" }"),
        ),
        ("a tag set of removals alone", images("  alpine: $small\ntag_sets: { small: [\"!*-jdk\"] }")),
    ]
}

#[test]
fn each_fault_is_told_with_its_line_its_rule_and_how_to_mend_it() {
    let told = files().into_iter().chain(tag_rules()).map(|(name, text)| {
        let faults = parse(&text).map_or_else(|faults| faults.to_string(), |_| panic!("no fault: {name}"));
        let numbered = text.lines().enumerate().map(|(i, line)| format!("{:3} | {line}\n", i + 1)).collect::<String>();
        format!("# {name}\n\n{numbered}\n{faults}\n")
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n\n"));
}

#[test]
fn all_faults_of_a_file_are_told_at_once() {
    let text = "
version: 3
too: registry.example.com/{path}
images:
  alpine: [3.20, \">=3.x\", !edge]
  alpine:3: latest
  quay.io/a/app: yes
  quay.io/a/app: \"1\"
registries:
  quay.io: { name: Quay, auth: { username: 1, password: hunter2 }, limit: { concurrency: 4 } }
  nowhere: {}
network: { direct: [], proxi: a }
";
    insta::assert_snapshot!(parse(text).unwrap_err());
}

#[test]
fn no_fault_repeats_what_may_be_a_secret() {
    for text in [
        registry("{ auth: { username: bank, password: hunter2 } }"),
        registry("{ auth: { username: bank, password: 'hunter2' } }"),
        registry("{ auth: { username: bank, password: [hunter2] } }"),
        registry("{ auth: { username: bank, password: !hunter2 } }"),
        registry("{ auth: { username: bank, password: !hunter2!x y } }"),
        registry("{ auth: { username: bank, password: *hunter2 } }"),
        registry("{ auth: { username: bank, password: @hunter2 } }"),
        registry("{ auth: { username: bank, password: \"hunter2\\q\" } }"),
        registry("{ auth: { username: bank, password: hunter2: } }"),
        registry("\n    auth:\n      username: bank\n      password: >hunter2"),
        registry("{ auth: { username: bank, password: { evn: hunter2 } } }"),
        registry("{ auth: { username: bank, passwort: hunter2 } }"),
        registry("{ auth: { username: bank, password: {hunter2} } }"),
        registry("{ auth: { username: bank, password: { hunter2: } } }"),
        registry("{ auth: { username: bank, password: { env: \"${hunter2}\" } } }"),
        registry("{ auth: hunter2 }"),
        registry("{ auth: { github_app: hunter2 } }"),
        registry("{ auth: { github_app: { id: [hunter2], key: hunter2 } } }"),
        registry("{ auth: { github_app: { id: 1, key: { hunter2: } } } }"),
        registry("{ auth: { github_app: { id: 1, key: -----hunter2----- } } }"),
        registry("{ alternatives: { a: \"https://bank:hunter2@b.io/a\", \"bank:hunter2@b.io/*\": c.io/d } }"),
        and("registries: { \"https://bank:hunter2@quay.io\": {} }\n"),
        to("\"https://bank:hunter2@quay.io/{path}\""),
        images("  https://bank:hunter2@quay.io/a/b: latest\n  https://bank:hunter2@quay.io/a/b: latest"),
        groups("  a: { from: \"https://bank:hunter2@quay.io\", images: { b: \"1\" } }"),
        registry("{ auth: [hunter2] }"),
        registry("{ tls: { client: { certificate: a.pem, key: hunter2 } } }"),
        and("network: { proxy: 'http://bank:hunter2@proxy.example.com' }\n"),
        and("network: { proxy: 'bank:hunter2' }\n"),
        and("network: { proxy: ['http://bank:hunter2@proxy.example.com'] }\n"),
    ] {
        let faults = parse(&text).unwrap_err().to_string();
        assert!(!faults.contains("hunter2"), "{faults}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_refused() {
    let faults = jobfile::parse(b"version: \xff", Path::new("first.yaml")).unwrap_err();
    assert_eq!(faults.to_string(), "first.yaml:1:1 yaml the file is not UTF-8; save it as UTF-8");
}

#[test]
fn the_folder_of_a_layout_is_refused_if_its_text_could_not_be_read_back() {
    let texts = [
        "version: 1\nto: oci:out\nimages:\n  alpine: latest\n",
        "version: 1\nto: registry.example.com/{path}\nimages:\n  oci:in:docker.io/library/alpine: latest\n",
    ];
    let folders: [(&[u8], &str); 2] = [(b"/jobs:1/job.yaml", "has a `:`"), (b"/jobs\xff/job.yaml", "is not UTF-8")];
    for (text, (file, expected)) in texts.into_iter().flat_map(|text| folders.map(|folder| (text, folder))) {
        let faults = jobfile::parse(text.as_bytes(), Path::new(OsStr::from_bytes(file))).unwrap_err().to_string();
        assert!(faults.contains(expected), "{faults}");
        assert!(jobfile::parse(text.as_bytes(), Path::new("/jobs/job.yaml")).is_ok(), "{text}");
    }
}
