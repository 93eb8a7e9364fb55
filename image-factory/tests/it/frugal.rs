//! How few requests a night costs between plain registries with tokens, through the whole program.

use std::collections::BTreeMap;

use sandbox::{Account, Auth, Log, Registry, Tokens, content};

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
