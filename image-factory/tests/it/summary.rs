//! What a person reads at the end of a run.

use sandbox::{Account, Auth, Registry, content};

use crate::support::Workshop;

async fn source() -> Registry {
    let source = Registry::builder().start().await.unwrap();
    source.store().put_image("app", Some("1.0"), &content::image(1).build());
    source
}

#[tokio::test(flavor = "multi_thread")]
async fn each_registry_is_a_cause_of_its_own_and_counts_its_images_and_their_destinations() {
    let (first, second) = (source().await, source().await);
    let destination = Registry::builder().start().await.unwrap();
    let (a, b, to) = (first.host(), second.host(), destination.host());
    let workshop = Workshop::new();
    workshop.job(&format!(
        "version: 1\nto: [\"{to}/one/{{registry}}/{{path}}\", \"{to}/two/{{registry}}/{{path}}\"]\nimages:\n  \
         {a}/app: [\"1.0\", \"7.1\", \"7.2\", \"7.3\", \"7.4\"]\n  {b}/app: \"7.7\"\n"
    ));
    let ended = workshop.run().await.expect(1);
    for line in [
        format!(
            "failed   4 × source_not_found at {a} (8 destinations)  {a}/app:7.1, {a}/app:7.2, {a}/app:7.3 and 1 more"
        ),
        format!("failed   1 × source_not_found at {b} (2 destinations)  {b}/app:7.7"),
    ] {
        assert!(ended.stdout.lines().any(|said| said == line), "no `{line}`:\n{}", ended.stdout);
    }
    let next = ended.stdout.lines().last().unwrap();
    assert!(
        next.starts_with("next     mend what is named above, or it ends the same; then image-factory retry "),
        "{next}"
    );
    assert!(next.ends_with(" --failed"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_list_a_repository_is_told_how_to_mend_it_and_what_to_do_next() {
    let closed = Registry::builder().auth(Auth::Basic(vec![Account::new("robot", "good")])).start().await.unwrap();
    let workshop = Workshop::new();
    workshop.job(&format!("version: 1\nto: r.example/{{path}}\nimages:\n  {}/app: \"*\"\n", closed.host()));
    let ended = workshop.run().await.expect(1);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let unlisted = lines.iter().position(|line| line.starts_with("left out ")).unwrap();
    assert!(lines[unlisted].contains("source_unauthorized"), "{}", ended.stdout);
    assert!(lines[unlisted + 2].trim_start().starts_with("mend: "), "{}", ended.stdout);
    assert!(lines.last().unwrap().starts_with("next     `image-factory doctor /"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_next_when_all_is_done() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    let (from, to) = (source.host(), destination.host());
    let ended = workshop.job(&format!("version: 1\nto: {to}/{{path}}\nimages:\n  {from}/app: \"*\"\n")).run().await;
    assert!(ended.expect(0).stdout.lines().last().unwrap().starts_with("report   "));
}
