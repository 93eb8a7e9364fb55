//! One night that goes wrong in several ways, and what a person sees of it, line by line.

use insta::assert_snapshot;
use proto::Digest;
use sandbox::{Effect, Fault, Hold, Layer, Registry, RetryAfter, Vendor, content};
use serde_json::Value;

use crate::support::{RUN, Workshop, totals, within};

/// Where nobody listens.
const CLOSED: &str = "127.0.0.1:9";

/// A source, two destinations, and a folder.
struct Night {
    source: Registry,
    first: Registry,
    second: Registry,
    workshop: Workshop,
}

impl Night {
    async fn new() -> Self {
        let start = || async { Registry::builder().start().await.unwrap() };
        let (source, first, second) = (start().await, start().await, start().await);
        // So that a tag which somebody moved shows in the listing.
        first.features(|can| can.vendor = Vendor::Gcr);
        for (seed, image) in (1..).zip(["alpine:3.20", "alpine:3.21", "alpine:3.22", "nginx:1.28", "nginx:1.29"]) {
            let (repository, tag) = image.split_once(':').unwrap();
            source.store().put_image(&format!("library/{repository}"), Some(tag), &content::image(seed).build());
        }
        Self { source, first, second, workshop: Workshop::new() }
    }

    /// Writes `job.yaml`, whose platform team wants these images and whose payments team wants those.
    fn job(&self, platform: &str, payments: &str) {
        let (from, first, second) = (self.source.host(), self.first.host(), self.second.host());
        self.workshop.job(&format!(
            "version: 1\n\
             destinations:\n  \
               first: {{ repositories: [\"{first}/mirror/{{path}}\"] }}\n  \
               second: {{ repositories: [\"{second}/mirror/{{path}}\"] }}\n  \
               closed: {{ repositories: [\"{CLOSED}/mirror/{{path}}\"] }}\n\
             defaults: {{ to: [first, second] }}\n\
             groups:\n  \
               base: {{ owner: platform, from: {from}/library, images: {{ {platform} }} }}\n{}",
            match payments {
                "" => String::new(),
                images => format!("  apps: {{ owner: payments, from: {from}/team, images: {{ {images} }} }}\n"),
            }
        ));
    }

    /// A night after which all of alpine is in place; then the world changes.
    async fn evening_before(&self) {
        self.job("alpine: \"3.*\"", "");
        self.workshop.run().await.expect(0);
        let source = self.source.store();
        source.put_image("library/alpine", Some("3.22"), &content::image(30).build());
        self.first.store().put_image("mirror/library/alpine", Some("3.20"), &content::image(99).build());
        for (seed, image) in (10..).zip(["app:1.0", "app:1.1", "app:1.2", "app:1.3", "core:1.0", "core:1.1"]) {
            let (repository, tag) = image.split_once(':').unwrap();
            source.put_image(&format!("team/{repository}"), Some(tag), &content::image(seed).build());
        }
        let bad = Layer::new(7, 2_000);
        source.put_image("team/tool", Some("2.0"), &content::image(20).layer(&bad).build());
        let bad = format!("/blobs/{}", Digest::of(&bad.bytes));
        self.source.fault(Fault::on("GET", &bad, Effect::CorruptBody { at: 1_000 }));
        self.source.fault(Fault::on("GET", "/v2/team/secret/tags/list", Effect::status(403)));
        self.first.fault(Fault::on("POST", "/v2/mirror/team/app/", Effect::status(403)));
        self.job(
            "alpine: \"3.*\", nginx: [\"1.28\", \"1.29\", \"1.30\"]",
            "app: \"*\", core: { tags: \"*\", to: [first, closed] }, secret: \"*\", tool: \"2.*\"",
        );
    }

    /// What mended the world again.
    fn mend(&self) {
        self.source.clear_faults();
        self.first.clear_faults();
        self.source.store().put_image("library/nginx", Some("1.30"), &content::image(31).build());
        self.source.store().put_image("team/secret", Some("1"), &content::image(32).build());
    }

    /// What a command prints on standard output.
    async fn says(&self, code: i32, args: &[&str]) -> String {
        self.workshop.program(args).await.expect(code).stdout
    }

    /// Hides what is another each time: names of hosts, runs and folders, times and rates.
    fn masks(&self) -> insta::internals::SettingsBindDropGuard {
        let mut settings = insta::Settings::clone_current();
        let folder = self.workshop.path().canonicalize().unwrap().display().to_string();
        let names = [
            (self.source.host(), "source.test"),
            (self.first.host(), "first.test"),
            (self.second.host(), "second.test"),
            (CLOSED.to_owned(), "closed.test"),
            (folder, "/night"),
            (self.workshop.path().display().to_string(), "/night"),
        ];
        for (name, mask) in names {
            settings.add_filter(&name.replace('.', "\\."), mask);
        }
        for (pattern, mask) in [
            (r"\b[0-9a-f]{32}\b", "RUN"),
            (r#""file_digest":"[^"]*""#, r#""file_digest":"FILE""#),
            (r"sha256:[0-9a-f]{56}([0-9a-f]{8})", "sha256:…$1"),
            (r"(?m)^[0-9a-f]{8}  ", "RUN  "),
            (r"(run|retry|failures|report) [0-9a-f]{8}\b", "$1 RUN"),
            (r"file [0-9a-f]{8}\b", "file FILE"),
            (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?Z?)?", "TIME"),
            (r"\b\d\d:\d\d\b", "TIME"),
            (r"\b\d+ h \d+ min|\b\d+ min \d+ s", "N s"),
            (r"\b\d+(\.\d+)? s\b", "N s"),
            (r#""ms": ?\d+"#, r#""ms":0"#),
            // How much of an image was sent before it failed, and which of two was first, is for the moment to decide.
            (r"  [0-9.]+ KiB sent in .*", "  SIZES"),
            (r"failed  (\S+)/core:1\.[01]  (.*) again in", "failed  $1/core:1.0  $2 again in"),
        ] {
            settings.add_filter(pattern, mask);
        }
        settings.bind_to_scope()
    }
}

/// The lines in the order of their texts, with names of registries that are the same each time.
fn sorted(text: &str, night: &Night) -> String {
    let hosts = [(&night.source, "source.test"), (&night.first, "first.test"), (&night.second, "second.test")];
    let named = hosts.iter().fold(text.to_owned(), |text, (registry, name)| text.replace(&registry.host(), name));
    let mut lines: Vec<&str> = named.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_what_went_wrong_and_what_to_do() {
    let night = Night::new().await;
    night.evening_before().await;
    let ended = night.workshop.run().await.expect(1);
    let source = night.source.host();
    let _masks = night.masks();

    assert_snapshot!("run_lines", sorted(&ended.stderr, &night));
    assert_snapshot!("run_summary", ended.stdout);
    assert_snapshot!("runs", night.says(0, &["runs"]).await);
    assert_snapshot!("status", night.says(0, &["status"]).await);
    assert_snapshot!("failures", night.says(0, &["failures"]).await);
    assert_snapshot!("failures_images", night.says(0, &["failures", "--images"]).await);
    assert_snapshot!("report", night.says(0, &["report"]).await);
    let image = format!("{source}/team/app:1.0");
    assert_snapshot!("why_source", night.says(0, &["why", &image]).await);
    let tag = format!("{}/mirror/library/alpine:3.20", night.first.host());
    assert_snapshot!("why_destination", night.says(0, &["why", &tag]).await);
    let unlisted = format!("{source}/team/secret:1.0");
    assert_snapshot!("why_unlisted", night.says(0, &["why", &unlisted]).await);
    let unknown = format!("{source}/other/tool:1.29");
    assert_snapshot!("why_unknown", night.says(1, &["why", &unknown]).await);
    for command in [&["status", "--json"][..], &["failures", "--json"], &["why", "--json", &image]] {
        let document: Value = serde_json::from_str(&night.says(0, command).await).unwrap();
        assert_eq!(document["version"], 1, "{command:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_takes_what_was_not_done_right_and_nothing_else() {
    let night = Night::new().await;
    night.evening_before().await;
    night.workshop.run().await.expect(1);
    night.mend();
    // A destination is given up, and nobody wants one of the failed images any more.
    let file = night.workshop.path().join("job.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("tool: \"2.*\"", "tool: \"9.*\"").replace("[first, closed]", "[first]"))
        .unwrap();
    night.source.log().clear();

    let args = ["retry", "--retry-after=50ms,100ms", "--repeat-after=20ms", "--stall-timeout=1s"];
    let ended = night.workshop.program(&args).await.expect(0);
    let report = night.workshop.report().await;
    assert_eq!(totals(&report), "2 up_to_date, 6 pushed");
    assert_eq!(night.source.log().count("", "/library/alpine/"), 0, "what is done is not even looked at");
    assert!(report["run"]["only"].as_str().unwrap().starts_with("what was not done in run "), "{}", report["run"]);

    let nothing = night.workshop.program(&["retry"]).await.expect(0);
    let _masks = night.masks();
    assert_snapshot!("retry_lines", sorted(&ended.stderr, &night));
    assert_snapshot!("retry_summary", ended.stdout);
    assert_snapshot!("retry_of_nothing", nothing.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reads_one_object_a_line() {
    let night = Night::new().await;
    night.evening_before().await;
    let ended = night.workshop.program(&[&RUN[..], &["--json"]].concat()).await.expect(1);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!((events.first(), events.last()), (Some(&"run_started"), Some(&"run_ended")));
    let count = |event| events.iter().filter(|other| **other == event).count() as u64;
    let ended_with = lines.last().unwrap();
    assert_eq!(count("image"), ended_with["totals"]["images"].as_u64().unwrap());
    assert_eq!(count("repository_failed"), ended_with["totals"]["unlisted"].as_u64().unwrap());
    assert!(lines.iter().all(|line| line["version"] == 1 && line["run"] == lines[0]["run"]));
    let _masks = night.masks();
    assert_snapshot!("json", sorted(&ended.stdout, &night));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_limited_and_says_so() {
    let night = Night::new().await;
    night.job("alpine: \"3.*\", nginx: \"1.*\"", "");
    let from = night.source.host();
    let limited = |glob: &'static str| {
        let args: Vec<String> = RUN.iter().map(|arg| (*arg).to_owned()).chain([format!("--only={glob}")]).collect();
        let workshop = &night.workshop;
        async move { workshop.program(&args.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    limited("*/nginx:*.29").await.expect(0);
    let report = night.workshop.report().await;
    assert_eq!((totals(&report).as_str(), &report["run"]["only"]), ("1 pushed", &"*/nginx:*.29".into()));
    assert_eq!(report["images"][0]["source"], format!("{from}/library/nginx:1.29"));
    assert_eq!(night.source.log().count("GET", "/library/alpine/tags/list"), 0, "what cannot match is not listed");

    let ended = limited("*/nginx:7*").await.expect(2);
    assert!(ended.stdout.contains("warning  the file takes no tag that matches `*/nginx:7*`"), "{}", ended.stdout);
    assert!(ended.stderr.contains("nothing was done: no image matches --only '*/nginx:7*'"), "{}", ended.stderr);
    assert!(night.says(0, &["runs"]).await.lines().next().unwrap().ends_with("0 images"));
    let refused = limited("*/redis").await.expect(2);
    assert!(refused.stderr.contains("`--only */redis` matches no repository of the file"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_is_looked_at_from_outside_and_one_that_was_killed_is_called_cut_off() {
    let night = Night::new().await;
    night.job("alpine: \"3.*\"", "");
    let hold = Hold::on(&night.source, "GET", "/blobs/", 0);
    let mut run = night.workshop.start(&RUN);
    within(hold.reached()).await;

    let status = night.says(0, &["status"]).await;
    assert!(status.contains(" so far  file "), "{status}");
    assert!(!status.contains("next "), "nothing need be done: {status}");
    assert!(night.says(0, &["runs"]).await.contains("  running "));

    run.kill().await.unwrap();
    let status = night.says(0, &["status"]).await;
    assert!(status.contains("cut off: no process works on it"), "{status}");
    let last = status.lines().last().unwrap();
    assert!(last.starts_with("next     image-factory run /") && last.contains("closes this run"), "{status}");
    assert!(status.contains(" not finished\n") && !status.contains("handed out"), "{status}");
    let runs = night.says(0, &["runs"]).await;
    assert!(runs.contains("  cut off ") && runs.contains(" of 3 images done"), "{runs}");
    let failures = night.says(0, &["failures"]).await;
    assert!(failures.contains("nothing went wrong; ") && failures.contains(" not finished\n"), "{failures}");
    assert!(failures.contains("\nnext     image-factory run /"), "{failures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_what_a_run_waits_for() {
    let night = Night::new().await;
    night.evening_before().await;
    let slow = Effect::too_many_requests(RetryAfter::Seconds(3_600));
    night.source.fault(Fault::on("GET", "/v2/library/nginx/manifests/1.29", slow));
    let args = ["run", "job.yaml", "--retry-after=1h,1h", "--repeat-after=20ms", "--stall-timeout=1s"];
    let run = night.workshop.watch(night.workshop.start(&args));
    let settled = async {
        loop {
            let status: Value = serde_json::from_str(&night.says(0, &["status", "--json"]).await).unwrap();
            let count = |key: &str| status[key].as_u64().unwrap();
            // What was not handed out yet is to be done too, and waits for nothing.
            let waits = status["waits"].as_array().unwrap().iter().map(|wait| wait["images"].as_u64().unwrap());
            let all_wait = waits.sum::<u64>() == count("to_do") + count("deferred");
            let counts = (count("under_way"), count("to_do"), count("deferred"));
            if status["all_known"] == true && counts == (0, 3, 1) && all_wait {
                break;
            }
        }
    };
    within(settled).await;
    let status = night.says(0, &["status"]).await;
    run.signal("INT");
    let ended = run.end().await.expect(1);
    let _masks = night.masks();
    assert_snapshot!("status_waiting", status);
    assert_snapshot!("interrupted_summary", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_creates_nothing() {
    let workshop = Workshop::new();
    for (command, code) in [("runs", 2), ("report", 2), ("status", 2), ("failures", 2), ("retry", 2)] {
        workshop.program(&[command]).await.expect(code);
    }
    workshop.program(&["why", "docker.io/library/nginx:1.29"]).await.expect(2);
    assert!(!workshop.path().join("data").exists());
    std::fs::create_dir(workshop.path().join("data")).unwrap();
    assert!(workshop.program(&["runs"]).await.expect(0).stdout.starts_with("no runs yet in "));
}
