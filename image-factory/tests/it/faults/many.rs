//! One bad image never stops the others.

use proto::Digest;
use sandbox::{Effect, Fault, Layer, Registry, content};

use crate::support::{Workshop, failures, totals};

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_image_among_400_never_stops_the_other_399() {
    let (source, destination) =
        (Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap());
    let shared = Layer::new(1, 2_000);
    for seed in 0..399 {
        let image = content::image(seed).layer(&shared).build();
        source.store().put_image(&format!("team/app-{}", seed % 20), Some(&format!("1.{seed}")), &image);
    }
    let bad = Layer::new(2, 2_000);
    let image = content::image(399).layer(&shared).layer(&bad).build();
    source.store().put_image("team/app-7", Some("1.399"), &image);
    let bad = format!("/blobs/{}", Digest::of(&bad.bytes));
    source.fault(Fault::on("GET", &bad, Effect::CorruptBody { at: 1_000 }));

    let workshop = Workshop::new();
    let images: String = (0..20).map(|n| format!("  {}/team/app-{n}: \"*\"\n", source.host())).collect();
    workshop.job(&format!("version: 1\nto: {}/{{path}}\nimages:\n{images}", destination.host()));
    let ended = workshop.run().await.expect(1);

    let report = workshop.report().await;
    assert_eq!(totals(&report), "399 pushed, 1 failed");
    let name = format!("{}/team/app-7:1.399", source.host());
    assert_eq!(failures(&report), [format!("{name} → source_corrupt")]);
    assert!(ended.stdout.contains(&name), "{}", ended.stdout);
    let mut expected = source.store().tags();
    expected.remove(&("team/app-7".to_owned(), "1.399".to_owned()));
    assert_eq!(destination.store().tags(), expected);
}
