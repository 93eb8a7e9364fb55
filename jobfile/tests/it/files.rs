//! Right files, and what they mean.

use std::path::Path;

use jobfile::LoadError;
use proto::settings::{Auth, ClientCertificate, Network, Secret, Tls};
use proto::{Digest, Tag};

use crate::{good, good_files, only_line, parse, sources};

/// Where `3.22` of each repository goes.
fn targets(text: &str) -> Vec<String> {
    let tag: Tag = "3.22".parse().unwrap();
    let file = good(text);
    let lines = sources(&file).iter().flat_map(|source| &source.lines);
    lines.flat_map(|line| line.targets(&tag)).map(|target| target.to_string()).collect()
}

#[test]
fn the_example_of_the_readme_is_a_job_file() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let file = good(example);
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    assert_eq!(file.digest, Digest::of(example.as_bytes()));
    let sources: Vec<_> = sources(&file).iter().map(|source| source.location.to_string()).collect();
    assert_eq!(sources, ["docker.io/library/alpine", "docker.io/library/nginx"]);
    assert_eq!(
        targets(example),
        ["registry.example.com/mirror/library/alpine:3.22", "registry.example.com/mirror/library/nginx:3.22"]
    );
}

#[test]
fn the_tag_rules_of_the_readme_are_those_of_a_job_file() {
    let example = include_str!("../../README.md").split("```yaml\n").last().unwrap();
    let (example, _) = example.split_once("```").unwrap();
    assert_eq!(sources(&good(&format!("version: 1\nto: registry.example.com/{{path}}\n{example}"))).len(), 2);
}

/// An example of the readme.
fn example(number: usize) -> &'static str {
    include_str!("../../README.md").split("```yaml\n").nth(number).unwrap().split("```").next().unwrap()
}

#[test]
fn the_groups_of_the_readme_are_two_jobs() {
    let file = good(example(2));
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    let counts: Vec<_> = file.jobs.iter().map(|job| (job.name.as_deref().unwrap(), job.sources.len())).collect();
    assert_eq!(counts, [("nightly", 4), ("hourly", 1)]);
}

#[test]
fn the_jobs_of_the_readme_are_scheduled() {
    let file = good(example(3));
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    assert!(file.jobs.iter().all(|job| job.schedule.is_some()));
}

#[test]
fn the_registries_of_the_readme_are_all_used() {
    let file = good(example(4));
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    assert_eq!(file.access.registries.len(), 3);
}

#[test]
fn the_include_of_the_readme_reads_other_files() {
    let team = "version: 1\ngroups: { team: { to: harbor, tags: '1', images: { app: } } }\n";
    let sets = "version: 1\ntag_sets: { stable: '1' }\n";
    let file = good_files(&[("job.yaml", example(5)), ("teams/a.yaml", team), ("policies/b.yaml", sets)]);
    assert_eq!((file.files.len(), sources(&file).len()), (3, 1));
}

#[test]
fn each_value_of_to_is_a_destination() {
    let text = "
version: 1
to: ['registry.example.com/mirror/{path}', 'eu.example.com:5000/{registry}/{name}', oci:mirror, oci:/data]
images:
  alpine: latest
";
    let expected = [
        "registry.example.com/mirror/library/alpine:3.22",
        "eu.example.com:5000/docker.io/alpine:3.22",
        "oci:/jobs/mirror:docker.io/library/alpine:3.22",
        "oci:/data:docker.io/library/alpine:3.22",
    ];
    assert_eq!(targets(text), expected);
}

#[test]
fn hosts_become_parts_of_a_path_that_tell_them_apart() {
    let text = "
version: 1
to: registry.example.com/{registry}/{host}/{name}
registries: { docker.io: { name: dockerhub }, docker.io/oracle: { name: oracle } }
images:
  docker.io/library/alpine: latest
  docker.io/oracle/database/enterprise: latest
  localhost:5000/app: latest
  '[::1]:5000/app': latest
  '[2001:db8::1]/app': latest
";
    let expected = [
        "registry.example.com/dockerhub/docker.io/alpine:3.22",
        "registry.example.com/oracle/docker.io/enterprise:3.22",
        "registry.example.com/localhost_5000/localhost_5000/app:3.22",
        "registry.example.com/0_0_0_0_0_0_0_1_5000/0_0_0_0_0_0_0_1_5000/app:3.22",
        "registry.example.com/2001_db8_0_0_0_0_0_1/2001_db8_0_0_0_0_0_1/app:3.22",
    ];
    assert_eq!(targets(text), expected);
}

#[test]
fn a_layout_is_a_source_whose_repository_decides_where_it_goes() {
    let file = good("{version: 1, to: 'example.com/{path}', images: {'oci:mirror:docker.io/library/alpine': '3.22'}}");
    let taken = &only_line(&file).rules.select(&[]).taken[0];
    assert_eq!(sources(&file)[0].image(taken).to_string(), "oci:/jobs/mirror:docker.io/library/alpine:3.22");
    let target = only_line(&file).targets(&taken.tag).next().unwrap();
    assert_eq!(target.to_string(), "example.com/library/alpine:3.22");
}

#[test]
fn a_pinned_tag_is_read_by_its_digest_and_written_by_its_name() {
    let digest = Digest::of(b"image");
    let file = good(&format!("{{version: 1, to: 'example.com/{{path}}', images: {{alpine: '3.22@{digest}'}}}}"));
    let taken = &only_line(&file).rules.select(&[]).taken[0];
    assert_eq!(sources(&file)[0].image(taken).to_string(), format!("docker.io/library/alpine:3.22@{digest}"));
    let target = only_line(&file).targets(&taken.tag).next().unwrap();
    assert_eq!(target.to_string(), "example.com/library/alpine:3.22");
}

#[test]
fn two_sources_may_share_a_repository_if_they_name_different_tags() {
    let text = "
version: 1
to: registry.example.com/{name}
images:
  quay.io/a/app: ['1', '2']
  quay.io/b/app: '3'
";
    assert_eq!(sources(&good(text)).len(), 2);
}

#[test]
fn registries_and_network_become_settings_with_paths_from_the_folder_of_the_file() {
    let file = good(
        "
version: 1
to: harbor.bank.example/{registry}/{path}
network: { proxy: 'http://proxy.bank.example:3128', direct: [.bank.example, 10.0.0.0/8], ca_file: /etc/ssl/bank-ca.pem }
registries:
  docker.io:
    name: dockerhub
    auth: { username: bankmirror, password: { env: HUB_PAT } }
    limits: { concurrency: 16 }
  quay.io: { name: quay, auth: anonymous }
  lab.bank.example:5000:
    tls: { ca_file: lab-ca.pem, client: { certificate: me.pem, key: { file: /run/secrets/me.key } } }
  localhost:5000: { plain_http: true }
  '*.bank.example': { auth: { username: robot$factory, password: { helper: vault } } }
images:
  docker.io/library/alpine: latest
  quay.io/prometheus/prometheus: latest
  lab.bank.example:5000/tool: latest
  localhost:5000/tool: latest
",
    );
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    let network = Network {
        proxy: Some("http://proxy.bank.example:3128".to_owned()),
        direct: vec![".bank.example".to_owned(), "10.0.0.0/8".to_owned()],
        ca_file: Some("/etc/ssl/bank-ca.pem".into()),
    };
    assert_eq!(file.access.network, network);
    let settings = |repository: &str| file.access.settings(&repository.parse().unwrap()).unwrap();
    let hub = settings("docker.io/library/alpine");
    let password = Secret::Env("HUB_PAT".to_owned());
    assert_eq!(hub.auth, Auth::Basic { username: "bankmirror".to_owned(), password });
    assert_eq!(hub.limits.concurrency, Some(16));
    assert_eq!(settings("quay.io/a/b").auth, Auth::Anonymous);
    let key = Secret::File("/run/secrets/me.key".into());
    let client = Some(ClientCertificate { certificate: "/jobs/me.pem".into(), key });
    let tls = Tls { ca_file: Some("/jobs/lab-ca.pem".into()), client, skip_verify: false };
    assert_eq!(settings("lab.bank.example:5000/tool").tls, tls);
    assert!(settings("localhost:5000/tool").plain_http);
    let password = Secret::Helper("vault".to_owned());
    assert_eq!(settings("harbor.bank.example/a").auth, Auth::Basic { username: "robot$factory".to_owned(), password });
}

#[test]
fn what_is_odd_but_may_be_meant_is_a_warning() {
    let file = good(
        "
version: 1
to: registry.example.com/{path}
registries:
  quai.io: { name: quay }
  registry.example.com: { tls: { skip_verify: true } }
images:
  alpine: [\"3.*\", \"3.22\", \"!3.22*\"]
tag_sets:
  stable: '>=0'
",
    );
    insta::assert_snapshot!(file.warnings);
}

#[test]
fn aliases_stand_for_what_their_anchors_hold() {
    let file = good("{version: 1, to: 'example.com/{path}', images: {alpine: &tags ['3.22'], busybox: *tags}}");
    assert_eq!(sources(&file)[1].lines[0].rules.select(&[]).taken[0].tag.as_str(), "3.22");
}

#[test]
fn a_file_with_the_line_ends_and_the_mark_of_windows_is_read() {
    let file = good("\u{feff}version: 1\r\nto: example.com/{path}\r\nimages:\r\n  alpine: \"3.22\"\r\n");
    assert_eq!(only_line(&file).rules.select(&[]).taken[0].tag.as_str(), "3.22");
}

#[test]
fn aliases_that_multiply_are_refused_before_they_fill_the_memory() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
        text += &format!("{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n");
    }
    let faults = parse(&text).unwrap_err().to_string();
    assert!(faults.contains("file-size the file has more than 200000 values"), "{faults}");
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let text = " ".repeat(jobfile::FILE_BYTES_MAX + 1);
    assert!(parse(&text).unwrap_err().to_string().contains("file-size"));
}

#[test]
fn nesting_without_end_is_refused() {
    let faults = parse(&"[".repeat(100_000)).unwrap_err().to_string();
    assert!(faults.contains(" yaml "), "{faults}");
}

#[test]
fn a_file_that_is_not_there_says_which() {
    let error = jobfile::load(Path::new("/nowhere/first.yaml")).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }));
    assert_eq!(error.to_string(), "read `/nowhere/first.yaml`");
}

#[test]
fn six_thousand_repositories_are_read() {
    let mut text = "version: 1\nto: registry.example.com/{path}\nimages:\n".to_owned();
    for i in 0..6_000 {
        text += &format!("  quay.io/team{}/app{i}: [\">=1\", \"!*-debug\"]\n", i % 50);
    }
    assert_eq!(sources(&good(&text)).len(), 6_000);
}

proptest::proptest! {
    #[test]
    fn any_text_is_refused_with_its_line(text in "(\\PC|\n){0,200}") {
        let faults = parse(&text).unwrap_err();
        let lines = text.split('\n').count();
        proptest::prop_assert!(!faults.is_empty());
        proptest::prop_assert!(faults.iter().all(|fault| (1..=lines + 1).contains(&fault.place.position.line)));
    }

    #[test]
    fn any_selection_and_destination_is_read_or_refused(
        to in "[a-z./:{}@ -]{0,30}",
        key in "[a-z./:*@ \\[\\]-]{0,30}",
        tags in "[\"'!&*><~$a-z0-9.,:\\[\\]{} -]{0,30}",
    ) {
        let text = format!(
            "version: 1\nto: {to}\nimages:\n  {key}: {tags}\nregistries:\n  {key}: {tags}\ntag_sets:\n  a: {tags}\n"
        );
        match parse(&text) {
            Ok(file) => proptest::prop_assert!(sources(&file).iter().all(|source| !source.lines[0].destinations.is_empty())),
            Err(faults) => proptest::prop_assert!(!faults.is_empty()),
        }
    }
}
