//! A report is a fold over the rows of the Store.

use coordinator::report::Summary;
use sandbox::{Registry, content};

use crate::office::{Office, file};

#[tokio::test]
async fn a_run_of_two_thousand_images_is_reported_whole_and_in_order() {
    const IMAGES: usize = 2_000;
    let source = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    let tags: Vec<String> = (0..IMAGES).map(|n| format!("1.{n}")).collect();
    source.store().put_image("app", Some(&tags[0]), &image);
    for tag in &tags {
        source.store().put_tag("app", tag, &image.digest());
    }
    let office = Office::new().await;
    let run = office.submit(&file(&format!("  {}/app: \"*\"\n  {}/none: \"*\"\n", source.host(), source.host()))).await;
    let report = office.run_to_report(run, IMAGES).await;
    assert_eq!((&report["totals"]["pushed"], &report["totals"]["unlisted"]), (&IMAGES.into(), &1.into()));
    let reported: Vec<&str> =
        report["images"].as_array().unwrap().iter().map(|image| image["source"].as_str().unwrap()).collect();
    let mut expected: Vec<String> = tags.iter().map(|tag| format!("{}/app:{tag}", source.host())).collect();
    expected.sort();
    assert_eq!(reported, expected, "each once, in the order of their names");

    let path = office.store.run(run).await.unwrap().report.unwrap().path;
    let summary = Summary::read(path.as_ref()).unwrap();
    assert_eq!((summary.totals.images, summary.unlisted.len()), (IMAGES as u64, 1));
}
