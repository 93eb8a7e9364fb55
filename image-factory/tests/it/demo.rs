//! `demo`: three nights and what it says of them.

use crate::support::Workshop;

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_both_registries_compared_and_the_path_of_a_report() {
    let workshop = Workshop::new();
    let ended = workshop.program(&["demo", "--dir", "demo"]).await.expect(0);
    assert!(ended.stderr.contains("is at the destination, byte for byte"), "{}", ended.stderr);
    let report = ended.stdout.lines().last().unwrap();
    assert!(std::path::Path::new(report).ends_with("report.html"), "{report}");
    assert!(workshop.path().join(report).is_file(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_it_with_the_night_that_it_is_in() {
    let workshop = Workshop::new();
    let mut demo = workshop.watch(workshop.start(&["demo", "--dir", "demo"]));
    demo.says("first night").await;
    demo.signal("INT");
    let ended = demo.end().await.expect(5);
    assert!(!ended.stderr.contains("second night"), "{}", ended.stderr);
}
