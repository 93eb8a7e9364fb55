//! What every [`Ledger`](crate::Ledger) promises.

mod leases;
mod notes;

pub use leases::*;
pub use notes::*;

/// Makes the suite's promises tests of an expression that gives, in a future, an empty `Arc<dyn Ledger>` and what must
/// live as long as it does; none where it cannot be had. The clock is paused in tests of leases.
#[macro_export]
macro_rules! ledger_suite {
    ($make:expr) => {
        $crate::ledger_suite! { $make;
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
            a_lease_is_had_by_one_at_a_time
            a_lease_that_nobody_renews_lapses
            a_lease_lasts_while_it_is_renewed
            a_lapsed_lease_never_ends_the_next_one
            who_waits_for_no_lease_does_not_wait
            all_who_wait_for_a_lease_are_woken_when_it_is_dropped
            who_waits_for_a_lease_is_woken_when_it_lapses
            who_waits_for_a_lease_gives_up_in_the_end
        }
    };
    ($make:expr; $($name:ident)+) => {$(
        #[tokio::test]
        async fn $name() {
            let Some((ledger, _guard)) = $make.await else { return };
            $crate::conformance::ledger::$name(ledger).await;
        }
    )+};
}
