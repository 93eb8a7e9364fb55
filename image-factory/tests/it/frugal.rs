//! How few requests a night costs between plain registries with tokens, through the whole program.

use std::collections::BTreeMap;

use sandbox::{Account, Auth, Log, PullLimit, Registry, Tokens, content};

use crate::support::{Workshop, totals};

/// As in a published comparison of tools: 51 tags in 39 repositories.
const TAGS: usize = 51;
const REPOSITORIES: usize = 39;

async fn registry() -> Registry {
    let tokens = Tokens::new([Account::new("robot", "hush-hush")]);
    Registry::builder().auth(Auth::Tokens(tokens)).features(|can| can.catalog = false).start().await.unwrap()
}

/// All requests but greetings.
fn asked(log: &Log, method: &str, path: &str) -> usize {
    log.requests().iter().filter(|request| request.is(method, path) && request.path != "/v2/").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_one_unchanged_tags_cost_a_question_each_and_no_token_is_asked_twice() {
    let (source, destination) = (registry().await, registry().await);
    for tag in 0..TAGS {
        let repository = format!("team/app-{:02}", tag % REPOSITORIES);
        source.store().put_image(&repository, Some(&format!("1.{tag}")), &content::image(tag as u64).build());
    }
    let workshop = Workshop::new();
    let images: String = (0..REPOSITORIES).map(|n| format!("  {}/team/app-{n:02}: \"1.*\"\n", source.host())).collect();
    let login = "{ username: robot, password: { file: password } }";
    workshop.write("password", "hush-hush");
    workshop.job(&format!(
        "version: 1\nregistries:\n  \"{}\": {{ auth: {login} }}\n  \"{}\": {{ auth: {login} }}\n\
         to: {}/mirror/{{path}}\nimages:\n{images}",
        source.host(),
        destination.host(),
        destination.host(),
    ));
    workshop.run().await.expect(0);
    assert_eq!(totals(&workshop.report().await), "51 pushed");
    // How the destination lists tags is found out once it has some.
    workshop.run().await.expect(0);
    for log in [source.log(), source.token_log(), destination.log(), destination.token_log()] {
        log.clear();
    }

    workshop.run().await.expect(0);
    assert_eq!(totals(&workshop.report().await), "51 up_to_date");
    assert_eq!(asked(source.log(), "", "/manifests/"), TAGS);
    assert_eq!(asked(source.log(), "GET", "/tags/list"), REPOSITORIES);
    assert_eq!(asked(destination.log(), "GET", "/tags/list"), REPOSITORIES);
    assert_eq!(asked(source.log(), "", ""), TAGS + REPOSITORIES, "and nothing else");
    assert_eq!(asked(destination.log(), "", ""), REPOSITORIES, "and nothing else");
    for log in [source.token_log(), destination.token_log()] {
        let mut by_scope: BTreeMap<String, usize> = BTreeMap::new();
        log.requests().iter().for_each(|request| *by_scope.entry(request.query.clone()).or_default() += 1);
        assert_eq!(by_scope.len(), REPOSITORIES);
        assert!(by_scope.values().all(|count| *count == 1), "{by_scope:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_needs_more_pulls_than_there_are_does_what_it_can_and_the_next_goes_on() {
    let (source, destination) =
        (Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap());
    for tag in 0..250 {
        source.store().put_image("team/app", Some(&format!("1.{tag}")), &content::image(tag).build());
    }
    let limit = PullLimit { limit: 100, remaining: 100, window: 21_600 };
    source.set_pull_limit(Some(limit));
    let workshop = Workshop::new();
    workshop.job(&format!(
        "version: 1\nto: {}/mirror/{{path}}\nimages:\n  {}/team/app: \"1.*\"\n",
        destination.host(),
        source.host(),
    ));
    let plan = workshop.program(&["plan", "job.yaml"]).await.expect(0);
    assert!(plan.stdout.contains("100 of 250 pulls"), "{}", plan.stdout);
    let doctor = workshop.program(&["doctor", "job.yaml"]).await.expect(0);
    assert!(doctor.stdout.contains("pulls        100 of 100 left in 6 h"), "{}", doctor.stdout);
    assert_eq!(source.pull_limit(), Some(limit), "to plan and to look takes none");

    let ended = workshop.run().await.expect(5);
    let report = workshop.report().await;
    assert_eq!(totals(&report), "100 pushed, 150 postponed", "{}", ended.stderr);
    assert_eq!(source.pull_limit().map(|left| left.remaining), Some(0));
    let told = |image: &&serde_json::Value| image["destinations"][0]["failure"]["message"].as_str().map(str::to_owned);
    let waits: Vec<String> = report["images"].as_array().unwrap().iter().filter_map(|image| told(&image)).collect();
    assert_eq!(waits.len(), 150);
    assert!(waits[0].contains("pulls"), "{}", waits[0]);
    // The window of six hours began with the first pull, a moment ago.
    let again_at: jiff::Timestamp = report["causes"][0]["again_at"].as_str().unwrap().parse().unwrap();
    let left = again_at.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((6 * 3600 - 300..=6 * 3600).contains(&left), "{left} s");
    assert!(ended.stdout.contains("\n         again from "), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nnext     from "), "{}", ended.stdout);

    source.set_pull_limit(Some(PullLimit { remaining: 100, ..limit }));
    workshop.run().await.expect(5);
    assert_eq!(totals(&workshop.report().await), "100 up_to_date, 100 pushed, 50 postponed");
    source.set_pull_limit(Some(PullLimit { remaining: 100, ..limit }));
    workshop.run().await.expect(0);
    assert_eq!(totals(&workshop.report().await), "200 up_to_date, 50 pushed");
}
