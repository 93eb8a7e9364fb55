//! The bench runs, in small: what it needs of the programs, the registries and the other tools is there.

use std::io::Write;
use std::path::Path;
use std::process::Command;

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
    assert!(said.contains("6000 tags in 420 repositories"), "{said}");
}
