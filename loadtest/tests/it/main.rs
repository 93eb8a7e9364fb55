//! The bench runs, in small: what it needs of the programs, the registries and the other tools is there.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use sandbox::content::Bench;
use sandbox::{Effect, Fault, Registry, Store, Tls};

#[test]
fn every_scenario_runs_in_small() {
    let loadtest = Path::new(env!("CARGO_BIN_EXE_loadtest"));
    let needed = ["image-factory", "sandbox", "/usr/bin/time"].map(|name| loadtest.with_file_name(name));
    if let Some(path) = needed.iter().find(|path| !path.exists()) {
        let name = "loadtest every_scenario_runs_in_small";
        writeln!(std::io::stderr(), "SKIPPED {name}: {} is not here", path.display()).unwrap();
        return;
    }
    let output = Command::new(loadtest).arg("--quick").output().unwrap();
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    for row in
        ["http: copy", "https: run", "https: copy from oci:", "run, first night", "run, second night", "run, limited"]
    {
        assert!(said.lines().any(|line| line.starts_with(row)), "no row `{row}`:\n{said}");
    }
    for row in ["run: cold", "run: warm", "run: warm again", "run: 2 % moved"] {
        assert!(said.lines().any(|line| line.starts_with(row)), "no row `{row}`:\n{said}");
    }
    for title in [
        "10 tags, sandbox, 1 ms",
        "15 tags, sandbox, 1 ms",
        "    floor: 126 requests: ",
        "    replay limit: 5 at once ",
    ] {
        assert!(said.lines().any(|line| line.starts_with(title)), "no line `{title}`:\n{said}");
    }
    assert!(said.contains("6000 tags in 420 repositories"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_is_filled_by_no_more_requests_than_the_floor_says() {
    let source = Registry::builder().tls(Tls::SignedByAuthority).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, source.ca_pem().unwrap()).unwrap();
    let replay = |more: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(["replay", "--to", &source.url(), "--ca"]).arg(&ca).args(["--bench-catalogue", "3x5/64"]);
        command.args(more).kill_on_drop(true).output()
    };
    let filled = replay(&["--at-once", "4"]).await.unwrap();
    assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
    let said = String::from_utf8_lossy(&filled.stdout);
    // Three layers of all, two of each repository, and of 18 images a layer and a configuration each.
    let expected = "69 to the source (3 lists, 21 manifests, 45 blobs), 117 to the destination (45 blobs at two, 6 mounts, \
                    21 manifests)";
    assert!(said.contains(expected), "{said}");
    assert_eq!(source.requests().len(), 117);
    let shape: Bench = "3x5/64".parse().unwrap();
    let expected = Store::new();
    shape.fill(&expected);
    assert_eq!(source.store().tags(), expected.tags());
    assert!(replay(&["--moved", "--read"]).await.unwrap().status.success());
    shape.move_on(&expected, 1);
    assert_eq!(source.store().tags(), expected.tags());
    assert_eq!(source.log().count("GET", "/blobs/"), 45);
}

#[tokio::test]
async fn a_registry_that_refuses_is_told_with_what_it_said() {
    let registry = Registry::builder().start().await.unwrap();
    registry.fault(Fault::on("PUT", "/manifests/1.3", Effect::manifest_invalid()));
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(["replay", "--to", &registry.url(), "--bench-catalogue", "1x5/64"]).kill_on_drop(true);
    let failed = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success());
    assert!(said.contains("`/v2/bench/app-000/manifests/1.3` was answered 400 Bad Request instead of 201"), "{said}");
    assert!(said.contains("MANIFEST_INVALID"), "{said}");
}
