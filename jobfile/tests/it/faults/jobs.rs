//! Faulty settings of jobs.

use super::groups;

/// A file with these jobs, one on a line.
fn jobs(jobs: &[&str]) -> String {
    let jobs: String =
        jobs.iter().enumerate().map(|(at, job)| format!("  j{at}: {{ groups: g{at}, {job} }}\n")).collect();
    let count = jobs.lines().count();
    let groups_of: Vec<String> = (0..count).map(|at| format!("  g{at}: {{ images: {{ a{at}: \"1\" }} }}")).collect();
    groups(&groups_of.join("\n")) + "jobs:\n" + &jobs
}

/// Files, each with what is wrong with it.
pub(super) fn files() -> Vec<(&'static str, String)> {
    vec![
        (
            "times that cannot be read",
            jobs(&[
                "schedule: { cron: 61 1 * * * }",
                "schedule: { cron: 30 24 * * * }",
                "schedule: { cron: 30 1 0 * * }",
                "schedule: { cron: 30 1 * foo * }",
                "schedule: { cron: 30 1 * mon * }",
                "schedule: { cron: 30 1 * * mon-fry }",
                "schedule: { cron: '30,, 1 * * *' }",
                "schedule: { cron: 0/10 1 * * * }",
                "schedule: { cron: 30 18-6 * * * }",
                "schedule: { cron: 0 30 1 * * * }",
                "schedule: { cron: '@daily' }",
                "schedule: { cron: 5 }",
                "schedule: { cron: '0 0 31 2,4 *' }",
            ]),
        ),
        ("times without quotes", jobs(&["schedule: { cron: * 1 * * * }"])),
        (
            "time zones that there are not",
            jobs(&[
                "schedule: { cron: 0 1 * * *, timezone: Europe/Berln }",
                "schedule: { cron: 0 1 * * *, timezone: Berlin }",
                "schedule: { cron: 0 1 * * *, timezone: local }",
            ]),
        ),
        (
            "schedules that cannot be",
            jobs(&[
                "schedule: {}",
                "schedule: { timezone: UTC }",
                "schedule: nightly",
                "schedule: { cron: 0 * * * *, jitter: 60m }",
                "schedule: { cron: 0 * * * *, jitter: 10 }",
                "schedule: { cron: 0 * * * *, missed: onec, overlap: wait }",
                "schedule: { cron: 0 * * * *, time_zone: UTC }",
            ]),
        ),
        (
            "windows that cannot be",
            jobs(&[
                "window: {}",
                "window: { until: 5 }",
                "window: { until: '5:45' }",
                "window: { until: '24:00' }",
                "window: { until: '05:45:00' }",
                "window: { until: '05:45', first: [harness] }",
                "window: '05:45'",
            ]),
        ),
        (
            "limits of jobs that cannot be",
            jobs(&["max_duration: 8", "max_duration: 400d", "max_concurrency: 0", "max_concurrency: 8h"]),
        ),
    ]
}
