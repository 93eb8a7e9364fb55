//! `run`: from a file to images at their destination, and a report.

use sandbox::{Effect, Fault, Layer, Missing, Registry, Vendor, content};
use serde_json::Value;

use crate::support::{RUN, Workshop, totals};

/// A source with three repositories and a few tags each.
async fn source() -> Registry {
    let source = Registry::builder().start().await.unwrap();
    for (seed, tag) in [(1, "3.20"), (2, "3.21"), (3, "edge")] {
        source.store().put_image(
            "library/alpine",
            Some(tag),
            &content::multi_platform(seed, &["linux/amd64", "linux/arm64"]),
        );
    }
    let signed = content::image(10).oddly_formatted().build();
    let signed = signed.clone().with_referrer(content::sbom(&signed));
    source.store().put_image("team/app", Some("1.0"), &signed);
    let signature = content::cosign_signature(&signed);
    source.store().put_image("team/app", Some(&content::cosign_tag(&signed.digest(), "sig")), &signature);
    source.store().put_image("team/tool", Some("latest"), &content::image(20).docker().build());
    source
}

fn job(source: &Registry, destination: &Registry) -> String {
    let (from, to) = (source.host(), destination.host());
    format!(
        "version: 1\nto: {to}/mirror/{{path}}\nimages:\n  {from}/library/alpine: \">=3\"\n  {from}/team/app: \"*\"\n  \
         {from}/team/tool: latest\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn images_arrive_with_all_that_refers_to_them_and_a_second_run_finds_nothing_to_do() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    workshop.job(&job(&source, &destination)).run().await.expect(0);

    assert_eq!(totals(&workshop.report().await), "4 pushed");
    for ((repository, tag), digest) in source.store().tags() {
        let copied = destination.store().tag(&format!("mirror/{repository}"), &tag);
        assert_eq!(copied, (tag != "edge").then_some(digest), "{repository}:{tag}");
    }
    let app = destination.store().tag("mirror/team/app", "1.0").unwrap();
    let manifests = destination.store().manifests("mirror/team/app");
    let sbom = manifests.values().find(|manifest| {
        let document: serde_json::Value = serde_json::from_slice(&manifest.raw).unwrap();
        document["subject"]["digest"] == app.as_str()
    });
    assert!(sbom.is_some(), "the SBOM is missing");

    source.log().clear();
    destination.log().clear();
    workshop.run().await.expect(0);
    assert_eq!(totals(&workshop.report().await), "4 up_to_date");
    let of_tags = |registry: &Registry| registry.log().count("", "/manifests/");
    // One question for each tag at the source; at the destination for the one that is not listed, since the file names it.
    assert_eq!((of_tags(&source), of_tags(&destination)), (4, 1));
    assert_eq!(source.log().bytes_out("", "/manifests/"), 0, "that it is the same is said without the manifest");
    assert_eq!(source.log().count("GET", "/blobs/"), 0);
    // And a listing of each repository but that of which one image is named.
    assert_eq!((source.log().count("GET", "/tags/list"), destination.log().count("GET", "/tags/list")), (2, 2));
    let asked = destination.requests().into_iter().filter(|request| request.path != "/v2/").count();
    // Two listings, that question, and once how tags are listed.
    assert_eq!(asked, 4, "{:?}", destination.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_moved_and_what_is_new_is_copied() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    workshop.job(&job(&source, &destination)).run().await.expect(0);

    let moved = content::image(30).build();
    source.store().put_image("library/alpine", Some("3.21"), &moved);
    source.store().put_image("library/alpine", Some("3.22"), &content::image(31).build());
    workshop.run().await.expect(0);

    assert_eq!(totals(&workshop.report().await), "3 up_to_date, 2 pushed");
    assert_eq!(destination.store().tag("mirror/library/alpine", "3.21"), Some(moved.digest()));
}

/// Blobs that were sent whole, by either form of upload.
fn sent(registry: &Registry) -> usize {
    let is_sent = |request: &sandbox::Request| request.query.contains("digest=") && request.status == 201;
    registry.requests().iter().filter(|request| is_sent(request)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_put_there_is_found_and_not_sent_again() {
    for missing in [Missing::Listed, Missing::Unnamed] {
        let source = source().await;
        let destination = Registry::builder().features(|can| can.missing = missing).start().await.unwrap();
        let workshop = Workshop::new();
        workshop.job(&job(&source, &destination)).run().await.expect(0);
        let all = sent(&destination);
        std::fs::remove_dir_all(workshop.path().join("data")).unwrap();

        // One after the other: what is noted of the first image must not be taken for all that there is.
        let args = [&RUN[..], &["--slots=1"]].concat();
        workshop.program(&args).await.expect(0);
        assert_eq!(totals(&workshop.report().await), "4 pushed");
        assert_eq!(sent(&destination), all, "{missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_ledger_knew_is_asked_for_and_not_sent_again() {
    let (source, destination) =
        (Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap());
    let put_all = |seed| {
        for (tag, base, seed) in [("1.0", 1, seed), ("1.1", 2, seed + 1)] {
            let image = content::image(seed).layer(&Layer::new(base, 3_000)).layer(&Layer::new(seed, 3_000)).build();
            source.store().put_image("team/app", Some(tag), &image);
        }
    };
    put_all(10);
    let workshop = Workshop::new();
    workshop.job(&format!(
        "version: 1\nto: {}/{{path}}\nimages: {{ {}/team/app: \"*\" }}\n",
        destination.host(),
        source.host()
    ));
    workshop.run().await.expect(0);
    for lost in [false, true] {
        if lost {
            std::fs::remove_file(workshop.path().join("data/ledger.db")).unwrap();
        }
        destination.log().clear();
        put_all(if lost { 30 } else { 20 });
        workshop.program(&[&RUN[..], &["--slots=1"]].concat()).await.expect(0);
        assert_eq!(totals(&workshop.report().await), "2 pushed");
        let heads = destination.log().count("HEAD", "/blobs/");
        assert_eq!((sent(&destination), heads), (4, 0), "a layer and a configuration each, lost: {lost}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_comes_after_its_image_is_copied_by_the_next_run() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    workshop.job(&job(&source, &destination)).run().await.expect(0);

    let image = source.store().tag("library/alpine", "3.20").unwrap();
    let tag = content::cosign_tag(&image, "sig");
    let signature = content::artifact("application/vnd.dev.cosign.simplesigning.v1+json", b"signed later");
    source.store().put_image("library/alpine", Some(&tag), &signature);
    workshop.run().await.expect(0);
    assert_eq!(destination.store().tag("mirror/library/alpine", &tag), Some(signature.digest()));

    destination.log().clear();
    workshop.run().await.expect(0);
    assert_eq!(destination.log().count("PUT", "") + destination.log().count("POST", ""), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_somebody_else_moved_is_set_right_where_a_listing_shows_it() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    destination.features(|can| can.vendor = Vendor::Gcr);
    let workshop = Workshop::new();
    workshop.job(&job(&source, &destination)).run().await.expect(0);
    let ours = destination.store().tag("mirror/team/app", "1.0").unwrap();

    destination.store().put_image("mirror/team/app", Some("1.0"), &content::image(99).build());
    workshop.run().await.expect(0);

    assert_eq!(destination.store().tag("mirror/team/app", "1.0"), Some(ours));
    // A tag that moved is no tag that was up to date.
    assert_eq!(totals(&workshop.report().await), "3 up_to_date, 1 pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_finds_nothing_is_a_warning_and_a_missing_tag_a_failure() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    let (from, to) = (source.host(), destination.host());
    workshop.job(&format!(
        "version: 1\nto: {to}/mirror/{{path}}\nimages:\n  {from}/library/alpine: [\">=9\"]\n  {from}/team/app: [\"1.0\", \"7.7\"]\n"
    ));
    let ended = workshop.run().await.expect(1);
    let report = workshop.report().await;
    assert_eq!(totals(&report), "1 pushed, 1 failed");
    assert!(report["warnings"][0].as_str().unwrap().contains(">=9"), "{}", report["warnings"]);
    assert!(ended.stdout.contains("source_not_found"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_another_job_is_left_alone_unless_it_is_taken_over() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    let text = job(&source, &destination);
    workshop.job(&text).run().await.expect(0);
    workshop.write("other.yaml", &text);

    workshop.program(&["run", "other.yaml"]).await.expect(1);
    let report = workshop.report().await;
    assert_eq!(totals(&report), "4 failed");
    assert_eq!(report["images"][0]["destinations"][0]["failure"]["code"], "target_owned");

    workshop.program(&["run", "other.yaml", "--take-over"]).await.expect(0);
    assert_eq!(totals(&workshop.report().await), "4 up_to_date");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_runs_are_listed_and_their_reports_found_by_a_part_of_their_name() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    workshop.program(&["runs"]).await.expect(2);
    workshop.program(&["report"]).await.expect(2);
    workshop.job(&job(&source, &destination)).run().await.expect(0);
    workshop.run().await.expect(0);

    let runs = workshop.program(&["runs"]).await.expect(0).stdout;
    let lines: Vec<&str> = runs.lines().collect();
    assert_eq!(lines.len(), 2, "{runs}");
    assert!(lines[0].ends_with("4 up to date") && lines[1].ends_with("4 pushed"), "{runs}");
    let first = lines[1].split_whitespace().next().unwrap();
    let report = workshop.program(&["report", first]).await.expect(0).stdout;
    assert!(report.contains("4 pushed"), "{report}");
    workshop.program(&["report", "ffffffff"]).await.expect(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_faults_is_refused_with_all_of_them_and_nothing_is_run() {
    let workshop = Workshop::new();
    workshop.job("version: 1\nto: registry.example.com/{pth}\nimagez:\n  alpine: [3.20]\n");
    let ended = workshop.run().await.expect(2);
    assert!(ended.stderr.contains("job.yaml:2:") && ended.stderr.contains("job.yaml:3:"), "{}", ended.stderr);
    assert!(!workshop.path().join("data/store.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_as_its_schema_says() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    let mut text = job(&source, &destination);
    text += &format!("  {}/no/such: \"*\"\n  {}/library/busybox: \"1\"\n", source.host(), source.host());
    workshop.job(&text).run().await.expect(1);
    let schema = include_str!("../../../coordinator/report.schema.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let report = workshop.report().await;
    let faults: Vec<String> = schema.iter_errors(&report).map(|fault| fault.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_logs_every_line_on_standard_error_is_an_event() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    workshop.job(&job(&source, &destination));
    let events = async |job: &str, code: i32| {
        let output =
            workshop.command(&["run", job, "--log-json"]).env("IMAGE_FACTORY_LOG", "info").output().await.unwrap();
        assert_eq!(output.status.code(), Some(code));
        let lines = String::from_utf8(output.stderr).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let run = events("job.yaml", 0).await;
    assert!(run.iter().any(|event| event["fields"]["message"].as_str().unwrap().starts_with("pushed  ")), "{run:?}");
    let refused = events("none.yaml", 2).await;
    assert!(refused.iter().any(|event| event["level"] == "ERROR"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_of_one_name_are_one_job_only_if_a_person_says_so() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    let text = job(&source, &destination);
    for folder in ["x", "y"] {
        std::fs::create_dir(workshop.path().join(folder)).unwrap();
        workshop.write(&format!("{folder}/job.yaml"), &text);
    }
    workshop.program(&["run", "x/job.yaml"]).await.expect(0);
    workshop.program(&["run", "y/../x/job.yaml"]).await.expect(0);

    let asked = source.requests().len();
    let refused = workshop.program(&["run", "y/job.yaml"]).await.expect(2);
    assert!(refused.stderr.contains("x/job.yaml") && refused.stderr.contains("`--job job`"), "{}", refused.stderr);
    assert_eq!(source.requests().len(), asked);

    workshop.program(&["run", "y/job.yaml", "--job", "other"]).await.expect(1);
    assert_eq!(workshop.report().await["run"]["job"], "other");
    workshop.program(&["run", "y/job.yaml", "--job", "job"]).await.expect(0);
    workshop.program(&["run", "y/job.yaml"]).await.expect(0);
    workshop.program(&["run", "x/job.yaml"]).await.expect(2);
    workshop.program(&["run", "x/job.yaml", "--take-over"]).await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_names_who_ran_which_commit_and_whether_the_file_was_changed_since() {
    let (source, destination) = (source().await, Registry::builder().start().await.unwrap());
    let workshop = Workshop::new();
    let text = job(&source, &destination);
    workshop.job(&text);
    let shell = |script: &str| {
        let output =
            std::process::Command::new("sh").args(["-c", script]).current_dir(workshop.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let commit_of_run = async || {
        workshop.run().await.expect(0);
        workshop.report().await["run"].clone()
    };
    let outside = commit_of_run().await;
    assert_eq!((&outside["commit"], outside["started_by"].as_str()), (&Value::Null, Some(shell("id -un").as_str())));

    let commit = "git -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m 1; git rev-parse HEAD";
    let first = shell(&format!("git init -q; {commit}"));
    assert_eq!(commit_of_run().await["commit"], format!("{first}-dirty"), "untracked");
    let second = shell(&format!("git add job.yaml; {commit}"));
    assert_eq!(commit_of_run().await["commit"], second, "what else lies there does not matter");
    workshop.job(&(text.clone() + "# changed\n"));
    assert_eq!(commit_of_run().await["commit"], format!("{second}-dirty"), "changed");

    workshop.job(&(text + "include: [{ files: sets.yaml, may_define: tag_sets }]\n"));
    std::fs::write(workshop.path().join("sets.yaml"), "version: 1\n").unwrap();
    let third = shell(&format!("git add job.yaml sets.yaml; {commit}"));
    assert_eq!(commit_of_run().await["commit"], third);
    std::fs::write(workshop.path().join("sets.yaml"), "version: 1\n# changed\n").unwrap();
    assert_eq!(commit_of_run().await["commit"], format!("{third}-dirty"), "an included file was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_images_that_fail_alike_the_first_few_are_named_and_the_rest_is_counted() {
    let (source, destination) =
        (Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap());
    for tag in 0..12 {
        source.store().put_image("team/app", Some(&format!("1.{tag}")), &content::image(tag).build());
    }
    source.fault(Fault::on("", "/manifests/", Effect::status(403)));
    let (from, to) = (source.host(), destination.host());
    let workshop = Workshop::new();
    workshop.job(&format!("version: 1\nto: {to}/{{path}}\nimages: {{ {from}/team/app: \"*\" }}\n"));
    let ended = workshop.run().await.expect(1);
    let failed = ended.stderr.lines().filter(|line| line.starts_with("failed  ")).count();
    assert_eq!(failed, 5, "{}", ended.stderr);
    assert!(ended.stdout.contains("12 × source_forbidden"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_glob_that_only_another_job_has_something_for_is_refused_with_its_name() {
    let workshop = Workshop::new();
    workshop.job(
        "version: 1\nto: oci:out\ngroups:\n  a: { images: { a.invalid/team/app: '1' } }\n  b: { images: { b.invalid/team/httpd: '1' } }\n\
         jobs:\n  first: { groups: a }\n  second: { groups: b }\n",
    );
    let run = ["run", "job.yaml", "--only", "*/httpd*", "--job", "first"];
    let refused = workshop.program(&run).await.expect(2).stderr;
    assert!(
        refused.contains("`--only */httpd*` matches no repository of job `first`; job `second` has it"),
        "{refused}"
    );
}
