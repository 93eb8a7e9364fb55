//! What is written of a run: a page, a table and a document.

use std::path::Path;

use backends::store::{Origin, RunEnd};
use coordinator::report::model::ImageSection;
use coordinator::report::{Causes, JSON, PAGE, Summary, TABLE, keep, run_in};
use proto::Failure;
use proto::failure::{Class, Code};
use serde_json::Value;

use crate::scene::{RUN, Scene, at, failed, pushed, wanted};

pub(crate) fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(PAGE)).unwrap()
}

pub(crate) fn document(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(JSON)).unwrap()).unwrap()
}

/// The cells of the table, without its header.
pub(crate) fn table(folder: &Path) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(folder.join(TABLE)).unwrap().records().map(Result::unwrap).collect()
}

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| format!("source.test/team/app:{tag}")).collect()
}

#[tokio::test]
async fn a_small_run_reads_like_this() {
    let scene = Scene::new().await;
    scene.add(tags(&["1.0", "1.1", "1.2", "2.0"]), &["mirror.test/one/{}", "mirror.test/two/{}"]).await;
    let denied = Some("grant `push` on this repository to the account");
    scene
        .work(|source, destination| match (source.to_string().as_str(), destination.to_string().as_str()) {
            ("source.test/team/app:1.0", _) => pushed(source),
            (_, place) if place.starts_with("mirror.test/one/") => pushed(source),
            _ => failed(Code::DestinationForbidden, "PUT a manifest at mirror.test: 403", denied),
        })
        .await;
    let unlisted = Failure::new(None, Code::SourceNotFound, Class::Reject, "list tags of source.test/gone: 404", None);
    scene.store.add_failed_line(scene.run, "source.test/gone", &unlisted, at(3)).await.unwrap();
    scene.store.add_warning(scene.run, "`mirror.test/one` answers slowly").await.unwrap();
    let folder = scene.report(RunEnd::Finished).await;

    let page = page(&folder);
    insta::assert_snapshot!("page", page[page.find("<body>").unwrap()..].to_owned());
    insta::assert_snapshot!("table", std::fs::read_to_string(folder.join(TABLE)).unwrap());
    let causes = &document(&folder)["causes"];
    insta::assert_json_snapshot!("causes", causes);
}

#[tokio::test]
async fn a_run_of_a_part_of_the_job_says_so_before_its_totals() {
    let scene = Scene::limited_to("`*/alpine`").await;
    scene.add(tags(&["1.0"]), &["mirror.test/{}"]).await;
    scene.work(|source, _| pushed(source)).await;
    let folder = scene.report(RunEnd::Finished).await;
    let page = page(&folder);
    assert!(page.find("limited to <b class=\"said\">`*/alpine`</b>").unwrap() < page.find("class=\"totals\"").unwrap());
    assert_eq!(document(&folder)["run"]["only"], "`*/alpine`");
}

#[tokio::test]
async fn documents_of_earlier_versions_still_read() {
    let scene = Scene::new().await;
    scene.add_wanted("source.test/a:1", vec![wanted("mirror.test/a:1", "apps", "1")]).await;
    scene.work(|source, _| pushed(source)).await;
    let folder = scene.report(RunEnd::Finished).await;
    let mut old = document(&folder);
    let without = |section: &mut Value, names: &[&str]| {
        for name in names {
            section.as_object_mut().unwrap().remove(*name).expect(name);
        }
    };
    without(&mut old, &["causes", "owners"]);
    without(&mut old["run"], &["only"]);
    let added = ["group", "owner", "kind", "rule", "place", "platforms", "referrers"];
    without(&mut old["images"][0]["destinations"][0], &added);
    let path = folder.join("old.json");
    std::fs::write(&path, old.to_string()).unwrap();
    let summary = Summary::read(&path).unwrap();
    assert_eq!((summary.totals.pushed, summary.causes.len()), (1, 0));
    let image: ImageSection = serde_json::from_value(old["images"][0].clone()).unwrap();
    assert_eq!((image.destinations[0].owner.as_deref(), image.destinations[0].rule.as_str()), (None, ""));
}

#[tokio::test]
async fn causes_are_told_of_a_run_that_is_still_open() {
    let scene = Scene::new().await;
    scene.add(tags(&["1.0", "1.1"]), &["mirror.test/{}"]).await;
    scene.work(|_, _| failed(Code::SourceNotFound, "HEAD a manifest: 404", None)).await;
    scene.add(tags(&["1.2"]), &["mirror.test/{}"]).await;
    let mut causes = Causes::default();
    for row in scene.store.report_rows(scene.run, None, 100).await.unwrap() {
        causes.note(&row);
    }
    let causes = causes.into_list();
    assert_eq!((causes.len(), causes[0].images, causes[0].host.as_deref()), (1, 2, Some("source.test")));
}

#[tokio::test]
async fn what_others_say_is_text_on_the_page_and_no_formula_in_the_table() {
    const SAID: &str = "=HYPERLINK(\"//evil\",\"x\")<script>alert(1)</script>";
    let scene = Scene::of("<b onload=x>nightly", RUN).await;
    let mut place = wanted("mirror.test/app:1.0", SAID, SAID);
    place.origin = Origin { group: Some(SAID.to_owned()), place: SAID.to_owned(), ..place.origin };
    scene.add_wanted("source.test/app:1.0", vec![place]).await;
    scene.work(|_, _| failed(Code::DestinationRefused, SAID, Some("<img src=//evil>"))).await;
    let unlisted = Failure::new(None, Code::SourceRefused, Class::Reject, SAID, Some("<img src=//evil>"));
    scene.store.add_failed_line(scene.run, "source.test/gone", &unlisted, at(3)).await.unwrap();
    scene.store.add_warning(scene.run, SAID).await.unwrap();
    let folder = scene.report(RunEnd::Finished).await;

    let page = page(&folder);
    for word in ["<script", "<img", "<b onload"] {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(
        page.matches("&#60;script&#62;").count(),
        8,
        "cause, image with owner, group, rule and its place, unlisted repository and warning"
    );
    let messages: Vec<_> = table(&folder).iter().map(|line| line[7].to_owned()).collect();
    assert_eq!(messages, [format!("'{SAID}"), format!("'{SAID}")]);
    assert_eq!(document(&folder)["warnings"][0], SAID, "the document has the very words");
}

#[tokio::test]
async fn a_page_shows_five_thousand_images_the_worst_first_and_says_how_many_it_left_out() {
    let scene = Scene::new().await;
    scene.add((0..5_001).map(|n| format!("source.test/app:1.{n}")), &["mirror.test/{}"]).await;
    scene
        .work(|source, _| match source.to_string().ends_with("7") {
            true => failed(Code::SourceNotFound, "get a manifest: 404", None),
            false => pushed(source),
        })
        .await;
    let folder = scene.report(RunEnd::Finished).await;

    let page = page(&folder);
    assert_eq!(page.matches("<th scope=\"row\">").count(), 5_000);
    assert!(page.find("500 failed").unwrap() < page.find("4,501 pushed").unwrap());
    assert!(page.contains("… 1 more in <a href=\"report.csv\">report.csv</a>"));
    assert_eq!(page.matches("more in <a").count(), 1);
    assert_eq!(table(&folder).len(), 5_001);
    let document = document(&folder);
    assert_eq!(document["images"].as_array().unwrap().len(), 5_001);
    assert_eq!((&document["causes"][0]["images"], &document["causes"][1]), (&500.into(), &Value::Null));
}

#[tokio::test]
async fn a_page_leaves_out_what_is_up_to_date_and_says_where_it_is() {
    let scene = Scene::new().await;
    scene.add(tags(&["1.0"]), &["mirror.test/{}"]).await;
    scene.work(|source, _| pushed(source)).await;
    scene.report(RunEnd::Finished).await;
    let again = scene.next("0192f0c0ffee70008000000000000002").await;
    again.add(tags(&["1.0"]), &["mirror.test/{}"]).await;
    again.work(|source, _| pushed(source)).await;
    let folder = again.report(RunEnd::Finished).await;

    let page = page(&folder);
    assert!(!page.contains("<table") && page.contains("1 image up to date"), "{page}");
    assert_eq!(&table(&folder)[0][3], "up_to_date");
}

#[tokio::test]
async fn an_interrupted_run_says_so_and_shows_what_it_had_not_reached() {
    let scene = Scene::new().await;
    scene.add(tags(&["1.0", "1.1"]), &["mirror.test/{}"]).await;
    let folder = scene.report(RunEnd::Interrupted).await;
    let page = page(&folder);
    for words in ["was interrupted after 3 min 20 s", "stopped before its end", "2 cancelled", "0 attempts"] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(document(&folder)["run"]["end"], "interrupted");
}

#[tokio::test]
async fn no_document_appears_before_the_other_files_and_a_second_try_is_whole() {
    let scene = Scene::new().await;
    scene.store.interrupt_run(scene.run, at(1)).await.unwrap();
    let hindrance = scene.folder().join(TABLE);
    std::fs::create_dir_all(&hindrance).unwrap();
    scene.write().await.unwrap_err();
    let names = || std::fs::read_dir(scene.folder()).unwrap().map(|file| file.unwrap().file_name()).collect::<Vec<_>>();
    assert!(!names().contains(&JSON.into()), "{:?}", names());

    std::fs::remove_dir(hindrance).unwrap();
    scene.write().await.unwrap();
    let mut names = names();
    names.sort();
    assert_eq!(names, [TABLE, PAGE, JSON], "and nothing else is left");
}

#[tokio::test]
async fn a_report_that_is_kept_moves_one_of_another_run_aside() {
    let (first, second) = (Scene::new().await, Scene::of("nightly", "0192f0c0ffee70008000000000000002").await);
    let (first_folder, second_folder) =
        (first.report(RunEnd::Interrupted).await, second.report(RunEnd::Interrupted).await);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(run_in(folder).unwrap(), None);
    keep(&first_folder.join(JSON), folder).unwrap();
    keep(&first_folder.join(JSON), folder).unwrap();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 3, "the same run again");

    assert_eq!(keep(&second_folder.join(JSON), folder).unwrap(), folder.join(PAGE));
    assert_eq!(run_in(folder).unwrap(), Some(second.run));
    for name in [PAGE, TABLE, JSON] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read(folder), read(&second_folder));
        assert_eq!(read(&folder.join(RUN)), read(&first_folder));
    }
}

#[tokio::test]
async fn what_is_no_report_of_ours_is_not_replaced() {
    let scene = Scene::new().await;
    let report = scene.report(RunEnd::Interrupted).await.join(JSON);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(JSON), "{\"run\": {\"id\": \"../up\"}}").unwrap();
    assert!(run_in(folder.path()).is_err());
    assert!(keep(&report, folder.path()).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
