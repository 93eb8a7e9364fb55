//! What was placed becomes tasks, to be read back.

use std::collections::BTreeMap;

use coordinator::Extent;
use coordinator::audit::Audit;
use coordinator::expand::Only;
use jiff::Timestamp;
use jobfile::JobFile;
use proto::Digest;
use proto::task::TaskKind;

use crate::office::{Office, file, new_run, placed};

/// A run that reads back what `audit` takes: its tasks, each with the tags that it is for, and its warnings.
async fn audit(office: &Office, file: &JobFile, audit: &Audit) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let run = new_run(Some(audit.text()), Timestamp::now());
    office.store.create_run(&run).await.unwrap();
    office.expand(run.id, file, &Extent::Placed(audit.clone())).await;
    assert!(office.store.run(run.id).await.unwrap().expanded);
    let mut found = BTreeMap::new();
    for task in office.store.take_ready(1_000, Timestamp::now()).await.unwrap() {
        let TaskKind::Mirror(mirror) = task.kind;
        assert!(mirror.destinations.iter().all(|to| to.read_back && to.placed.is_some() && to.listed.is_none()));
        let targets = mirror.destinations.iter().map(|to| to.location.to_string()).collect();
        found.insert(mirror.source.to_string(), targets);
    }
    office.store.interrupt_run(run.id, Timestamp::now()).await.unwrap();
    (found, office.store.warnings(run.id).await.unwrap())
}

fn all() -> Audit {
    Audit { all: true, only: Only::All }
}

#[tokio::test]
async fn each_source_is_one_task_at_the_digest_that_was_placed_for_all_its_tags() {
    let office = Office::new().await;
    let text =
        "version: 1\nto: [\"one.test/{path}\", \"two.test/{path}\"]\nimages:\n  source.test/app: [\"1\", \"2\"]\n";
    let file = jobfile::parse(text.as_bytes(), "nightly.yaml".as_ref()).unwrap();
    let run = office.submit(&file).await;
    office.run_to_report(run, 2).await;
    let pinned =
        |tag: &str| format!("source.test/app:{tag}@{}", Digest::of(format!("source.test/app:{tag}").as_bytes()));
    let targets = |tag: &str| vec![format!("one.test/app:{tag}"), format!("two.test/app:{tag}")];
    let expected: BTreeMap<_, _> = ["1", "2"].map(|tag| (pinned(tag), targets(tag))).into();
    assert_eq!(audit(&office, &file, &all()).await, (expected.clone(), Vec::new()));

    let globs = Audit { only: Only::matching(&["*:2".into(), "*/app:3".into()]).unwrap(), ..all() };
    let (found, warnings) = audit(&office, &file, &globs).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), [&pinned("2")]);
    assert_eq!(warnings, ["nothing that was placed matches `*/app:3`"]);
    let named = Audit { only: Only::named("what failed".into(), [pinned("1")]), ..all() };
    assert_eq!(audit(&office, &file, &named).await.0.into_keys().collect::<Vec<_>>(), [pinned("1")]);
    assert_eq!(named.placements(&office.store, "nightly").await.unwrap(), 2);
    assert_eq!(named.placements(&office.store, "other").await.unwrap(), 0);
    assert!(Audit::is_named_by(&named.text()) && !Audit::is_named_by("*:2"));
}

#[tokio::test]
async fn what_was_made_of_something_unknown_is_counted_and_told() {
    let office = Office::new().await;
    let run = office.submit_tags(&["1", "2", "3"]).await;
    office
        .during(async {
            for n in 0..3 {
                let (delivery, task) = office.next_task().await;
                let result = placed(&task);
                // One names no source, and another one says that it was made of something else than its source.
                let source_digest = [None, Some(Digest::of(b"other")), result.source_digest.clone()][n].clone();
                office.answer(&proto::TaskResult { source_digest, ..result }).await;
                delivery.ack().await.unwrap();
            }
            office.report(run).await
        })
        .await;
    let (found, warnings) = audit(&office, &file("  source.test/app: \"1\"\n"), &all()).await;
    assert_eq!(found.len(), 1);
    let [warning] = &warnings[..] else { panic!("one warning: {warnings:?}") };
    assert!(warning.starts_with("2 placements are older than this program's records"), "{warning}");
}

#[tokio::test]
async fn without_all_it_is_as_many_as_a_run_may_pay_for_whatever_was_verified_today() {
    let office = Office::new().await;
    let tags: Vec<String> = (0..30).map(|n| n.to_string()).collect();
    let run = office.submit_tags(&tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    office.run_to_report(run, 30).await;
    let file = file("  source.test/app: \"1\"\n");
    let some = Audit { all: false, only: Only::All };
    // Of 12 requests each, as nobody counted them.
    assert_eq!(audit(&office, &file, &some).await.0.len(), 4);
    assert_eq!(audit(&office, &file, &all()).await.0.len(), 30);
}
