//! Job files in a work tree of Git, and of which commit they are.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::{Desk, at, changes, of, one, sources, swap, write};

/// Whether there is a Git; says so if the test is skipped.
fn has_git() -> bool {
    let has_git = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_git {
        let test = std::thread::current();
        // Not by a macro that libtest captures: whoever counts what was skipped reads it.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED {}: git is not installed", test.name().unwrap_or("a test")).unwrap();
    }
    has_git
}

fn git(folder: &Path, args: &[&str]) -> String {
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(who).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Commits everything in the work tree, and gives the commit.
fn commit(folder: &Path) -> String {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "--allow-empty", "-m", "change"]);
    git(folder, &["rev-parse", "HEAD"])
}

#[tokio::test]
async fn a_file_in_a_work_tree_has_its_commit_and_says_whether_it_is_as_it_is_there() {
    if !has_git() {
        return;
    }
    let mut desk = Desk::new();
    desk.write("a.yaml", &one("alpine"));
    desk.look().await;
    let revision = |desk: &Desk| desk.catalogue.jobs()["a"].revision.clone();
    assert_eq!(revision(&desk), None, "no work tree");

    git(desk.folder.path(), &["init", "-q"]);
    let first = commit(desk.folder.path());
    assert!(desk.look().await.is_empty());
    assert_eq!(revision(&desk), Some(first.clone()));

    desk.write("a.yaml", &one("nginx"));
    assert_eq!(desk.look().await, changes(&[], &["a"], &[]));
    assert_eq!(revision(&desk), Some(format!("{first}-dirty")));
    let second = commit(desk.folder.path());
    assert!(desk.look().await.is_empty(), "the content is the same");
    assert_eq!(revision(&desk), Some(second.clone()));

    desk.write("README.md", "something else");
    let third = commit(desk.folder.path());
    desk.look().await;
    assert_eq!(revision(&desk), Some(third.clone()), "the file is of this commit too");

    desk.write("a.yaml", "version: 2\n");
    commit(desk.folder.path());
    desk.look().await;
    assert_eq!(revision(&desk), Some(third), "what is in force is of the commit of which it was");
    assert_eq!(sources(&desk.catalogue, "a"), ["library/nginx"]);
}

#[tokio::test]
async fn a_checkout_that_a_sidecar_moves_on_by_its_link_is_followed() {
    if !has_git() {
        return;
    }
    let desk = Desk::new();
    let repository = desk.path("repository");
    write(&repository, "jobs/a.yaml", &one("alpine"));
    git(&repository, &["init", "-q"]);
    let commits = [commit(&repository), {
        write(&repository, "jobs/a.yaml", &one("nginx"));
        commit(&repository)
    }];
    // As git-sync does it: a work tree for each commit, a link to the newest, and the old one is removed.
    for commit in &commits {
        let tree = desk.path(commit);
        git(&repository, &["worktree", "add", "-q", "--detach", tree.to_str().unwrap(), commit]);
    }
    let link = desk.path("current");
    swap(&link, &commits[0]);
    let mut catalogue = of(link.join("jobs").to_str().unwrap());
    assert_eq!(catalogue.look(at(0)).await, changes(&["a"], &[], &[]));
    assert_eq!(catalogue.jobs()["a"].revision.as_ref(), Some(&commits[0]));

    swap(&link, &commits[1]);
    git(&repository, &["worktree", "remove", desk.path(&commits[0]).to_str().unwrap()]);
    assert_eq!(catalogue.look(at(10)).await, changes(&[], &["a"], &[]));
    let job = &catalogue.jobs()["a"];
    assert_eq!(job.revision.as_ref(), Some(&commits[1]));
    assert_eq!(job.path, link.join("jobs/a.yaml").to_str().unwrap());
    assert_eq!(sources(&catalogue, "a"), ["library/nginx"]);
}
