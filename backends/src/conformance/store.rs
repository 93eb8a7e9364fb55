//! What the [`Store`] promises, on every database.

mod again;
mod begins;
mod bounds;
mod callers;
mod late;
mod leading;
mod life;
mod looks;
mod orders;
mod retention;
mod retries;
mod runs;
mod sample;
mod targets;
mod unchanged;
mod walk;

use std::time::Duration;

use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::outcome::{DestinationResult, End, Spent, StageTime};
use proto::task::{Destination, Fingerprint, TaskKind};
use proto::{Content, Digest, Failure, RunId, Stage, Task, TaskId, TaskResult};

use super::location;
use crate::Store;
use crate::store::{NewRun, NewTask, Progress, Recorded, ReportRow};

pub use again::*;
pub use begins::*;
pub use bounds::*;
pub use callers::*;
pub use late::*;
pub use leading::*;
pub use life::*;
pub use looks::*;
pub use orders::*;
pub use retention::*;
pub use retries::*;
pub use runs::*;
pub use sample::*;
pub use targets::*;
pub use unchanged::*;
pub use walk::*;

/// Makes the suite's promises tests of an expression that gives, in a future, an empty [`Store`] and what must live
/// as long as it does; none where it cannot be had.
#[macro_export]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::store_suite! { $make;
            a_task_goes_from_ready_to_done_and_its_run_is_closed
            a_result_may_be_faster_than_the_mark
            a_task_that_was_taken_and_not_marked_is_taken_again
            an_attempt_that_is_taken_again_holds_the_same_destinations
            a_task_that_nobody_answers_for_is_taken_back_as_the_same_attempt
            tasks_are_added_once_and_never_to_an_ended_run
            a_repository_that_cannot_be_listed_is_one_failed_line
            a_report_has_all_rows_by_source_page_by_page
            of_eight_recorders_of_one_result_exactly_one_is_first
            a_result_of_a_closed_task_or_another_attempt_is_stale
            a_late_result_updates_placements_and_moves_no_ended_run
            an_old_result_that_comes_again_never_puts_a_placement_back
            pushed_or_up_to_date_follows_from_the_digest_at_the_first_attempt
            a_tag_that_was_moved_back_is_pushed_and_not_up_to_date
            a_result_is_of_the_run_of_its_task_whatever_run_it_names
            a_destination_that_a_result_leaves_out_has_failed
            a_verb_that_is_dropped_midway_is_whole_or_nothing
            three_tries_with_growing_delays_then_failed
            a_rejected_task_is_closed_at_once
            a_deferred_task_counts_no_try
            deferred_tasks_are_postponed_once_nothing_else_is_left
            an_interrupted_attempt_is_ready_at_once_and_counts_no_try
            the_next_attempt_holds_only_what_is_unfinished_and_due
            a_dead_letter_runs_alone_and_a_second_one_fails
            a_target_has_one_open_task_at_a_time
            a_target_of_another_job_is_refused
            a_run_may_take_over_a_target_of_another_job
            a_task_that_is_refused_at_one_target_goes_to_the_others
            runs_are_served_in_turn
            harbor_slows_down_where_many_push_into_one_repository_so_repositories_take_turns
            stopping_a_run_closes_what_is_open
            a_run_is_found_by_a_part_of_its_id
            times_sort_whatever_their_fractions
            what_was_not_done_right_is_read_from_an_open_run
            what_waits_is_told_with_its_time_and_its_reason
            what_is_known_of_an_image_is_found_by_source_and_by_destination
            an_image_that_is_seen_unchanged_is_a_row_of_the_report_and_no_task
            what_is_marked_again_counts_once
            marking_that_is_dropped_midway_is_whole_or_nothing
            what_is_not_as_it_was_placed_is_not_marked
            what_a_late_result_puts_in_doubt_is_not_marked_until_it_was_verified
            a_report_tells_what_its_run_saw_whatever_came_later
            what_is_known_of_an_image_tells_where_it_was_seen_unchanged
            a_placement_is_verified_by_who_sends_it_or_reads_it_back
            many_placements_are_read_at_once
            what_was_placed_is_listed_by_what_it_was_made_of
            a_sample_holds_what_was_verified_least_recently
            a_sample_holds_nothing_that_the_last_run_did_not_see
            rows_come_in_the_order_of_their_bytes
            names_that_differ_in_a_byte_are_two
            a_warning_may_hold_any_character
            a_run_begins_once_for_a_key
            a_schedule_starts_one_run_for_each_time_that_is_due
            firing_that_is_dropped_midway_is_whole_or_nothing
            a_schedule_is_paused_until_it_is_resumed
            a_run_names_what_it_works_by
            a_schedule_is_settled_until_a_time_and_begins_anew_with_other_times
            a_run_tells_its_bounds_and_who_cancelled_it
            no_more_of_a_run_is_with_the_workers_than_it_allows
            what_is_not_begun_when_the_time_of_a_run_is_over_is_postponed
            a_run_whose_time_was_over_from_the_start_closes_with_a_report
            a_token_is_found_by_its_digest_until_it_is_revoked
            one_coordinator_leads_at_a_time
            a_leader_whose_term_has_ended_writes_nothing_and_reads_on
            a_store_that_is_bound_to_no_term_writes_whoever_leads
            the_tasks_of_old_runs_are_deleted_and_what_they_placed_stays
            old_runs_are_deleted_but_for_those_that_placed_what_is_there
            a_long_random_walk_keeps_the_books
        }
    };
    ($make:expr; $($name:ident)+) => {$(
        #[tokio::test]
        async fn $name() {
            let Some((store, _guard)) = $make.await else { return };
            $crate::conformance::store::$name(store).await;
        }
    )+};
}

/// A store with one run of the job `nightly`, and the time there.
struct Scene {
    store: Store,
    run: RunId,
    now: Timestamp,
}

impl Scene {
    async fn new(store: Store) -> Self {
        let now = "2026-01-02T01:30:00Z".parse().unwrap();
        let run = new_run(&store, "nightly", false, now).await;
        Self { store, run, now }
    }

    /// Adds a task from `source` to `destinations`, names within one registry each.
    async fn add(&self, source: &str, destinations: &[&str]) -> TaskId {
        add_task(&self.store, self.run, source, destinations, self.now).await
    }

    /// Takes all that is due, and marks it as published.
    async fn publish(&self) -> Vec<Task> {
        let tasks = self.store.take_ready(1_000, self.now).await.unwrap();
        self.store.mark_published(&tasks).await.unwrap();
        tasks
    }

    /// The same, where one task is due.
    async fn publish_one(&self) -> Task {
        let mut tasks = self.publish().await;
        assert_eq!(tasks.len(), 1, "one task is due");
        tasks.remove(0)
    }

    async fn record(&self, result: TaskResult) -> Recorded {
        self.store.record(&[result], self.now).await.unwrap()[0]
    }

    async fn progress(&self) -> Progress {
        self.store.progress(self.run).await.unwrap()
    }

    async fn rows(&self) -> Vec<ReportRow> {
        self.store.report_rows(self.run, None, 1_000).await.unwrap()
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).unwrap();
    }
}

async fn new_run(store: &Store, job: &str, take_over: bool, started_at: Timestamp) -> RunId {
    let run = run_to_be(job, take_over, started_at);
    assert!(store.create_run(&run).await.unwrap().is_new);
    run.id
}

fn run_to_be(job: &str, take_over: bool, started_at: Timestamp) -> NewRun {
    NewRun {
        id: RunId::new(),
        job: job.to_owned(),
        file_digest: Digest::of(b"file"),
        file_path: format!("/jobs/{job}.yaml"),
        git_commit: None,
        started_by: "suite".to_owned(),
        take_over,
        only: None,
        started_at,
        key: None,
        max_concurrency: None,
        deadline: None,
        pinned: None,
    }
}

async fn add_task(store: &Store, run: RunId, source: &str, destinations: &[&str], now: Timestamp) -> TaskId {
    let task = new_task(source, destinations);
    let id = task.id;
    assert_eq!(store.add_tasks(run, &[task], now).await.unwrap(), 1);
    id
}

fn new_task(source: &str, destinations: &[&str]) -> NewTask {
    NewTask {
        id: TaskId::new(),
        source: location(&format!("source.example.com/{source}")),
        listed: None,
        sidecars: Default::default(),
        destinations: destinations.iter().map(|name| location(&format!("mirror.example.com/{name}")).into()).collect(),
    }
}

fn destinations(task: &Task) -> &[Destination] {
    let TaskKind::Mirror(mirror) = &task.kind;
    &mirror.destinations
}

/// The names that [`new_task`] was given, of those destinations that the attempt holds.
fn names(task: &Task) -> Vec<String> {
    let name = |destination: &Destination| destination.location.to_string().replace("mirror.example.com/", "");
    destinations(task).iter().map(name).collect()
}

/// The result of an attempt that ended alike everywhere.
fn result(task: &Task, end: End) -> TaskResult {
    results(task, &vec![end; destinations(task).len()])
}

/// The result of an attempt, an end for each destination.
fn results(task: &Task, ends: &[End]) -> TaskResult {
    let destinations = destinations(task).iter().zip(ends);
    TaskResult {
        run: task.run,
        task: task.id,
        attempt: task.attempt,
        source_digest: Some(Digest::of(b"source")),
        destinations: destinations
            .map(|(destination, end)| DestinationResult { location: destination.location.clone(), end: end.clone() })
            .collect(),
        spent: Spent { bytes_read: 7, ..Spent::default() },
        stages: vec![StageTime { stage: Stage::Resolve, ms: 3 }],
        warnings: Vec::new(),
    }
}

fn placed(content: &str) -> End {
    let digest = Digest::of(content.as_bytes());
    let fingerprint = Fingerprint::of_copy(&digest, &Content::default());
    End::placed(digest, fingerprint, false)
}

fn failed(class: Class) -> End {
    End::Failed(failure(class))
}

fn deferred(wait: Duration) -> End {
    End::Deferred { wait, failure: failure(Class::Defer) }
}

fn failure(class: Class) -> Failure {
    let message = "get a manifest: 503".to_owned();
    Failure { stage: Some(Stage::Fetch), code: Code::SourceUnavailable, class, message, hint: None }
}
