//! `plan`: what a run would do, told before it is done.

use std::collections::BTreeMap;

use proto::Digest;
use sandbox::{Effect, Fault, Registry, Vendor, content};
use serde_json::Value;

use crate::support::{RUN, Workshop, totals};

/// Two registries and a file between them.
struct Scene {
    source: Registry,
    destination: Registry,
    workshop: Workshop,
}

impl Scene {
    /// Three tags of an application, two of which belong to versions.
    async fn new() -> Self {
        let source = Registry::builder().start().await.unwrap();
        let destination = Registry::builder().features(|can| can.vendor = Vendor::Gcr).start().await.unwrap();
        for (seed, tag) in [(1, "1.0"), (2, "1.1"), (3, "edge")] {
            let image = content::multi_platform(seed, &["linux/amd64", "linux/arm64"]);
            source.store().put_image("team/app", Some(tag), &image);
        }
        let scene = Self { source, destination, workshop: Workshop::new() };
        scene.workshop.job(&scene.job("\">=1\""));
        scene
    }

    fn job(&self, tags: &str) -> String {
        let (from, to) = (self.source.host(), self.destination.host());
        format!("version: 1\nto: {to}/mirror/{{path}}\nimages:\n  {from}/team/app: {tags}\n")
    }

    /// What the program prints, without what differs from run to run.
    async fn prints(&self, args: &[&str], code: i32) -> String {
        let told = self.workshop.program(args).await.expect(code).stdout;
        let told =
            told.replace(self.source.host().as_str(), "SOURCE").replace(self.destination.host().as_str(), "MIRROR");
        let told = told.replace(&self.workshop.path().canonicalize().unwrap().display().to_string(), "");
        // The file names ports, so its digest is another each time.
        let file = std::fs::read(self.workshop.path().join("job.yaml")).unwrap();
        let told = told.replace(&Digest::of(&file).to_string()["sha256:".len()..][..12], "FILE");
        // Registries are named in the order of their ports.
        let mut lines: Vec<&str> = told.lines().collect();
        for costs in lines.chunk_by_mut(|a, b| a.contains("cost") && b.contains("cost")) {
            costs.sort_unstable();
        }
        lines.join("\n") + "\n"
    }

    async fn plan(&self, code: i32) -> Value {
        let told = self.workshop.program(&["plan", "job.yaml", "--format", "json"]).await.expect(code);
        serde_json::from_str(&told.stdout).unwrap()
    }

    fn written(&self) -> usize {
        ["PUT", "POST", "PATCH", "DELETE"].iter().map(|method| self.destination.log().count(method, "/v2/")).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_what_would_be_created_and_moved_and_writes_nothing() {
    let scene = Scene::new().await;
    let first = scene.prints(&["plan", "job.yaml"], 0).await;
    assert_eq!(scene.written(), 0);

    scene.workshop.run().await.expect(0);
    scene.source.store().put_image("team/app", Some("1.1"), &content::image(10).build());
    scene.source.store().put_image("team/app", Some("1.2"), &content::image(11).build());
    let placed = scene.destination.store().tags();
    let second = scene.prints(&["plan", "job.yaml"], 0).await;
    let markdown = scene.prints(&["plan", "job.yaml", "--format", "markdown"], 0).await;
    assert_eq!(scene.destination.store().tags(), placed);
    insta::assert_snapshot!(format!("{first}\n{second}\n{markdown}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_would_fail_and_why() {
    let scene = Scene::new().await;
    let (from, gone) = (scene.source.host(), "  missing.invalid/team/tool: \"*\"\n");
    let text = format!("{}{gone}  {from}/team/none: \"1\"\n", scene.job("\"*\""));
    scene.workshop.job(&text);
    let told = scene.prints(&["plan", "job.yaml", "--repeat-after=20ms", "--retry-after=20ms,20ms"], 1).await;
    assert!(told.contains("\n  create: 3 destinations · fail: 1 destination · fail: 1 repository\n"), "{told}");
    assert!(told.contains("missing.invalid/team/tool: source_unavailable"), "{told}");
    assert!(told.contains("SOURCE/team/none:1: source_not_found"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_file_is_told_by_its_consequences() {
    let scene = Scene::new().await;
    std::fs::create_dir(scene.workshop.path().join("main")).unwrap();
    let group = |owner: &str, to: &str, tags: &str| {
        let (from, mirror) = (scene.source.host(), scene.destination.host());
        format!(
            "version: 1\ngroups:\n  apps:\n    owner: {owner}\n    from: {from}/team\n    to: {mirror}/{to}/{{path}}\n    \
             images: {{ app: {tags} }}\n"
        )
    };
    scene.workshop.write("main/job.yaml", &group("platform", "mirror", "[\"1.0\", edge]"));
    scene.workshop.job(&group("payments", "mirror", "[\"1.0\", \"1.1\"]"));
    let args = ["plan", "job.yaml", "--against", "main"];
    let text = scene.prints(&args, 0).await;
    let markdown = scene.prints(&[&args[..], &["--format", "markdown"]].concat(), 0).await;
    scene.workshop.job(&group("platform", "elsewhere", "[\"1.0\", edge]"));
    let moved = scene.prints(&args, 0).await;
    let json = scene.workshop.program(&[&args[..], &["--format", "json"]].concat()).await.expect(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["jobs"][0]["job"], "job");
    scene.workshop.job(&group("platform", "mirror", "[edge, \"1.0\"]"));
    let same = scene.prints(&args, 0).await;
    insta::assert_snapshot!(format!("{text}\n{markdown}\n{moved}\n{same}"));
    let none = scene.workshop.program(&["plan", "job.yaml", "--against", "none"]).await.expect(2).stderr;
    assert!(none.contains("looked for `none/job.yaml`\n"), "{none}");
    assert_eq!(scene.written(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_plan_is_run_as_it_is_whatever_the_source_shows_by_then() {
    let scene = Scene::new().await;
    let planned = scene.source.store().tag("team/app", "1.1");
    scene.workshop.program(&["plan", "job.yaml", "--out", "tonight.json"]).await.expect(0);
    scene.source.store().put_image("team/app", Some("1.1"), &content::image(20).build());
    scene.source.store().put_image("team/app", Some("1.2"), &content::image(21).build());
    let run = [&["run", "--plan", "tonight.json"], &RUN[2..]].concat();
    scene.workshop.program(&run).await.expect(0);
    assert_eq!(totals(&scene.workshop.report().await), "2 pushed");
    assert_eq!(scene.destination.store().tag("mirror/team/app", "1.1"), planned);
    assert_eq!(scene.destination.store().tag("mirror/team/app", "1.2"), None, "it was not in the plan");

    scene.workshop.job(&scene.job("\"*\""));
    let refused = scene.workshop.program(&run).await.expect(2);
    assert!(refused.stderr.contains("is not the file that was planned any more"), "{}", refused.stderr);
    scene.workshop.write("tonight.json", "{}");
    scene.workshop.program(&run).await.expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_plan_names_what_the_plan_left_out_and_fails_for_it() {
    let scene = Scene::new().await;
    let from = scene.source.host();
    scene.source.store().put_image("team/few", Some("1"), &content::image(30).build());
    let few = format!("  {from}/team/few: {{ tags: \"*\", expect: {{ min: 5 }} }}\n");
    scene.workshop.job(&format!("{}  {from}/team/none: \"1\"\n{few}", scene.job("\"*\"")));
    let told = scene.workshop.program(&["plan", "job.yaml", "--out", "tonight.json"]).await.expect(1).stdout;
    assert!(told.contains("team/few"), "{told}");
    let run = [&["run", "--plan", "tonight.json"], &RUN[2..]].concat();
    for _ in 0..2 {
        let told = scene.workshop.program(&run).await.expect(1);
        assert!(told.stderr.contains("left out, since the plan could not do it: 2\n"), "{}", told.stderr);
        assert!(told.stderr.contains(&format!("  fail  {from}/team/none:1 → ")), "{}", told.stderr);
        assert!(told.stderr.contains(&format!("  fail  {from}/team/few: ")), "{}", told.stderr);
        scene.workshop.program(&["plan", "job.yaml", "--out", "tonight.json"]).await.expect(1);
    }
}

/// Each destination of a plan, and of the report of the run after it: how it should end, and how it did.
async fn foretold_and_done(scene: &Scene) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let planned = scene.workshop.program(&["plan", "job.yaml", "--format", "json"]).await;
    let plan: Value = serde_json::from_str(&planned.stdout).unwrap();
    scene.workshop.run().await;
    let report = scene.workshop.report().await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut foretold = BTreeMap::new();
    for image in list(&plan["jobs"][0]["images"]) {
        for to in list(&image["destinations"]) {
            let outcome = match to["action"].as_str().unwrap() {
                "keep" => "up_to_date",
                "fail" => "failed",
                _ => "pushed",
            };
            foretold.insert(format!("{} → {}", text(&image["source"]), text(&to["destination"])), outcome.to_owned());
        }
    }
    for failed in list(&plan["jobs"][0]["failed"]) {
        foretold.insert(text(&failed["repository"]), "unlisted".to_owned());
    }
    let mut done = BTreeMap::new();
    for image in list(&report["images"]) {
        for to in list(&image["destinations"]) {
            done.insert(format!("{} → {}", text(&image["source"]), text(&to["destination"])), text(&to["outcome"]));
        }
    }
    for unlisted in list(&report["unlisted"]) {
        done.insert(text(&unlisted["repository"]), "unlisted".to_owned());
    }
    (foretold, done)
}

/// What `seed` makes of a source: repositories with tags of several shapes, and tags that move from night to night.
fn fill(scene: &Scene, random: &mut fastrand::Rng) {
    const TAGS: [&str; 10] = ["1.0", "1.1", "1.1.1", "1.2-rc1", "2.0", "2.0-slim", "2.1", "edge", "latest", "20250101"];
    for repository in ["a/app", "a/tool", "b/base"] {
        for tag in TAGS {
            if random.u8(0..3) == 0 {
                let image = match random.u8(0..3) {
                    0 => content::image(random.u64(0..6)).build(),
                    1 => content::multi_platform(random.u64(10..14), &["linux/amd64", "linux/arm64"]),
                    _ => content::image(random.u64(20..24)).docker().build(),
                };
                scene.source.store().put_image(repository, Some(tag), &image);
            }
        }
    }
}

fn random_job(scene: &Scene, random: &mut fastrand::Rng) -> String {
    const RULES: [&str; 7] = [
        "\">=1\"",
        "[\"*\", \"!*-slim\"]",
        "[latest, edge]",
        "\"2.*\"",
        "[{ versions: \">=1\", variants: [\"\", slim], newest: { minors: 1 } }]",
        "[{ versions: \">=0\", aliases: true }, latest]",
        "[\"1.1\", \"9.9\"]",
    ];
    let (from, to) = (scene.source.host(), scene.destination.host());
    let mut text = format!("version: 1\nto: ['{to}/one/{{path}}', '{to}/two/{{path}}']\nimages:\n");
    for repository in ["a/app", "a/tool", "b/base", "b/none"] {
        text += &format!("  {from}/{repository}: {}\n", RULES[random.usize(0..RULES.len())]);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_and_the_run_after_it_agree_in_every_image() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let source = Registry::builder().start().await.unwrap();
        let destination = Registry::builder().start().await.unwrap();
        let scene = Scene { source, destination, workshop: Workshop::new() };
        fill(&scene, &mut random);
        scene.workshop.job(&random_job(&scene, &mut random));
        // What somebody else put there: once what we would have put there too, and once something else.
        for (repository, image) in [("one/a/app", content::image(1).build()), ("two/a/app", content::image(99).build())]
        {
            scene.destination.store().put_image(repository, Some("1.0"), &image);
        }
        for night in 0..3 {
            let (foretold, done) = foretold_and_done(&scene).await;
            assert!(!done.is_empty(), "seed {seed}, night {night}");
            assert_eq!(foretold, done, "seed {seed}, night {night}");
            fill(&scene, &mut random);
            let tags = scene.destination.store().tags();
            if let Some(((repository, tag), _)) = tags.iter().nth(random.usize(0..tags.len().max(1))) {
                scene.destination.store().put_tag(repository, tag, &stranger(&scene, repository));
            }
        }
    }
}

/// Puts an image that is not ours into a repository.
fn stranger(scene: &Scene, repository: &str) -> Digest {
    let image = content::image(77).build();
    scene.destination.store().put_image(repository, None, &image);
    image.digest()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_warns_where_somebody_else_moved_a_tag_as_the_run_does() {
    let scene = Scene::new().await;
    scene.workshop.run().await.expect(0);
    let other = stranger(&scene, "mirror/team/app");
    scene.destination.store().put_tag("mirror/team/app", "1.0", &other);
    scene.source.store().put_image("team/app", Some("1.1"), &content::image(10).build());
    let plan = scene.plan(0).await;
    let to = format!("{}/mirror/team/app:1.0", scene.destination.host());
    let expected = format!("{to} shows {other}, which is not what was placed there; it would be replaced");
    assert_eq!(plan["jobs"][0]["warnings"], serde_json::json!([expected]), "1.1 moved at its source alone");
    let told = scene.workshop.run().await.expect(0).stdout;
    assert!(told.contains(&format!("warning  {to} showed {other}, which is not what was placed there")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_reads_no_blob_and_stops_when_asked() {
    let scene = Scene::new().await;
    scene.plan(0).await;
    assert_eq!(scene.source.log().count("GET", "/blobs/"), 0);
    scene.source.fault(Fault::on("HEAD", "/manifests/", Effect::status(403)));
    let plan = scene.plan(1).await;
    let actions: Vec<_> =
        plan["jobs"][0]["images"].as_array().unwrap().iter().map(|i| &i["destinations"][0]["action"]).collect();
    assert_eq!(actions, ["fail", "fail"]);
}
