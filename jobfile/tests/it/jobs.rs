//! `jobs`: which groups run together.

use crate::{faults, good};

/// Three groups, and these jobs.
fn jobs(jobs: &str) -> String {
    format!(
        "version: 1\nto: example.com/{{group}}/{{path}}\ngroups:\n  team-a: {{ images: {{ a: '1' }} }}\n  \
         team-b: {{ images: {{ b: '1' }} }}\n  scanner-db: {{ images: {{ c: '1' }} }}\njobs:\n{jobs}"
    )
}

#[test]
fn a_job_takes_groups_by_name_and_glob_and_removes_some() {
    let file = good(&jobs("  nightly: { groups: ['!scanner-db', '*'] }\n  hourly: { groups: scanner-db }\n"));
    let found: Vec<_> = file.jobs.iter().map(|job| (job.name.as_deref().unwrap(), job.sources.len())).collect();
    assert_eq!(found, [("nightly", 2), ("hourly", 1)]);
    assert!(file.warnings.is_empty(), "{}", file.warnings);
}

#[test]
fn a_job_says_how_much_is_read_back_and_five_percent_are_without_a_word() {
    let file = good(&jobs(
        "  a: { groups: team-a, verify: { at_most: 100% } }\n  b: { groups: team-b, verify: { at_most: 0% } }\n  c: { groups: scanner-db }\n",
    ));
    assert_eq!(file.jobs.iter().map(|job| job.verify_at_most).collect::<Vec<_>>(), [100, 0, 5]);
    let file = good("version: 1\nto: example.com/{path}\nimages: { a: '1' }\n");
    assert_eq!((file.jobs.len(), file.jobs[0].verify_at_most), (1, 5), "a file without `jobs`");
}

#[test]
fn groups_in_no_job_and_globs_without_a_group_are_warnings() {
    let file = good(&jobs("  nightly: { groups: ['team-*', 'x*'] }\n"));
    assert_eq!(
        file.warnings.to_string(),
        "/jobs/first.yaml:6:3 unused-group no job runs the group `scanner-db`; name it in a job, or leave it out\n\
         /jobs/first.yaml:8:33 jobs no group matches `x*`; correct it, or leave it out"
    );
}

#[test]
fn a_name_without_a_group_is_a_fault_in_a_removal_too() {
    let told = faults(&jobs("  nightly: { groups: [team-c, '*', '!scannerdb'] }\n  empty: { groups: '!team-a' }\n"));
    insta::assert_snapshot!(told);
}

#[test]
fn a_group_in_two_jobs_is_a_fault() {
    let told = faults(&jobs("  nightly: { groups: '*' }\n  hourly: { groups: scanner-db }\n"));
    assert_eq!(
        told,
        "/jobs/first.yaml:9:3 jobs the job `hourly` runs the group `scanner-db`, and so does `nightly` in line 8; write \
         `\"!scanner-db\"` in one of both"
    );
}

#[test]
fn images_outside_of_a_group_have_no_place_in_jobs() {
    let told = faults(&(jobs("  nightly: { groups: '*' }\n") + "images: { d: '1' }\n"));
    assert!(told.starts_with("/jobs/first.yaml:9:1 jobs `images` outside of a group are in no job"), "{told}");
}
