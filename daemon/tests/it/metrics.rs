//! Names and numbers.

use std::time::Duration;

use daemon::Metrics;
use daemon::metrics::Requests;

#[test]
fn all_have_a_name_of_their_own_with_the_unit_that_counters_and_times_want() {
    let metrics = Metrics::default();
    assert!(metrics.text().is_ok());
    for described in Metrics::ALL {
        let name = described.name;
        assert_eq!(name.ends_with("_total"), described.kind == "counter", "{name}");
        assert_eq!(name.contains("_seconds"), described.unit.starts_with("seconds"), "{name}");
        assert!(described.help.ends_with('.'), "{name}");
    }
}

#[test]
fn a_counter_without_labels_is_there_before_anything_is_counted_and_a_gauge_only_once_it_is_known() {
    let metrics = Metrics::default();
    let text = metrics.text().unwrap();
    assert!(text.contains("\nimage_factory_dead_letters_total 0\n"), "{text}");
    assert!(!text.contains("image_factory_leader"), "{text}");
    metrics.leader.set(0.0, []);
    assert!(metrics.text().unwrap().contains("\nimage_factory_leader 0\n"));
}

#[test]
fn what_somebody_else_counts_is_taken_over_and_never_goes_down() {
    let metrics = Metrics::default();
    let note = |sent, refused, seconds| {
        let (waited, answering) = (Duration::from_secs(seconds), Duration::from_secs(2 * seconds));
        let requests = Requests { answers: &[("2xx", sent), ("none", 0)], refused, waited, answering };
        metrics.note_requests("registry.test", "blob_read", &requests);
    };
    note(5, 1, 3);
    note(7, 1, 4);
    note(6, 0, 4);
    let labels = ["registry.test", "blob_read"];
    assert_eq!(metrics.registry_requests.get([labels[0], labels[1], "2xx"]), 7.0);
    assert_eq!(metrics.registry_refused.get(labels), 1.0);
    assert_eq!(metrics.registry_wait_seconds.get(labels), 4.0);
    assert_eq!(metrics.registry_answer_seconds.get(labels), 8.0);
}

#[test]
fn what_is_held_counts_until_it_is_dropped() {
    let metrics = Metrics::default();
    let shows = |busy: &str| metrics.text().unwrap().contains(&format!("\nimage_factory_slots_busy {busy}\n"));
    let (one, other) = (metrics.slots_busy.hold([]), metrics.slots_busy.hold([]));
    assert!(shows("2"));
    drop(one);
    assert!(shows("1"));
    drop(other);
    assert!(shows("0"));
}
