//! Who may use whom: the walls between our crates, and around crates of others, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate of ours, what of ours it may use, and why not more. In tests `sandbox` may be used by all.
const MAY_USE: &[(&str, &[&str], &str)] = &[
    ("proto", &[], "the treaty stands alone"),
    ("daemon", &[], "every process uses it, so it knows none of them"),
    ("jobfile", &["proto"], "the file is understood without anything that runs"),
    ("registry", &["proto"], "a client of an outside world stands alone"),
    ("backends", &["proto"], "a backend carries and keeps messages, whatever they ask for"),
    ("worker", &["proto", "backends", "registry", "daemon"], "a worker never sees the file, nor the coordinator"),
    (
        "coordinator",
        &["proto", "jobfile", "backends", "registry", "daemon"],
        "a coordinator reaches workers over the queue only",
    ),
    (
        "image-factory",
        &["proto", "jobfile", "backends", "registry", "daemon", "coordinator", "worker", "sandbox"],
        "the composition root uses all but the tools",
    ),
    ("sandbox", &["proto"], "a server that used our client would agree with its mistakes"),
    ("loadtest", &["jobfile", "sandbox"], "it judges the program from outside, as its users meet it"),
    ("xtask", &[], "a tool must build when all else is broken"),
];

/// Crates of others that only the named crates of ours may depend on directly.
const KEPT_IN: &[(&str, &[&str], &str)] = &[
    ("lapin", &["backends"], "nothing else can tell which queue runs"),
    ("redis", &["backends"], "nothing else can tell which ledger runs"),
    ("sqlx", &["backends"], "nothing else can tell which database runs"),
    ("object_store", &["backends"], "nothing else can tell where evidence lies"),
    ("bollard", &["scanner", "buildkit"], "only they speak to a Docker Engine"),
];

/// Crates of ours that stay pure, also through what they use.
const PURE: &[&str] = &["proto", "jobfile"];
const IMPURE: &[&str] = &["tokio", "reqwest", "hyper", "sqlx"];

/// Crates of others that no program of ours may contain.
const NOT_SHIPPED: &[(&str, &str)] =
    &[("oci-client", "a second HTTP stack without our retries and budgets; it judges us in tests")];

/// Features of ours that only tests may switch on.
const FOR_TESTS: &[(&str, &str)] = &[
    ("conformance", "suites panic, and damage what they are given"),
    ("crash-points", "what people run must not die at a word"),
];

/// Crates of others that may not even come in through another one or a test.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "TLS is ring only: with two providers rustls has no default"),
    ("aws-lc-sys", "TLS is ring only"),
    ("native-tls", "TLS is rustls only"),
    ("openssl-sys", "TLS is rustls only"),
    ("backoff", "unmaintained; `backon` replaces it"),
];

/// A crate, ours or not: what it uses, and how.
#[derive(Default)]
struct Package {
    ours: bool,
    uses: Vec<(String, DependencyKind)>,
    /// Each feature that it switches on in a crate that it uses, and how it uses that crate.
    enables: Vec<(String, String, DependencyKind)>,
}

/// All crates that our build resolves to, by name. Versions of one crate are taken together.
type Graph = BTreeMap<String, Package>;

/// Every broken wall, one sentence each.
///
/// # Errors
/// If cargo cannot resolve the workspace.
pub(crate) fn findings(root: &Path) -> Result<Vec<String>> {
    Ok(check(&read(root)?))
}

fn read(root: &Path) -> Result<Graph> {
    // For this platform only: all platforms would need crates that a build here never downloads.
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output().context("run `rustc`")?;
    ensure!(host.status.success(), "`rustc --print host-tuple` failed");
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .other_options(["--locked", "--filter-platform", String::from_utf8(host.stdout)?.trim()].map(String::from))
        .exec()
        .context("read `cargo metadata`")?;
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let mut graph = Graph::new();
    for node in &metadata.resolve.as_ref().context("`cargo metadata` resolved nothing")?.nodes {
        let package = graph.entry(names[&node.id].to_owned()).or_default();
        package.ours |= metadata.workspace_members.contains(&node.id);
        for dependency in &node.deps {
            let name = names[&dependency.pkg].to_owned();
            package.uses.extend(dependency.dep_kinds.iter().map(|kind| (name.clone(), kind.kind)));
        }
    }
    for package in &metadata.packages {
        let entry = graph.entry(package.name.to_string()).or_default();
        for used in &package.dependencies {
            let enabled = used.features.iter().map(|feature| (used.name.clone(), feature.clone(), used.kind));
            entry.enables.extend(enabled);
        }
    }
    Ok(graph)
}

fn check(graph: &Graph) -> Vec<String> {
    let mut findings = BTreeSet::new();
    for (name, package) in graph.iter().filter(|(_, package)| package.ours) {
        match MAY_USE.iter().find(|(crate_name, ..)| crate_name == name) {
            Some((_, allowed, reason)) => check_ours(graph, (name, package), (allowed, reason), &mut findings),
            None => {
                findings.insert(format!("`{name}` has no row in `MAY_USE`"));
            }
        }
        for (theirs, homes, reason) in KEPT_IN {
            if !homes.contains(&name.as_str()) && package.uses.iter().any(|(used, _)| used == theirs) {
                findings.insert(format!("`{name}` uses `{theirs}`, kept in {homes:?}: {reason}"));
            }
        }
        for (used, feature, kind) in
            package.enables.iter().filter(|(used, ..)| graph.get(used).is_some_and(|used| used.ours))
        {
            let test = FOR_TESTS.iter().find(|(name, _)| name == feature);
            if let Some((_, reason)) = test.filter(|_| *kind != DependencyKind::Development) {
                findings.insert(format!("`{name}` switches on `{feature}` of `{used}` outside its tests: {reason}"));
            }
        }
        let shipped = closure(graph, name);
        for impure in IMPURE.iter().filter(|impure| PURE.contains(&name.as_str()) && shipped.contains(**impure)) {
            findings.insert(format!("`{name}` must stay pure, but contains `{impure}`"));
        }
        for (theirs, reason) in NOT_SHIPPED.iter().filter(|(theirs, _)| shipped.contains(*theirs)) {
            findings.insert(format!("`{name}` contains `{theirs}` outside its tests: {reason}"));
        }
    }
    for (crate_name, ..) in MAY_USE.iter().filter(|(crate_name, ..)| !graph.contains_key(*crate_name)) {
        findings.insert(format!("`MAY_USE` has a row for `{crate_name}`, which does not exist"));
    }
    for (banned, reason) in BANNED.iter().filter(|(banned, _)| graph.contains_key(*banned)) {
        let users: Vec<&String> =
            graph.iter().filter(|(_, p)| p.uses.iter().any(|(used, _)| used == banned)).map(|(name, _)| name).collect();
        findings.insert(format!("`{banned}` is in the tree, through {users:?}: {reason}"));
    }
    findings.into_iter().collect()
}

/// Whether `package` uses of ours only what its row of [`MAY_USE`] allows.
fn check_ours(
    graph: &Graph,
    (name, package): (&String, &Package),
    (allowed, reason): (&[&str], &str),
    findings: &mut BTreeSet<String>,
) {
    for (used, kind) in package.uses.iter().filter(|(used, _)| used != name && graph[used].ours) {
        let in_tests = *kind == DependencyKind::Development && used == "sandbox";
        if !in_tests && !allowed.contains(&used.as_str()) {
            findings.insert(format!("`{name}` may not use `{used}`: {reason}"));
        }
    }
}

/// What a build of `name` without its tests contains.
fn closure<'a>(graph: &'a Graph, name: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::from([name]);
    let mut open = vec![name];
    while let Some(package) = open.pop().and_then(|name| graph.get(name)) {
        for (used, _) in package.uses.iter().filter(|(_, kind)| *kind == DependencyKind::Normal) {
            if seen.insert(used) {
                open.push(used);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    use DependencyKind::{Development, Normal};

    /// A tree of all our crates, in which each edge `(user, used, kind)` is added.
    fn graph(edges: &[(&str, &str, DependencyKind)]) -> Graph {
        let mut graph = Graph::new();
        for (name, ..) in MAY_USE {
            graph.entry((*name).to_owned()).or_default().ours = true;
        }
        for (user, used, kind) in edges {
            graph.entry((*used).to_owned()).or_default();
            graph.entry((*user).to_owned()).or_default().uses.push(((*used).to_owned(), *kind));
        }
        graph
    }

    /// The only finding for `edges`.
    fn finding(edges: &[(&str, &str, DependencyKind)]) -> String {
        let findings = check(&graph(edges));
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings[0].clone()
    }

    #[test]
    fn the_walls_of_this_repository_stand() {
        let findings = findings(crate::root()).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn what_the_table_allows_is_no_finding() {
        let edges =
            [("worker", "registry", Normal), ("registry", "sandbox", Development), ("registry", "tokio", Normal)];
        assert_eq!(check(&graph(&edges)), Vec::<String>::new());
    }

    #[test]
    fn a_crate_that_uses_one_of_ours_against_the_table_is_found() {
        assert!(finding(&[("worker", "coordinator", Normal)]).starts_with("`worker` may not use `coordinator`"));
        assert!(finding(&[("worker", "coordinator", Development)]).starts_with("`worker` may not use `coordinator`"));
        assert!(finding(&[("registry", "sandbox", Normal)]).starts_with("`registry` may not use `sandbox`"));
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_found() {
        let mut graph = graph(&[]);
        let daemon = graph.remove("daemon").unwrap();
        graph.insert("misc".to_owned(), daemon);
        assert_eq!(
            check(&graph),
            ["`MAY_USE` has a row for `daemon`, which does not exist", "`misc` has no row in `MAY_USE`"]
        );
    }

    #[test]
    fn a_walled_crate_outside_its_home_is_found_also_in_tests() {
        assert!(finding(&[("coordinator", "sqlx", Development)]).starts_with("`coordinator` uses `sqlx`"));
        assert_eq!(check(&graph(&[("backends", "sqlx", Normal)])), Vec::<String>::new());
    }

    #[test]
    fn a_runtime_below_a_pure_crate_is_found_but_not_below_its_tests() {
        let found = finding(&[("jobfile", "middle", Normal), ("middle", "tokio", Normal)]);
        assert_eq!(found, "`jobfile` must stay pure, but contains `tokio`");
        let tests = [("jobfile", "middle", Development), ("middle", "tokio", Normal)];
        assert_eq!(check(&graph(&tests)), Vec::<String>::new());
    }

    #[test]
    fn a_feature_for_tests_that_a_program_switches_on_is_found() {
        let found = |kind| {
            let mut graph = graph(&[("worker", "daemon", Normal)]);
            let enabled = ("daemon".to_owned(), "crash-points".to_owned(), kind);
            graph.get_mut("worker").unwrap().enables.push(enabled);
            check(&graph)
        };
        assert_eq!(found(Development), Vec::<String>::new());
        assert!(found(Normal)[0].starts_with("`worker` switches on `crash-points` of `daemon`"));
    }

    #[test]
    fn the_judge_is_for_tests_only() {
        assert!(finding(&[("registry", "oci-client", Normal)]).starts_with("`registry` contains `oci-client`"));
        assert_eq!(check(&graph(&[("registry", "oci-client", Development)])), Vec::<String>::new());
    }

    #[test]
    fn a_banned_crate_is_found_however_it_comes_in() {
        let found = finding(&[("registry", "middle", Development), ("middle", "aws-lc-rs", Normal)]);
        assert!(found.starts_with("`aws-lc-rs` is in the tree, through [\"middle\"]"), "{found}");
    }
}
