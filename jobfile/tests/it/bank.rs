//! A bank's files, on disk: as a person has them.

use std::path::{Path, PathBuf};

use jobfile::{JobFile, Line, Source};
use proto::Digest;

use crate::mirrored;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files")
}

fn bank() -> JobFile {
    jobfile::load(&folder().join("bank/factory.yaml")).unwrap_or_else(|error| panic!("{error}"))
}

/// The line for a repository, in whichever job.
fn line<'f>(file: &'f JobFile, repository: &str) -> &'f Line {
    let mut sources = file.jobs.iter().flat_map(|job| &job.sources);
    let source: &Source = sources.find(|source| source.location.to_string() == repository).unwrap();
    &source.lines[0]
}

#[test]
fn the_file_of_day_one_needs_nothing_else() {
    let file = jobfile::load(&folder().join("first.yaml")).unwrap();
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    let expected = [
        "docker.io/library/alpine [3.20.1] -> registry.example.com/mirror/library/alpine",
        "docker.io/library/nginx [1.29.0] -> registry.example.com/mirror/library/nginx",
    ];
    assert_eq!(mirrored(&file.jobs[0], &["1.29.0", "1.29.0-perl", "3.20.1"]), expected);
}

#[test]
fn the_files_of_a_bank_are_two_jobs_without_a_warning() {
    let file = bank();
    assert!(file.warnings.is_empty(), "{}", file.warnings);
    let jobs: Vec<_> = file.jobs.iter().map(|job| (job.name.as_deref().unwrap(), job.sources.len())).collect();
    assert_eq!(jobs, [("nightly", 16), ("hourly", 2)]);
    assert_eq!(file.jobs.iter().map(|job| job.verify_at_most).collect::<Vec<_>>(), [5, 5]);
    let times = file.jobs.iter().map(|job| job.schedule.as_ref().unwrap().cron.as_str());
    assert_eq!(times.collect::<Vec<_>>(), ["30 1 * * *", "7 * * * *"]);
    let temurin = line(&file, "docker.io/library/eclipse-temurin");
    assert_eq!((temurin.group.as_deref(), temurin.owner.as_deref()), (Some("hub-official"), Some("platform")));
    assert_eq!((temurin.expect.min, temurin.expect.max), (Some(1), Some(150)));
    assert_eq!(line(&file, "docker.io/library/postgres").expect.max, Some(40));
    assert_eq!(line(&file, "ghcr.io/fluxcd-community/charts/flux2").kind.as_str(), "chart");
}

#[test]
fn a_team_sends_its_images_to_a_destination_of_the_platform() {
    let file = bank();
    let oracle = line(&file, "docker.io/oracle/database/enterprise");
    let destinations: Vec<_> = oracle.destinations.iter().map(ToString::to_string).collect();
    assert_eq!(destinations, ["harbor.bank.example/dockerhub/oracle/database/enterprise"]);
    assert!(oracle.place.to_string().ends_with("tests/files/bank/teams/payments.yaml:9:7"), "{}", oracle.place);
}

#[test]
fn the_digest_is_that_of_the_lines_that_sha256sum_prints_for_all_files() {
    let file = bank();
    let paths: Vec<_> = file.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["factory.yaml", "lists/strimzi-0.45.txt", "policies/base.yaml", "teams/payments.yaml"]);
    let digest = |path: &&str| Digest::of(&std::fs::read(folder().join("bank").join(path)).unwrap());
    let lines: String = paths.iter().map(|path| format!("{}  {path}\n", digest(path).hex())).collect();
    assert_eq!(file.digest, Digest::of(lines.as_bytes()));
}
