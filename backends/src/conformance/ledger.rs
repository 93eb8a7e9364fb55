//! What every [`Ledger`](crate::Ledger) promises.

mod crew;
mod leases;
mod notes;
mod passing;

pub use crew::*;
pub use leases::*;
pub use notes::*;
pub use passing::*;

/// Makes the suite's promises tests of an expression that gives, in a future, an empty `Arc<dyn Ledger>` and what must
/// live as long as it does; none where it cannot be had.
///
/// What is promised of time comes to it in one of two ways. After `paused` the clock is: of a Ledger within one process.
/// After `lasting` stands how long leases and beats of the Ledger last, in real time, which should be long enough for a
/// machine that is busy.
#[macro_export]
macro_rules! ledger_suite {
    ($make:expr) => {
        $crate::ledger_suite! { @each $make; ();
            what_is_noted_is_found_here_and_beside
            what_is_here_is_not_told_beside
            what_is_missing_is_no_longer_told
            what_is_noted_twice_is_told_once
            repositories_of_another_registry_are_not_beside
            of_many_holders_some_are_told_the_newest_first
            a_repository_is_known_once_anything_was_noted_of_it
            many_digests_are_looked_up_at_once
            a_manifest_comes_back_as_it_was_kept
            a_manifest_never_comes_back_with_other_bytes
            what_was_learned_last_is_told
            who_beats_is_told_with_what_it_said_last
            a_run_is_cancelled_once_somebody_said_so
        }
    };
    (paused $make:expr) => {
        $crate::ledger_suite! { $make }
        $crate::ledger_suite! { @each $make; ();
            a_lease_is_had_by_one_at_a_time
            a_lease_that_nobody_renews_lapses
            a_lease_lasts_while_it_is_renewed
            a_lapsed_lease_never_ends_the_next_one
            who_waits_for_no_lease_does_not_wait
            all_who_wait_for_a_lease_are_woken_when_it_is_dropped
            who_waits_for_a_lease_is_woken_when_it_lapses
            who_waits_for_a_lease_gives_up_in_the_end
            who_beats_no_more_is_soon_forgotten
        }
    };
    (lasting $lasts:expr; $make:expr) => {
        $crate::ledger_suite! { $make }
        $crate::ledger_suite! { @each $make; ($lasts);
            a_lease_passes_on_once_it_is_dropped
            a_lease_passes_on_when_it_lapses_and_not_before
            a_lease_does_not_pass_on_while_it_is_renewed
            a_lease_that_passed_on_is_not_ended_by_who_had_it
            who_waits_for_a_lease_goes_on_when_it_passed_on
            who_waits_for_a_lease_has_so_much_patience_and_no_more
            who_beats_no_more_is_forgotten_and_not_before
        }
    };
    (@each $make:expr; $with:tt; $($name:ident)+) => {$(
        #[tokio::test]
        async fn $name() {
            let Some((ledger, _guard)) = $make.await else { return };
            $crate::ledger_suite!(@call $name, ledger, $with);
        }
    )+};
    (@call $name:ident, $ledger:ident, ()) => { $crate::conformance::ledger::$name($ledger).await };
    (@call $name:ident, $ledger:ident, ($with:expr)) => { $crate::conformance::ledger::$name($ledger, $with).await };
}
