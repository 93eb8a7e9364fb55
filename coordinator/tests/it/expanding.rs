//! From a file and the tags of its sources to tasks.

use std::collections::BTreeMap;

use coordinator::expand::{Only, expand};
use jiff::Timestamp;
use jobfile::JobFile;
use proto::task::{Listed, ListedTag, TaskKind};
use proto::{Class, Code, RunId, Tag, Task};
use registry::Tags;
use sandbox::{Effect, Fault, Registry, content};

use crate::office::{Office, file};

fn listing(tags: &[&str]) -> Tags {
    Tags { tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(), ..Tags::default() }
}

#[test]
fn the_newest_by_time_are_those_of_the_listing_and_without_its_times_the_line_fails() {
    let file = file(
        "  source.test/app: [{ pattern: \"main-.*\", newest: { count: 1, by: time } }]\n  source.test/b: \"main-a\"\n",
    );
    let [source, named] = &file.jobs[0].sources[..] else { panic!("two sources") };
    let mut listed = listing(&["main-a", "main-b", "dev"]);
    let failure = expand(source, &listed, &Only::All).failure.unwrap();
    assert_eq!((failure.code, failure.class), (Code::SelectionUnexpected, Class::Reject));
    assert!(failure.message.contains("the registry's listing does not say when tags were set"), "{}", failure.message);
    assert!(failure.hint.unwrap().contains("by: time"));
    assert!(expand(source, &listed, &Only::All).tasks.is_empty());
    assert_eq!(expand(named, &listed, &Only::All).failure, None, "who names tags needs no times");
    let mut set = |tag: &str, second| {
        listed.times.insert(tag.parse::<Tag>().unwrap(), Timestamp::from_second(second).unwrap());
    };
    set("main-a", 2);
    set("main-b", 1);
    let expansion = expand(source, &listed, &Only::All);
    assert_eq!(expansion.failure, None);
    let sources: Vec<_> = expansion.tasks.iter().map(|task| task.source.to_string()).collect();
    assert_eq!(sources, ["source.test/app:main-a"]);
}

/// A file that takes these lines to `to`.
fn file_to(to: &str, images: &str) -> JobFile {
    let text = format!("version: 1\nto: {to}\nimages:\n{images}");
    jobfile::parse(text.as_bytes(), "nightly.yaml".as_ref()).unwrap()
}

/// What a task says that listings said of its only destination.
async fn listed(office: &Office, run: RunId) -> BTreeMap<String, Option<Listed>> {
    let tasks = office.store.take_ready(100, Timestamp::now()).await.unwrap();
    assert!(tasks.iter().all(|task| task.run == run));
    let of_task = |task: Task| {
        let TaskKind::Mirror(mirror) = task.kind;
        let [to] = &mirror.destinations[..] else { panic!("one destination") };
        (to.location.to_string().rsplit(':').next().unwrap().to_owned(), to.listed.clone())
    };
    tasks.into_iter().map(of_task).collect()
}

#[test]
fn rules_turn_a_listing_into_tasks() {
    let file = file("  source.test/app: [\">=1.2\", \"edge\", \"9.*\", \"!*-rc*\"]\n");
    let listed = listing(&["1.1", "1.2", "1.3", "1.3-rc1", "2.0", "edge", "latest"]);
    let lines = || {
        let expansion = expand(&file.jobs[0].sources[0], &listed, &Only::All);
        let tasks = expansion.tasks.iter().map(|task| {
            let to: Vec<_> = task.destinations.iter().map(|to| to.location.to_string()).collect();
            format!("{} → {}", task.source, to.join(", "))
        });
        tasks.chain(expansion.warnings.iter().map(|warning| format!("warning: {warning}"))).collect::<Vec<_>>()
    };
    insta::assert_snapshot!(lines().join("\n"), @"
    source.test/app:2.0 → mirror.test/app:2.0
    source.test/app:1.3 → mirror.test/app:1.3
    source.test/app:1.2 → mirror.test/app:1.2
    source.test/app:edge → mirror.test/app:edge
    warning: source.test/app: no tag matches `9.*`
    ");
    assert_eq!(lines(), lines(), "the same listing gives the same tasks in the same order");
}

/// A run over a source that answers listings with `status` this often; how it was asked, and the totals.
async fn listing_fails(status: u16, times: u64) -> (usize, serde_json::Value) {
    let source = Registry::builder().start().await.unwrap();
    source.store().put_image("app", Some("1.0"), &content::image(1).build());
    source.fault(Fault::on("GET", "/tags/list", Effect::status(status)).times(times));
    let office = Office::new().await;
    let run = office.submit(&file(&format!("  {}/app: \"*\"\n", source.host()))).await;
    let report = office.run_to_report(run, usize::from(times < 3 && status != 403)).await;
    (source.log().count("GET", "/tags/list"), report)
}

#[tokio::test]
async fn a_listing_that_fails_twice_is_tried_again() {
    let (asked, report) = listing_fails(503, 2).await;
    assert_eq!((asked, &report["totals"]["pushed"]), (3, &1.into()));
    assert_eq!(report["unlisted"], serde_json::json!([]));
}

#[tokio::test]
async fn a_listing_that_fails_three_times_is_a_failed_line_and_no_image() {
    let (asked, report) = listing_fails(503, 3).await;
    assert_eq!((asked, &report["totals"]["images"], &report["totals"]["unlisted"]), (3, &0.into(), &1.into()));
    assert_eq!(report["unlisted"][0]["failure"]["code"], "source_unavailable");
}

#[tokio::test]
async fn a_listing_that_is_refused_is_not_asked_for_again() {
    let (asked, report) = listing_fails(403, 1).await;
    assert_eq!((asked, &report["totals"]["unlisted"]), (1, &1.into()));
}

#[tokio::test]
async fn a_repository_is_listed_once_however_many_sources_go_there() {
    let mirror = Registry::builder().start().await.unwrap();
    mirror.store().put_image("all", Some("1.0"), &content::image(1).build());
    let sources = ["one: [\"1.0\", \"1.1\"]", "two: [\"2.0\", \"2.1\"]", "three: [\"3.0\", \"3.1\"]"];
    let images = sources.map(|source| format!("  source.test/{source}\n")).concat();
    let office = Office::new().await;
    let run = office.submit(&file_to(&format!("{}/all", mirror.host()), &images)).await;
    assert_eq!(mirror.log().count("GET", "/tags/list"), 1);
    let listed = listed(&office, run).await;
    let tag = |name: &str| listed[name].as_ref().unwrap().tag.clone();
    assert_eq!([tag("1.0"), tag("1.1"), tag("2.0")], [ListedTag::Named, ListedTag::Absent, ListedTag::Absent]);
}

#[tokio::test]
async fn a_destination_that_is_not_there_lists_nothing_and_one_that_may_not_be_listed_says_nothing() {
    let (source, mirror) = (Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap());
    source.store().put_image("app", Some("1.0"), &content::image(1).build());
    let images = format!("  {}/app: \"*\"\n", source.host());
    let file = file_to(&format!("{}/{{path}}", mirror.host()), &images);
    let office = Office::new().await;
    let absent = listed(&office, office.submit(&file).await).await["1.0"].clone().unwrap();
    assert_eq!((absent.tag, absent.has_tags), (ListedTag::Absent, false));

    let office = Office::new().await;
    mirror.fault(Fault::on("GET", "/tags/list", Effect::status(403)));
    let run = office.submit(&file).await;
    assert_eq!(listed(&office, run).await["1.0"], None, "the worker asks");
    assert_eq!(office.store.warnings(run).await.unwrap(), Vec::<String>::new());
    assert_eq!(office.store.unlisted(run).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_listed_for_a_single_image_that_is_named() {
    let mirror = Registry::builder().start().await.unwrap();
    let office = Office::new().await;
    let to = format!("{}/{{path}}", mirror.host());
    office.submit(&file_to(&to, "  source.test/app: \"1.0\"\n")).await;
    assert_eq!(mirror.log().count("GET", "/tags/list"), 0);
    office.submit(&file_to(&to, "  source.test/app: [\"1.0\", \"1.1\"]\n")).await;
    assert_eq!(mirror.log().count("GET", "/tags/list"), 1, "one question for two tags");
}
