//! Who wants an image, and whom a report tells how it ended.

use backends::store::{NewDestination, RunEnd};
use proto::content::{IndexForm, Platforms, Referrers};
use proto::failure::{Class, Code};
use proto::{Content, Failure};

use crate::scene::{Scene, at, failed, pushed, wanted};
use crate::writing::{document, page, table};

#[tokio::test]
async fn a_report_tells_who_wants_an_image_what_of_it_and_by_which_rule() {
    let scene = Scene::new().await;
    let some = Content {
        platforms: Platforms::Only { platforms: ["linux/amd64".parse().unwrap()].into(), index: IndexForm::Rewrite },
        referrers: Referrers::None,
    };
    let whole = wanted("mirror.test/a:1", "payments", "1.*");
    let part = NewDestination { content: some, ..wanted("edge.test/a:1", "payments", "1.*") };
    scene.add_wanted("source.test/a:1", vec![whole, part]).await;
    let (ours, theirs) = (wanted("mirror.test/b:1", "payments", "=1"), wanted("edge.test/b:1", "platform", "$stable"));
    scene.add_wanted("source.test/b:1", vec![ours, theirs]).await;
    scene.work(|source, _| pushed(source)).await;
    let folder = scene.report(RunEnd::Finished).await;

    let page = page(&folder);
    let (a, b) = page[page.find("source.test/a:1").unwrap()..].split_once("source.test/b:1").unwrap();
    for (words, in_a, in_b) in [
        ("payments, group payments-images", 1, 1),
        ("platform, group platform-images", 0, 1),
        ("rule <code>1.*</code> at nightly.yaml:7:12", 1, 0),
        ("rule <code>$stable</code>", 0, 1),
        ("platforms: linux/amd64 (index: rewrite)", 1, 0),
        ("referrers: none", 1, 0),
        ("platforms: all", 0, 0),
        ("referrers: all", 0, 0),
    ] {
        assert_eq!((a.matches(words).count(), b.matches(words).count()), (in_a, in_b), "{words}");
    }
    let cells: Vec<Vec<String>> =
        table(&folder).iter().map(|line| line.iter().skip(10).take(6).map(ToOwned::to_owned).collect()).collect();
    assert_eq!(cells[0], ["payments", "payments-images", "image", "1.*", "all", "all"]);
    assert_eq!(cells[1], ["payments", "payments-images", "image", "1.*", "linux/amd64 (index: rewrite)", "none"]);
    assert_eq!(cells[2], ["payments", "payments-images", "image", "'=1", "all", "all"]);
    assert_eq!(cells[3], ["platform", "platform-images", "image", "$stable", "all", "all"]);
    insta::assert_json_snapshot!("wanted", document(&folder)["images"][0]["destinations"]);
}

#[tokio::test]
async fn a_report_tells_each_owner_how_its_images_ended_who_has_failures_first() {
    let scene = Scene::new().await;
    scene.add(["source.test/app:1.0".to_owned()], &["mirror.test/{}"]).await;
    for n in 0..3 {
        let places = vec![
            wanted(&format!("one.test/app:2.{n}"), "apps", "2.*"),
            wanted(&format!("two.test/app:2.{n}"), "apps", "2.*"),
            wanted(&format!("far.test/app:2.{n}"), "sea", "2.*"),
        ];
        scene.add_wanted(&format!("source.test/app:2.{n}"), places).await;
    }
    scene
        .work(|source, place| match place.to_string().as_str() {
            "far.test/app:2.1" => failed(Code::DestinationForbidden, "PUT a manifest: 403", None),
            _ => pushed(source),
        })
        .await;
    let unlisted = Failure::new(None, Code::SourceNotFound, Class::Reject, "list tags of source.test/gone: 404", None);
    scene.store.add_failed_line(scene.run, "source.test/gone", &unlisted, at(3)).await.unwrap();
    let folder = scene.report(RunEnd::Finished).await;

    insta::assert_json_snapshot!("owners", document(&folder)["owners"]);
    let page = page(&folder);
    let strip = page.split("By owner").nth(1).unwrap().split("</ul>").next().unwrap();
    let place = |words: &str| strip.find(words).expect(words);
    assert!(place("sea") < place("apps") && place("apps") < place("no owner"), "{strip}");
    assert!(strip.contains("<b class=\"failed\">1</b> failed, <b class=\"pushed\">2</b> pushed"), "{strip}");
    assert!(
        page.contains("repositories that were not taken in full</a> are not counted"),
        "whose they are is not known"
    );
}

#[tokio::test]
async fn a_page_with_one_owner_does_not_count_by_owner() {
    let scene = Scene::new().await;
    scene.add_wanted("source.test/a:1", vec![wanted("mirror.test/a:1", "apps", "1")]).await;
    scene.work(|source, _| pushed(source)).await;
    let folder = scene.report(RunEnd::Finished).await;
    assert!(!page(&folder).contains("By owner"));
    assert_eq!(document(&folder)["owners"].as_array().unwrap().len(), 1);
}
