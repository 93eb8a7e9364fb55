//! The schema is that of the code, and allows what the program reads.

use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value as Json;

use crate::tree::{self, Kind, Node, Value};

/// What an editor makes of a file.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Text(text) => Json::from(text.as_str()),
        Value::Typed(Kind::Nothing, _) => Json::Null,
        Value::Typed(Kind::Boolean, text) => Json::from(text == "true"),
        Value::Typed(_, text) => text.parse::<u64>().map_or_else(|_| Json::from(1.5), Json::from),
        Value::List(list) => list.iter().map(json).collect(),
        Value::Map(map) => Json::Object(map.iter().map(|(key, value)| (key.to_string(), json(value))).collect()),
    }
}

/// What the schema says against a file; nothing if it allows it.
fn faults(text: &str) -> Vec<String> {
    let node = tree::read(text, &Path::new("job.yaml").into(), &mut Vec::new()).unwrap();
    static SCHEMA: LazyLock<Validator> = LazyLock::new(|| jsonschema::validator_for(&super::schema()).unwrap());
    SCHEMA.iter_errors(&json(&node)).map(|fault| format!("{} {fault}", fault.instance_path())).collect()
}

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(path)).unwrap()
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/job.schema.json");
    let ours = serde_json::to_string_pretty(&super::schema()).unwrap() + "\n";
    if std::fs::read_to_string(path).ok().as_deref() != Some(&ours) {
        std::fs::write(path, ours).unwrap();
        panic!("`job.schema.json` was not that of the code and is written anew: look at what changed");
    }
}

#[test]
fn right_files_are_allowed() {
    for path in ["first.yaml", "bank/factory.yaml", "bank/policies/base.yaml", "bank/teams/payments.yaml"] {
        assert_eq!(faults(&file(path)), [""; 0], "{path}");
    }
    let readme = include_str!("../../README.md").split("```yaml\n").skip(1);
    for example in readme.map(|rest| rest.split("```").next().unwrap()) {
        let first = if example.starts_with("version") { "" } else { "version: 1\n" };
        assert_eq!(faults(&format!("{first}{example}")), [""; 0], "{example}");
    }
    for text in [
        "version: 1\nnetwork: { direct: a.example.com }\nregistries: { a.example.com: { plain_http: true }, quay.io: {} }",
        "version: 1\nregistries: { a.io: { tls: { ca_file: a, client: { certificate: b, key: { helper: c } } } } }",
        "version: 1\ndefaults: { platforms: { only: linux/arm/v7, index: rewrite }, referrers: { only: [sbom] } }",
        "version: 1\nimages: { a: { kind: chart, referrers: none, to: [b], expect: { min: 0 } }, b: skip, c: , '[::1]:5/a': '1' }",
        "version: 1\nregistries: { a.io: { auth: azure, without: mount, limits: { pulls: { count: 9, per: 1d, keep_free: 0 } } } }",
        "version: 1\nregistries: { b.io: { limits: { requests_per_second: 5, bandwidth: 1MiB/s }, alternatives: { a: c.io/b } } }",
        "version: 1\ntag_sets: { t: { pattern: a, newest: { count: 1, by: time } }, v: { versions: '1', newest: { count: 1, by: version } } }",
        "version: 1\njobs: { a: { groups: a, verify: { at_most: 0% } }, b: { groups: a, verify: { at_most: 100% } } }",
        "version: 1\njobs: { a: { groups: a, schedule: { cron: 7  * * * mon-fri }, window: { until: '23:59' } } }",
        "version: 1\njobs: { a: { groups: a, schedule: { cron: 7 * * * *, missed: skip, overlap: queue, jitter: 9m } } }",
        "version: 1\ntag_sets: { a: [{ versions: '1', scheme: date, pre_releases: true }, '!b'] }\njobs: { a: { groups: '*' } }",
    ] {
        assert_eq!(faults(text), [""; 0], "{text}");
    }
}

#[test]
fn unknown_keys_and_wrong_values_are_not_allowed_anywhere() {
    let bank = file("bank/factory.yaml");
    for (right, wrong) in [
        ("include:", "includes:"),
        ("files:", "file:"),
        ("may_use: {", "may_use: { x: y, "),
        ("{ proxy:", "{ proxi:"),
        ("limits: { concurrency", "limits: { requests"),
        ("per: 6h", "per: 6"),
        ("keep_free: 50", "keep_free: -1"),
        ("400Mbit/s", "400Mbps"),
        ("at_most: 5%", "at_most: 101%"),
        ("\"library/*\":", "\"*/*\":"),
        ("[single_post]", "[mounts]"),
        ("github_app: { id: 4711", "github_app: { id: app"),
        ("by: time", "by: date"),
        ("concurrency: 16", "concurrency: 0"),
        ("password: { env", "password: { evn"),
        ("auth: anonymous", "auth: azur"),
        ("repositories: [", "repository: ["),
        ("platforms: all", "platforms: some"),
        ("expect: {", "expect: { about: 5, "),
        ("    owner: platform", "    policy: standard"),
        ("postgres: {", "postgres: { policy: standard, "),
        ("{ majors: 3", "{ major: 3"),
        ("max_duration: 8h", "max_duration: 8"),
        ("max_concurrency: 200", "max_concurrency: 0"),
        ("\"30 1 * * *\"", "\"30 1 * *\""),
        ("missed: once", "missed: twice"),
        ("overlap: skip", "overlap: wait"),
        ("until: \"05:45\"", "until: \"5:45\""),
        ("hourly: {", "hourly: { notify: x, "),
        ("stable, \"1.29", "1.29, \"1.29"),
        ("version: 1", "version: 2"),
    ] {
        assert!(bank.contains(right), "{right}");
        assert!(!faults(&bank.replacen(right, wrong, 1)).is_empty(), "{wrong}");
    }
}

#[test]
fn every_key_is_described() {
    let schema = super::schema();
    let tables = schema["definitions"].as_object().unwrap().values().chain([&schema]);
    for (name, property) in tables.flat_map(|table| table["properties"].as_object().unwrap()) {
        assert!(property["description"].as_str().unwrap().ends_with('.'), "{name}");
    }
}

/// Values of every kind, in which keys of the file are likely.
fn value() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let keys = "only|index|min|max|to|tags|images|groups|from|files|may_define|env|repositories|versions|newest|pulls|per|at_most|cron|until|missed";
    let scalar = prop_oneof![
        "(all|none|skip|rewrite|harbor|own|stable|true|~|1|0|99999999999|linux/amd64|aws|mount|6h|5%|1MB/s|once|7 1 \\* \\* \\*|'05:45')",
        "'[a-z0-9./:*@!$<>={}-]{0,12}'",
        Just("''".to_owned()),
    ];
    scalar.prop_recursive(3, 12, 3, move |inner| {
        let entry = (keys, inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..3).prop_map(|list| format!("[{}]", list.join(", "))),
            proptest::collection::vec(entry, 0..3).prop_map(|entries| format!("{{ {} }}", entries.join(", "))),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn any_value_at_any_key_is_refused_or_read_and_then_allowed(
        top in "include|network|registries|destinations|defaults|tag_sets|to|groups|images|jobs",
        name in "own|harbor|quay.io|files|from|to|tags|platforms",
        key in "to|tags|owner|kind|platforms|referrers|expect|from|images|lists|repositories|auth|tls|limits|without|alternatives|groups|verify|schedule|window|max_duration|max_concurrency|versions",
        value in value(),
        depth in 0..3,
    ) {
        let value = match depth {
            0 => value,
            1 => format!("{{ {name}: {value} }}"),
            _ => format!("{{ {name}: {{ {key}: {value} }} }}"),
        };
        let mut text = format!("version: 1\n{top}: {value}\n");
        for (other, usual) in [
            ("destinations", "{ harbor: { repositories: 'h.example.com/{path}' } }"),
            ("groups", "{ own: { to: harbor, images: { a: '1' } } }"),
        ] {
            if other != top {
                text += &format!("{other}: {usual}\n");
            }
        }
        let read = |path: &Path| match path.to_str() {
            Some("own") => Ok(crate::Entry::File(b"a:1\n".to_vec())),
            Some("all") => Ok(crate::Entry::File(b"version: 1\n".to_vec())),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        match crate::parse_with(text.as_bytes(), Path::new("job.yaml"), &read) {
            Ok(_) => proptest::prop_assert_eq!(faults(&text), [""; 0]),
            Err(faults) => proptest::prop_assert!(!faults.is_empty()),
        }
    }
}
