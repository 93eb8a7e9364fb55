//! What a file says of registries besides how to reach them: limits, alternatives, identities, and what is not tried.

use std::time::Duration;

use jobfile::JobFile;
use proto::settings::{Auth, Limits, PullLimit, RegistrySettings, Secret, Trick};

use crate::good;

/// A file with these settings of registries.
fn file(registries: &str) -> JobFile {
    good(&format!(
        "version: 1\nto: registry.example.com/{{path}}\nimages: {{ quay.io/a/app: '1', library/alpine: '3' }}\n\
         registries:\n{registries}\n"
    ))
}

/// What these settings say of quay.io.
fn quay(settings: &str) -> RegistrySettings {
    let file = file(&format!("  quay.io: {settings}"));
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    file.access.registries[0].clone()
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn limits_are_numbers_and_quantities_with_their_units() {
    let limits = quay(
        "{ limits: { concurrency: 16, requests_per_second: 20, manifest_writes_per_second: 8, bandwidth: 400Mbit/s, \
         pulls: { count: 100, per: 1d, keep_free: 99 } } }",
    )
    .limits;
    let expected = Limits {
        concurrency: Some(16),
        requests_per_second: Some(20),
        manifest_writes_per_second: Some(8),
        bandwidth: Some(50_000_000),
        pulls: Some(PullLimit { count: Some(100), per: 24 * HOUR, keep_free: 99 }),
    };
    assert_eq!(limits, expected);
    assert_eq!(quay("{ name: quay }").limits, Limits::default(), "what is not said is found out");
}

#[test]
fn pulls_are_counted_in_six_hours_and_all_are_ours_without_a_word() {
    let pulls = |text: &str| quay(&format!("{{ limits: {{ pulls: {text} }} }}")).limits.pulls.unwrap();
    assert_eq!(pulls("{ count: 100 }"), PullLimit { count: Some(100), per: 6 * HOUR, keep_free: 0 });
    assert_eq!(pulls("{ per: 90m, keep_free: 50 }"), PullLimit { count: None, per: HOUR * 3 / 2, keep_free: 50 });
}

#[test]
fn an_identity_is_a_word_or_an_app_with_its_key() {
    assert_eq!(quay("{ auth: aws }").auth, Auth::Aws);
    assert_eq!(quay("{ auth: azure }").auth, Auth::Azure);
    assert_eq!(quay("{ auth: gcp }").auth, Auth::Gcp);
    assert_eq!(quay("{ auth: anonymous }").auth, Auth::Anonymous);
    let app = |key: &str| quay(&format!("{{ auth: {{ github_app: {{ id: 4711, key: {key} }} }} }}")).auth;
    assert_eq!(app("{ file: gh.pem }"), Auth::GithubApp { id: 4711, key: Secret::File("/jobs/gh.pem".into()) });
    assert_eq!(app("{ env: GH_KEY }"), Auth::GithubApp { id: 4711, key: Secret::Env("GH_KEY".to_owned()) });
    assert_eq!(app("{ helper: vault }"), Auth::GithubApp { id: 4711, key: Secret::Helper("vault".to_owned()) });
}

#[test]
fn what_is_not_tried_is_a_word_or_a_list_of_them() {
    assert_eq!(quay("{ without: mount }").without, [Trick::Mount].into());
    let all = "{ without: [mount, single_post, optimistic_put, conditional_get, bulk_listing, mount] }";
    assert_eq!(quay(all).without, Trick::ALL.into());
}

#[test]
fn alternatives_stand_in_the_order_of_the_file_and_are_of_paths_at_the_registry_whatever_its_prefix() {
    let file = file(
        "  docker.io/library:\n    alternatives: { \"library/*\": \"public.ecr.aws/docker/library/*\", \
         \"*\": \"mirror.test:5000/hub/*\", library/alpine: quay.io/alpine/alpine }",
    );
    let alpine = "docker.io/library/alpine".parse().unwrap();
    let alternatives = &file.access.settings(&alpine).unwrap().alternatives;
    let found: Vec<_> = alternatives.iter().map(|other| other.of(&alpine).unwrap().to_string()).collect();
    let expected =
        ["public.ecr.aws/docker/library/alpine", "mirror.test:5000/hub/library/alpine", "quay.io/alpine/alpine"];
    assert_eq!(found, expected);
}

#[test]
fn settings_of_a_registry_that_is_only_an_alternative_are_used() {
    let ecr = "  public.ecr.aws: { auth: anonymous }\n";
    let other = "  docker.io: { alternatives: { \"library/*\": \"public.ecr.aws/docker/library/*\" } }";
    assert!(file(&format!("{ecr}{other}")).warnings.is_empty());
    let unused = file(&format!("{ecr}{}", other.replace("\"library/*\"", "\"grafana/*\""))).warnings.to_string();
    assert!(unused.contains("uses the settings of `public.ecr.aws`"), "{unused}");
}
