//! Indexes that nobody would write, but for harm.

use proto::limits::INDEX_DEPTH_MAX;
use proto::{Code, Digest};
use serde_json::{Value, json};

use super::{INDEX, child, held, index, put_child, raw, rewrite, sorted};
use crate::bench::{Bench, digest, failure};

#[tokio::test(flavor = "multi_thread")]
async fn odd_children_do_no_harm() {
    let bench = Bench::new().await;
    let (intel, intel_entry) = put_child(&bench, 1, "linux/amd64");
    let mut nameless = intel_entry.clone();
    nameless.as_object_mut().unwrap().remove("platform");
    let mut odd = intel_entry.clone();
    odd["platform"] = json!({ "os": "", "architecture": "amd64" });
    let mut absent = intel_entry.clone();
    absent["digest"] = Digest::of(b"nowhere").as_str().into();
    absent["platform"] = json!({ "os": "linux", "architecture": "\u{7}`s390x\n" });
    let mut children: Vec<&Value> = vec![&intel_entry, &nameless, &odd, &intel_entry];
    children.extend(std::iter::repeat_n(&absent, 5_000));
    let (top, _) = bench.put_document(Some("1.0"), &index(&children));
    let result = bench.run(&bench.task_for("1.0", &rewrite(&["linux/amd64"]))).await;
    assert_eq!(raw(&bench, digest(&result)), index(&[&intel_entry, &intel_entry]).to_string());
    assert_eq!(held(&bench), sorted([digest(&result), &intel.digest()]));
    assert_eq!(result.warnings, [format!("of the index {top}, what names no platform was left out: 2")]);

    let refused = bench.run(&bench.task_for("1.0", &rewrite(&["linux/arm64"]))).await;
    assert!(!failure(&refused).message.contains(['\n', '\u{7}']), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_that_name_each_other_many_times_are_read_once_and_too_deep_ones_are_refused() {
    let bench = Bench::new().await;
    let mut children = vec![put_child(&bench, 1, "linux/amd64").1, put_child(&bench, 2, "linux/s390x").1];
    // Each names the one below 500 times: to follow every path would take for ever.
    for depth in 0..=INDEX_DEPTH_MAX {
        let tag = format!("deep-{depth}");
        let put = bench.put_document(Some(&tag), &index(&children.iter().collect::<Vec<_>>()));
        bench.source.log().clear();
        let result = bench.run(&bench.task_for(&tag, &rewrite(&["linux/amd64"]))).await;
        if depth < INDEX_DEPTH_MAX {
            digest(&result);
            let new = if depth == 0 { 2 } else { 1 };
            assert_eq!(bench.source.log().count("GET", "/manifests/"), new, "{depth}: each is read once, ever");
        } else {
            assert_eq!(failure(&result).code, Code::ImageTooLarge);
        }
        children = vec![child(INDEX, &put, "linux/amd64"); 500];
    }
}
