//! `plan` leaves no trace, and `run --plan` does what was planned and nothing else.

use sandbox::{Effect, Fault, Registry, content};
use serde_json::Value;

use crate::support::{Ended, RUN, Workshop, totals};

/// A source with two tags of an application and one of a tool, a destination, and a folder.
struct Scene {
    source: Registry,
    mirror: Registry,
    workshop: Workshop,
}

impl Scene {
    async fn new() -> Self {
        let source = Registry::builder().start().await.unwrap();
        for (seed, (repository, tag)) in (1..).zip([("team/app", "1.0"), ("team/app", "1.1"), ("team/tool", "1.0")]) {
            source.store().put_image(repository, Some(tag), &content::image(seed).build());
        }
        Self { source, mirror: Registry::builder().start().await.unwrap(), workshop: Workshop::new() }
    }

    /// Writes `job.yaml`; `SOURCE` and `MIRROR` in it are the registries.
    fn job(&self, text: &str) {
        let text = text.replace("SOURCE", self.source.host().as_str()).replace("MIRROR", self.mirror.host().as_str());
        self.workshop.job(&text);
    }

    async fn plan(&self, code: i32) {
        let args = ["plan", "job.yaml", "--out", "tonight.json", "--repeat-after=20ms", "--retry-after=20ms,20ms"];
        self.workshop.program(&args).await.expect(code);
    }

    async fn run_planned(&self) -> Ended {
        self.workshop.program(&[&["run", "--plan", "tonight.json"], &RUN[2..]].concat()).await
    }
}

fn warnings(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_makes_neither_a_data_folder_nor_a_layout() {
    let scene = Scene::new().await;
    scene.job("version: 1\nto: [oci:new, oci:empty]\nimages:\n  SOURCE/team/app: \"*\"\n");
    let empty = scene.workshop.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    scene.plan(0).await;
    let planned = std::fs::read_to_string(scene.workshop.path().join("tonight.json")).unwrap();
    assert_eq!(planned.matches("\"create\"").count(), 4, "{planned}");
    assert!(!scene.workshop.path().join("data").exists());
    assert!(!scene.workshop.path().join("new").exists());
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);

    scene.run_planned().await.expect(0);
    scene.plan(0).await;
    assert!(scene.run_planned().await.expect(0).stderr.contains("the plan has nothing to do"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_was_down_when_the_plan_was_made_gets_nothing_from_it() {
    let scene = Scene::new().await;
    scene.job("version: 1\nto: ['MIRROR/one/{path}', 'MIRROR/two/{path}']\nimages:\n  SOURCE/team/app: \"*\"\n");
    scene.mirror.fault(Fault::on("", "/v2/two/", Effect::status(403)));
    scene.plan(1).await;
    scene.mirror.clear_faults();
    let told = scene.run_planned().await.expect(1).stderr;
    assert!(told.contains("left out, since the plan could not do it: 2\n"), "{told}");
    assert_eq!(scene.mirror.store().repositories(), ["one/team/app"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_job_of_a_plan_does_its_own_part_and_misses_nothing_of_the_others() {
    let scene = Scene::new().await;
    scene.job(
        "version: 1\ngroups:\n  \
           apps: { from: SOURCE/team, to: 'MIRROR/apps/{path}', images: { app: \"1.0\" } }\n  \
           news: { from: SOURCE/team, to: 'MIRROR/news/{path}', images: { app: \"1.1\" } }\n  \
           tools: { from: SOURCE/team, to: 'MIRROR/tools/{path}', images: { tool: \"*\" } }\n\
         jobs:\n  nightly: { groups: [apps] }\n  daily: { groups: [news] }\n  weekly: { groups: [tools] }\n",
    );
    scene.workshop.program(&[&RUN[..], &["--job", "weekly"]].concat()).await.expect(0);
    scene.plan(0).await;
    scene.run_planned().await.expect(0);
    let runs = scene.workshop.program(&["runs"]).await.expect(0).stdout;
    assert_eq!(runs.lines().count(), 3, "weekly had nothing to do in the plan: {runs}");
    for run in runs.lines().take(2) {
        let id = run.split_whitespace().next().unwrap();
        let report = scene.workshop.program(&["report", "--json", id]).await.expect(0).stdout;
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!((totals(&report), warnings(&report)), ("1 pushed".to_owned(), vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn globs_that_are_meant_for_another_job_are_no_warning_of_this_one() {
    let scene = Scene::new().await;
    scene.job(
        "version: 1\nto: 'MIRROR/{path}'\ngroups:\n  \
           apps: { from: SOURCE/team, images: { app: \"*\" } }\n  \
           tools: { from: SOURCE/team, images: { tool: \"*\" } }\n\
         jobs:\n  nightly: { groups: [apps] }\n  weekly: { groups: [tools] }\n",
    );
    let only = ["--only", "*/app:1.1", "--only", "*/tool:9", "--json"];
    let told = scene.workshop.program(&[&RUN[..], &only].concat()).await.expect(0).stdout;
    let ends: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends: Vec<_> = ends.iter().filter(|line| line["event"] == "run_ended").map(warnings).collect();
    assert_eq!(ends, [vec![], vec!["the file takes no tag that matches `*/tool:9`"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_a_layout_is_taken_as_it_was_planned_too() {
    let scene = Scene::new().await;
    let copy = |image: &str| {
        let (source, to) = (format!("{}/team/{image}", scene.source.host()), "oci:here@home:example.com/app:1.0");
        scene.workshop.command(&["copy", &source, to]).output()
    };
    assert!(copy("app:1.0").await.unwrap().status.success());
    scene.job("version: 1\nto: MIRROR/{path}\nimages:\n  oci:here@home:example.com/app: \"*\"\n");
    scene.plan(0).await;
    assert!(copy("app:1.1").await.unwrap().status.success());
    scene.run_planned().await.expect(0);
    assert_eq!(scene.mirror.store().tag("app", "1.0"), scene.source.store().tag("team/app", "1.0"));
    let told = scene.workshop.program(&["why", "oci:here@home:example.com/app:1.0"]).await.expect(0).stdout;
    assert!(told.contains("pushed"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_refused_where_the_run_would_be_and_a_named_job_is_taken_by_both() {
    let scene = Scene::new().await;
    scene.job("version: 1\nto: MIRROR/{path}\nimages:\n  SOURCE/team/app: \"*\"\n");
    scene.workshop.run().await.expect(0);
    let moved = scene.workshop.path().join("elsewhere");
    std::fs::create_dir(&moved).unwrap();
    std::fs::copy(scene.workshop.path().join("job.yaml"), moved.join("job.yaml")).unwrap();
    let plan = ["plan", "elsewhere/job.yaml", "--out", "tonight.json"];
    let refused = scene.workshop.program(&plan).await.expect(2).stderr;
    assert!(refused.contains("job `job` was last run from"), "{refused}");

    scene.source.store().put_image("team/app", Some("1.2"), &content::image(9).build());
    scene.workshop.program(&[&plan[..], &["--job", "job"]].concat()).await.expect(0);
    scene.run_planned().await.expect(0);
    assert_eq!(totals(&scene.workshop.report().await), "1 pushed");
}
