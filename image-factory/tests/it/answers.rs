//! What `why`, `failures` and `status` answer after several runs, some of them of several jobs.

use sandbox::{Effect, Fault, Registry, content};

use crate::support::Workshop;

/// A source with two repositories, a destination, and a folder.
struct Place {
    source: Registry,
    destination: Registry,
    workshop: Workshop,
}

impl Place {
    async fn new() -> Self {
        let start = || async { Registry::builder().start().await.unwrap() };
        let (source, destination) = (start().await, start().await);
        for (seed, tag) in (1..).zip(["1.0.0", "1.0.1"]) {
            let image = content::multi_platform(seed, &["linux/amd64", "linux/arm64"]);
            source.store().put_image("team/php", Some(tag), &image);
        }
        source.store().put_image("team/app", Some("1"), &content::image(7).build());
        Self { source, destination, workshop: Workshop::new() }
    }

    /// Writes a file with a group of these images for each job.
    fn jobs(&self, jobs: &[(&str, &str)]) {
        let (from, to) = (self.source.host(), self.destination.host());
        let mut text = "version: 1\ngroups:\n".to_owned();
        for (name, images) in jobs {
            text +=
                &format!("  {name}: {{ from: {from}/team, to: \"{to}/{name}/{{path}}\", images: {{ {images} }} }}\n");
        }
        text += "jobs:\n";
        for (name, _) in jobs {
            text += &format!("  {name}: {{ groups: [{name}] }}\n");
        }
        self.workshop.job(&text);
    }

    async fn says(&self, args: &[&str]) -> String {
        self.workshop.program(args).await.expect(0).stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_an_older_run_is_not_told_once_a_newer_one_took_the_repository() {
    let place = Place::new().await;
    place.jobs(&[("one", "php: { tags: \"1.0.*\", expect: { min: 5 } }")]);
    place.workshop.run().await.expect(1);
    let image = format!("{}/team/php:1.0.0", place.source.host());
    let told = place.says(&["why", &image]).await;
    assert!(told.contains("this repository was not taken in full\n    because  selection_unexpected"), "{told}");
    assert!(place.says(&["failures"]).await.contains("1 repository not taken in full\n\nleft out "));

    place.jobs(&[("one", "php: \"1.0.1\"")]);
    place.workshop.run().await.expect(0);
    let told = place.says(&["why", &image]).await;
    assert!(told.contains(" did not take it: its file's rules leave it"), "{told}");
    assert!(!told.contains("selection_unexpected"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_for_which_platforms_an_image_was_written_anew_and_asks_for_a_tag() {
    let place = Place::new().await;
    place.jobs(&[("one", "php: { tags: \"1.*\", platforms: { only: [linux/arm64], index: rewrite } }")]);
    place.workshop.run().await.expect(0);
    let repository = format!("{}/team/php", place.source.host());
    let told = place.says(&["why", &format!("{repository}:1.0.0")]).await;
    assert!(told.contains("             written anew for linux/arm64\n"), "{told}");
    let told = place.says(&["why", &repository]).await;
    assert!(told.starts_with(&format!("{repository}: 2 images on record; name one\n")), "{told}");
    assert!(told.contains(&format!("  image-factory why {repository}:1.0.1\n")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_fails_for_two_causes_is_one_image_and_other_jobs_with_failures_are_named() {
    let place = Place::new().await;
    let to = format!("[\"{}/one/{{path}}\", \"127.0.0.1:9/one/{{path}}\"]", place.destination.host());
    place.jobs(&[("one", &format!("php: {{ tags: \"1.0.0\", to: {to} }}")), ("two", "app: \"1\"")]);
    place.destination.fault(Fault::on("POST", "/v2/one/", Effect::status(403)));
    place.workshop.run().await.expect(1);
    let told = place.says(&["failures", "one"]).await;
    assert!(told.contains("  2 causes, 1 image\n"), "{told}");
    for command in ["status", "failures"] {
        let told = place.says(&[command]).await;
        let last = told.lines().last().unwrap();
        assert!(told.starts_with("two  run ") && last.starts_with("also     job one, run "), "{told}");
        assert!(last.ends_with(": 1 failed"), "{told}");
        assert!(place.says(&[command, "one"]).await.starts_with("one  run "), "a job names its newest run");
    }
}
