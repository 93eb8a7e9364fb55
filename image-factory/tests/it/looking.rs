//! Commands that look and do not change: what a person is told, word for word.

use sandbox::{Registry, content};
use serde_json::Value;

use crate::support::{Ended, Workshop};

const FILE: &str = "\
version: 1
to: registry.example.com/mirror/{path}
images:
  docker.io/library/alpine: \">=3.18\"
  docker.io/library/nginx: [\"1.*\", \"!*-perl\", \"stable@sha256:4f3c2a9be07d51c86e1fa4c0972d3b58e6f1049ac7d82b35f0e96174ca8d3b21\"]
  oci:images:quay.io/prometheus/prometheus: v3.5.0
registries:
  docker.io:
    auth: { username: bankmirror, password: { env: HUB_PAT } }
    limits: { concurrency: 4 }
";

/// A workshop with `job.yaml`, and what the program says of it.
async fn told(text: &str, args: &[&str]) -> Ended {
    let workshop = Workshop::new();
    let ended = workshop.job(text).program(args).await;
    assert!(!workshop.path().join("data").exists(), "who only looks opens no data folder");
    let folder = workshop.path().canonicalize().unwrap().display().to_string();
    Ended { stdout: ended.stdout.replace(&folder, "FOLDER"), ..ended }
}

#[tokio::test]
async fn a_right_file_is_told_in_a_line() {
    insta::assert_snapshot!(told(FILE, &["check", "job.yaml"]).await.expect(0).stdout);
}

#[tokio::test]
async fn all_faults_of_a_file_are_told_with_their_places_and_nothing_of_it_reaches_the_terminal_raw() {
    let text =
        "version: 2\nto: mirror\nimages:\n  docker.io/library/alpine: [1.20, \"a\\e[2Jb\"]\n  Upper/case: \"*\"\n";
    let ended = told(text, &["check", "job.yaml"]).await.expect(2);
    assert!(!ended.stdout.contains('\x1b'), "{}", ended.stdout);
    insta::assert_snapshot!(ended.stdout);
}

#[tokio::test]
async fn a_warning_fails_a_check_only_if_it_is_strict() {
    let text = FILE.replace("  docker.io:\n", "  ghcr.io: { auth: anonymous }\n  docker.io:\n");
    insta::assert_snapshot!(told(&text, &["check", "job.yaml"]).await.expect(0).stdout);
    let strict = told(&text, &["check", "--strict", "job.yaml"]).await.expect(2).stdout;
    assert!(strict.lines().last().unwrap().starts_with("wrong  job.yaml"), "{strict}");
    let json = told(&text, &["check", "--strict", "--json", "job.yaml"]).await.expect(2).stdout;
    insta::assert_snapshot!(json);
}

#[tokio::test]
async fn several_files_are_checked_and_one_that_is_not_there_is_named() {
    let workshop = Workshop::new();
    workshop.write("good.yaml", FILE);
    workshop.write("bad.yaml", "version: 1\n");
    let ended = workshop.program(&["check", "good.yaml", "bad.yaml"]).await.expect(2);
    let ends: Vec<_> = ended.stdout.lines().filter(|line| !line.starts_with("bad.yaml:")).collect();
    assert!(ends[0].starts_with("ok     good.yaml") && ends[1].starts_with("wrong  bad.yaml"), "{}", ended.stdout);
    let told = workshop.program(&["check", "none.yaml", "good.yaml"]).await.expect(2).stdout;
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("none.yaml:1:1 read read `none.yaml`: No such file"), "{told}");
    assert!(lines[1].starts_with("wrong  none.yaml  1 fault") && lines[2].starts_with("ok     good.yaml"), "{told}");
    let json = workshop.program(&["check", "--json", "none.yaml", "bad.yaml"]).await.expect(2).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["rule"], &json[0]["severity"]), (&Value::from("read"), &Value::from("fault")));
    assert_eq!(json[1]["file"], "bad.yaml");
}

#[tokio::test]
async fn an_image_is_shown_by_its_source_or_its_destination_with_its_rule_and_logins_but_no_secret() {
    let asked = [
        "show",
        "job.yaml",
        "alpine:3.20",
        "alpine:edge",
        "registry.example.com/mirror/library/nginx:1.27-perl",
        "docker.io/library/nginx:stable",
        "docker.io/library/nginx",
        "oci:./images:quay.io/prometheus/prometheus:v3.5.0",
    ];
    insta::assert_snapshot!(told(FILE, &asked).await.expect(0).stdout);
    let json = told(FILE, &["show", "job.yaml", "alpine:3.20", "--json"]).await.expect(0).stdout;
    insta::assert_snapshot!(json);
}

/// Two groups, one of them in a file of its own, with settings on each layer.
const GROUPS: &str = "\
version: 1
include:
  - { files: \"teams/*.yaml\", may_define: [groups] }
tag_sets: { stable: { versions: \">=0\", newest: { minors: 3, patches: 2 } } }
destinations:
  harbor: { repositories: [\"harbor.example.com/{path}\"] }
  east: { repositories: [\"east.example.com/{path}\", \"west.example.com/{path}\"] }
defaults:
  to: [harbor]
  expect: { min: 1 }
groups:
  hub:
    owner: platform
    from: docker.io/library
    tags: $stable
    images:
      alpine:
      nginx: { tags: [\"1.*\", \"!*-perl\"], to: [east] }
jobs:
  nightly: { groups: [\"*\", \"!payments\"] }
  hourly: { groups: [payments] }
";

const TEAM: &str = "\
version: 1
groups:
  payments: { owner: payments, from: docker.io/library, images: { alpine: { tags: \"3.20\", to: [east] } } }
";

#[tokio::test]
async fn each_setting_in_force_is_shown_with_the_file_and_line_that_it_comes_from() {
    let workshop = Workshop::new();
    std::fs::create_dir(workshop.path().join("teams")).unwrap();
    workshop.write("teams/payments.yaml", TEAM);
    workshop.write("factory.yaml", GROUPS);
    let check = workshop.program(&["check", "factory.yaml"]).await.expect(0).stdout;
    let show = workshop.program(&["show", "factory.yaml", "alpine:3.20", "west.example.com/library/nginx"]).await;
    insta::assert_snapshot!(check + &show.expect(0).stdout);
}

#[tokio::test]
async fn what_is_said_of_a_registry_is_shown_in_words_with_the_alternatives_of_the_image_alone() {
    let hub = "limits: { requests_per_second: 20, manifest_writes_per_second: 8, bandwidth: 50MiB/s, \
               pulls: { count: 100, keep_free: 50 } }\n    \
               alternatives: { \"library/*\": \"public.ecr.aws/docker/library/*\", \"oracle/*\": \"oracle.test/*\" }\n    \
               without: [single_post, mount]";
    let others = "  registry.example.com: { auth: gcp }\n  ghcr.io: { auth: { github_app: { id: 4711, key: { \
                  env: GH_KEY } } }, limits: { pulls: { per: 12h, keep_free: 9 } } }\n";
    let file =
        FILE.replace("limits: { concurrency: 4 }", hub).replace("  oci:", "  ghcr.io/a/app: v1\n  oci:") + others;
    let shown = told(&file, &["show", "job.yaml", "nginx", "ghcr.io/a/app"]).await.expect(0).stdout;
    let logins: Vec<_> = shown.lines().filter(|line| line.trim_start().starts_with("login")).collect();
    insta::assert_snapshot!(logins.join("\n"));
}

#[tokio::test]
async fn a_tag_that_may_be_the_newest_by_time_depends_on_the_listing() {
    let rule = "[{ pattern: \"v.*\", newest: { count: 1, by: time } }]";
    let shown = told(&FILE.replace("\">=3.18\"", rule), &["show", "job.yaml", "alpine:v7"]).await.expect(0).stdout;
    let tag = shown.lines().find(|line| line.trim_start().starts_with("tag ")).unwrap();
    assert!(tag.contains("by: time }") && tag.contains("unless other tags of the repository change that"), "{tag}");
}

#[tokio::test]
async fn what_the_file_does_not_have_is_answered_with_what_is_close() {
    let ended =
        told(FILE, &["show", "job.yaml", "alpin:3.20", "ghcr.io/other/nginx", "nothing/like-it"]).await.expect(1);
    insta::assert_snapshot!(ended.stdout);
    for (asked, expected) in [
        ("nginx@sha256:4f3c2a9be07d51c86e1fa4c0972d3b58e6f1049ac7d82b35f0e96174ca8d3b21", "rules are for tags"),
        ("oci:images", "name the repository too"),
        ("oci-archive:images.tar", "a tar is part of no job file"),
        ("team/App", "upper-case letters are not allowed"),
    ] {
        let ended = told(FILE, &["show", "job.yaml", asked]).await.expect(2);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

/// A registry with tags of all kinds, and what the program says of them.
async fn tags(file: Option<&str>, args: &[&str]) -> Ended {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    for tag in ["3.20.1", "3.21.0", "3.21.1", "3.21", "3.21.1-slim", "3.22.0-rc1", "2.9", "20240101", "edge", "latest"]
    {
        registry.store().put_image("team/app", Some(tag), &image);
    }
    let signature = content::cosign_signature(&image);
    registry.store().put_image("team/app", Some(&content::cosign_tag(&image.digest(), "sig")), &signature);
    let workshop = Workshop::new();
    let host = registry.host();
    if let Some(lines) = file {
        workshop.job(&format!("version: 1\nto: oci:out\nimages:\n  {host}/{lines}\n"));
    }
    let args: Vec<String> = args.iter().map(|arg| arg.replace("HOST", &host)).collect();
    let ended = workshop.program(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let masked = |text: &str| text.replace(&host, "HOST").replace(image.digest().hex(), "HEX");
    Ended { stdout: masked(&ended.stdout), stderr: masked(&ended.stderr), ..ended }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tags_are_listed_one_on_a_line_the_newest_first() {
    insta::assert_snapshot!(tags(None, &["tags", "HOST/team/app"]).await.expect(0).stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_command_line_are_tried_on_what_the_registry_has() {
    let rules = ["tags", "HOST/team/app", "--rule", ">=3", "--rule", "{ versions: '>=3', variants: [slim] }"];
    let args = [&rules[..], &["--rule", "!3.20.*", "--rule", "/^none/"]].concat();
    insta::assert_snapshot!(tags(None, &args).await.expect(0).stdout);
    insta::assert_snapshot!(tags(None, &[&args[..], &["--all"]].concat()).await.expect(0).stdout);
    let wrong = tags(None, &["tags", "HOST/team/app", "--rule", "!edge", "--rule", "a b"]).await.expect(2);
    insta::assert_snapshot!(wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_by_time_are_not_guessed_where_the_listing_has_no_times() {
    let rule = "{ versions: '>=3', newest: { count: 1, by: time } }";
    insta::assert_snapshot!(tags(None, &["tags", "HOST/team/app", "--rule", rule]).await.expect(0).stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_a_file_are_those_of_its_lines() {
    let file = "team/app: [\">=3.21\", \"9.9\"]";
    insta::assert_snapshot!(tags(Some(file), &["tags", "job.yaml", "HOST/team/app"]).await.expect(0).stdout);
    let json = tags(Some(file), &["tags", "job.yaml", "HOST/team/app", "--json"]).await.expect(0).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["listed"], 11);
    assert_eq!(json["lines"][0]["taken"][0]["tag"], "9.9");
    assert_eq!(json["lines"][0]["taken"][0]["listed"], false);
    assert_eq!(json["lines"][0]["dropped"].as_array().unwrap().len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_the_command_line_may_name_a_tag_set_of_the_file() {
    let file = "team/app: $st\ntag_sets: { st: '>=3.21' }";
    let args = ["tags", "job.yaml", "HOST/team/app", "--rule", "$st", "--rule", "edge"];
    let told = tags(Some(file), &args).await.expect(0).stdout;
    assert!(told.contains("3.21.1  $st\n") && told.contains("edge    edge\n"), "{told}");
    let close = tags(Some(file), &[&args[..4], &["$sta"]].concat()).await.expect(2).stderr;
    assert!(close.contains("there is no tag set `sta`; did you mean `$st`?"), "{close}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_wanted_and_not_there_is_not_counted_as_taken() {
    let told = tags(Some("team/app: '9.9'"), &["tags", "job.yaml", "HOST/team/app"]).await.expect(0).stdout;
    assert!(told.contains("  0 taken · 1 wanted but not there · 11 left\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_tags_are_counted_and_not_repeated() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("team/app", Some("1"), &image);
    for name in ["a\x1b[2Jb", "../x", &"x".repeat(300)] {
        registry.store().put_tag("team/app", name, &image.digest());
    }
    let workshop = Workshop::new();
    let host = registry.host();
    workshop.job(&format!("version: 1\nto: {host}/mirror/{{path}}\nimages:\n  {host}/team/app: '*'\n"));
    let warning = format!("warning  3 tags of {host}/team/app are not valid and are left out\n");
    let listed = workshop.program(&["tags", &format!("{host}/team/app")]).await.expect(0);
    assert_eq!((listed.stdout.as_str(), &listed.stderr), ("1\n", &warning));
    for told in [workshop.program(&["plan", "job.yaml"]).await, workshop.run().await] {
        let told = told.expect(0).stdout.replace("warning      ", "warning  ");
        assert!(told.contains(&warning), "{told}");
    }
}

#[tokio::test]
async fn a_repository_that_is_skipped_is_said_to_be() {
    let text = FILE.replace("registries:", "  quay.io/team/app: skip\nregistries:");
    let shown = told(&text, &["show", "job.yaml", "quay.io/team/app:1"]).await.expect(1).stdout;
    assert_eq!(shown, "`quay.io/team/app` is skipped at job.yaml:7:3\n");
    let listed = told(&text, &["tags", "job.yaml", "quay.io/team/app"]).await.expect(1).stderr;
    assert_eq!(listed, "error: `quay.io/team/app` is skipped at job.yaml:7:3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_listed_or_is_not_in_the_file_fails() {
    let none = tags(None, &["tags", "HOST/team/none"]).await.expect(1);
    assert!(
        none.stderr.contains("error: list the tags of `HOST/team/none`: GET http://HOST/v2/team/none/tags/list: 404")
    );
    assert_eq!(none.stdout, "");
    for (asked, code, expected) in [
        ("HOST/team/ap", 1, "close to it: `HOST/team/app`"),
        ("oci:out:HOST/team/app", 1, "is a destination: name its source, `HOST/team/app`"),
        ("HOST/team/app:3.21", 2, "leave out `:3.21`"),
    ] {
        let ended = tags(Some("team/app: '*'"), &["tags", "job.yaml", asked]).await.expect(code);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn schemas_and_completions_are_printed_whole() {
    let workshop = Workshop::new();
    assert_eq!(workshop.program(&["schema"]).await.stdout, workshop.program(&["schema", "job"]).await.stdout);
    for (document, key) in [("job", "images"), ("report", "totals")] {
        let schema = workshop.program(&["schema", document]).await.expect(0).stdout;
        let schema: Value = serde_json::from_str(&schema).unwrap();
        assert!(jsonschema::validator_for(&schema).is_ok() && schema["properties"][key].is_object(), "{document}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = workshop.program(&["completions", shell]).await.expect(0).stdout;
        assert!(script.contains("image-factory") && script.contains("report-dir"), "{shell}");
    }
}

#[tokio::test]
async fn who_types_the_word_of_another_tool_is_told_ours() {
    let workshop = Workshop::new();
    let mut told = String::new();
    for word in ["sync", "once", "ls", "login", "inspect"] {
        let ended = workshop.program(&[word, "--all", "x"]).await.expect(2);
        told += ended.stderr.lines().next().unwrap();
        told += "\n";
    }
    insta::assert_snapshot!(told);
    let unknown = workshop.program(&["chek"]).await.expect(2).stderr;
    assert!(unknown.contains("unrecognized subcommand 'chek'") && unknown.contains("'check'"), "{unknown}");
}

#[tokio::test]
async fn the_help_is_what_a_newcomer_reads_first() {
    insta::assert_snapshot!(Workshop::new().program(&["--help"]).await.expect(0).stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_colour_on_a_terminal_alone_and_none_where_it_is_not_wanted() {
    let workshop = Workshop::new();
    for args in [&["--help"][..], &["nothing"], &["doctor", "oci:none"]] {
        let ended = workshop.program(args).await;
        assert!(!(ended.stdout + &ended.stderr).contains('\x1b'), "{args:?}");
    }
    // `script` gives the program a terminal.
    let on_terminal = async |args: &str, no_color: &str| {
        let mut command = tokio::process::Command::new("script");
        let program = env!("CARGO_BIN_EXE_image-factory");
        command.args(["-qec", &format!("{program} {args}"), "/dev/null"]).env("NO_COLOR", no_color);
        command.env("TERM", "xterm").env("IMAGE_FACTORY_LOG", "no such=filter").stdin(std::process::Stdio::null());
        String::from_utf8(command.output().await.unwrap().stdout).unwrap()
    };
    for args in ["--help", "schema report"] {
        let (plain, coloured) = (on_terminal(args, "1").await, on_terminal(args, "").await);
        assert!(coloured.contains('\x1b'), "{args}: {coloured}");
        assert!(!plain.is_empty() && !plain.contains('\x1b'), "{args}: {plain}");
    }
}

#[tokio::test]
async fn a_password_within_a_reference_is_never_repeated() {
    let text = "version: 1\nto: r.example/{path}\nimages:\n  https://me:hush@docker.io/a: \"1\"\n  me:hush@docker.io/b: \"1\"\n";
    let checked = told(text, &["check", "job.yaml"]).await.expect(2);
    assert_eq!(checked.stdout.matches(" clear-secret ").count(), 2, "{}", checked.stdout);
    for source in ["https://me:hush@r.example/a", "me:hush@r.example/a"] {
        let copied = told(text, &["copy", source, "r.example/a"]).await.expect(2);
        assert!(copied.stderr.contains("***@r.example/a"), "{}", copied.stderr);
        assert!(!copied.stderr.contains("hush"), "{}", copied.stderr);
    }
    assert!(!checked.stdout.contains("hush") && !checked.stderr.contains("hush"), "{}", checked.stdout);
}
