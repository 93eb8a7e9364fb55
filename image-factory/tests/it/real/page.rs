//! The page of a report in Chromium: what a browser makes of 5,000 images, on screens of any width.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use backends::Store;
use backends::store::{NewDestination, NewRun, NewTask, Origin};
use coordinator::report::PAGE;
use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::outcome::{DestinationResult, End, Spent, StageTime};
use proto::task::{Fingerprint, TaskKind};
use proto::{Digest, Failure, Location, RunId, Stage, Task, TaskId, TaskResult};
use sandbox::{Effect, Fault, Layer, Registry, content};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::skip;
use crate::support::Workshop;

/// Images of the report; all that a page shows.
const IMAGES: usize = 5_000;

/// A browser has this long for a page; it needs seconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// A page around the report that measures it, and asks for something itself, so that a request is known to be seen.
const AROUND: &str = r#"<!doctype html>
<body>
<img src="http://control.test/">
<script>
  const began = performance.now();
  const measure = frame => {
    const page = frame.contentDocument, rows = [...page.querySelectorAll("tbody tr")];
    // Rows off the screen are not laid out until they are asked, and cut off what does not fit: so a part is asked.
    const some = rows.filter((_, number) => number % 50 == 0);
    const right = element => element.getBoundingClientRect().right;
    const found = [1280, 701, 700, 390, 320].map(width => {
      frame.width = width;
      const needs = page.documentElement.scrollWidth;
      const ms = Math.round(performance.now() - began);
      const cut = some.filter(row => [...row.querySelectorAll("*")].some(part => right(part) > right(row) + 1));
      return { width, needs, ms, cut: cut.length };
    });
    document.body.replaceChildren(JSON.stringify({ images: rows.length, asked: some.length, found }));
  };
</script>
<iframe src="report.html" width="1280" height="844" onload="measure(this)"></iframe>
</body>"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_five_thousand_images_on_any_screen_and_asks_nobody_for_anything() {
    if Command::new("chromium").arg("--version").output().await.is_err() {
        return skip("no chromium on this machine");
    }
    let scene = TempDir::new().unwrap();
    let folder = report(scene.path()).await;
    fs::write(folder.join("around.html"), AROUND).unwrap();
    let log = folder.join("net.json");
    let args = ["--allow-file-access-from-files", "--dump-dom", &format!("--log-net-log={}", log.display())];
    let began = Instant::now();
    let seen = String::from_utf8(browse(&folder.join("around.html"), &args).await.stdout).unwrap();

    let measured = seen.find('{').zip(seen.rfind('}')).map(|(begin, end)| &seen[begin..=end]);
    let measured: Value = serde_json::from_str(measured.expect(&seen)).unwrap();
    assert_eq!((&measured["images"], &measured["asked"]), (&IMAGES.into(), &(IMAGES / 50).into()));
    let screens = measured["found"].as_array().unwrap();
    assert_eq!(screens.len(), 5);
    for screen in screens {
        assert!(screen["needs"].as_u64() <= screen["width"].as_u64(), "the page is wider than its screen: {screen}");
        assert_eq!(screen["cut"], 0, "rows do not fit: {screen}");
    }
    let asked = requests(&serde_json::from_slice(&fs::read(log).unwrap()).unwrap());
    assert_eq!(asked, BTreeSet::from(["http://control.test/".to_owned()]));

    let bytes = fs::metadata(folder.join(PAGE)).unwrap().len();
    let (laid_out, whole) = (&screens[0]["ms"], began.elapsed().as_millis());
    say(&format!("a page of {IMAGES} images: {bytes} bytes, laid out in {laid_out} ms, {whole} ms with five widths"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_paints_the_page_of_a_run_on_a_desktop_and_on_a_phone() {
    if Command::new("chromium").arg("--version").output().await.is_err() {
        return skip("no chromium on this machine");
    }
    let workshop = Workshop::new();
    second_night(&workshop).await;
    let page = workshop.path().join("report").join(PAGE);
    for (screen, size) in [("desktop", "1280,1250"), ("phone", "390,844")] {
        // Kept, to be looked at: the picture in the README is the first of them.
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{screen}.png"));
        fs::remove_file(&picture).ok();
        browse(&page, &[&format!("--screenshot={}", picture.display()), &format!("--window-size={size}")]).await;
        assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
        say(&format!("the page on a {screen}: {}", picture.display()));
    }
}

/// Two runs of one job: the first copies everything; then tags are new, one registry refuses some of them, and the
/// other one has lost a repository.
async fn second_night(workshop: &Workshop) {
    const NAMES: [&str; 12] = [
        "alpine",
        "busybox",
        "debian",
        "memcached",
        "postgres",
        "redis",
        "golang",
        "node",
        "perl",
        "php",
        "python",
        "ruby",
    ];
    let (source, destination) =
        (Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap());
    let fill = |tags: std::ops::Range<u64>| {
        for (number, name) in (1..).zip(NAMES) {
            for tag in tags.clone() {
                let (base, own) = (Layer::new(number, 60_000), Layer::new(number * 100 + tag, 20_000));
                let image = content::image(number * 100 + tag).layer(&base).layer(&own).build();
                source.store().put_image(&format!("library/{name}"), Some(&format!("1.{tag}")), &image);
            }
        }
    };
    fill(0..20);
    let group = |name: &str, owner: &str, names: &[&str]| {
        let images: String = names.iter().map(|name| format!("      {name}: \"*\"\n")).collect();
        format!("  {name}:\n    owner: {owner}\n    from: {}/library\n    images:\n{images}", source.host())
    };
    let (bases, services) = NAMES.split_at(3);
    let (services, languages) = services.split_at(3);
    let groups = [
        group("bases", "platform", bases),
        group("services", "data", services),
        group("languages", "tools", languages),
    ];
    let job = format!("version: 1\nto: {}/mirror/{{path}}\ngroups:\n{}", destination.host(), groups.concat());
    workshop.write("nightly.yaml", &job);
    let quick = ["--retry-after=50ms,100ms", "--repeat-after=20ms"];
    let run = ["run", "nightly.yaml", "--report-dir", "report", quick[0], quick[1]];
    workshop.program(&run).await.expect(0);

    fill(20..23);
    destination.fault(Fault::on("POST", "/v2/mirror/library/postgres/", Effect::status(403)));
    source.fault(Fault::on("", "/v2/library/redis/manifests/1.22", Effect::status(500)));
    source.fault(Fault::on("GET", "/v2/library/ruby/tags/list", Effect::status(404)));
    let ended = workshop.command(&run).env("USER", "robot").output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

/// Opens a file without a screen; no name is known to the browser, so nothing leaves this machine.
async fn browse(page: &Path, args: &[&str]) -> Output {
    let profile = TempDir::new().unwrap();
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
    command.args(["--host-resolver-rules=MAP * ~NOTFOUND", &format!("--user-data-dir={}", profile.path().display())]);
    command.args(args).arg(format!("file://{}", page.display())).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.expect("the browser does not end").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// What pages asked for, by the browser's log of its network; what it asks for itself has no origin.
fn requests(log: &Value) -> BTreeSet<String> {
    let params = log["events"].as_array().unwrap().iter().map(|event| &event["params"]);
    let of_pages = params.filter(|params| params["initiator"].as_str().is_some_and(|who| who != "not an origin"));
    of_pages.map(|params| params["url"].as_str().unwrap().to_owned()).collect()
}

/// Writes the report of a night with many failures; the folder of its files.
async fn report(folder: &Path) -> PathBuf {
    let store = Store::open(&folder.join("store.db")).await.unwrap();
    let run = RunId::new();
    let at = |seconds: i64| Timestamp::from_second(1_767_317_400 + seconds).unwrap();
    let new = NewRun {
        id: run,
        job: "nightly".to_owned(),
        file_digest: Digest::of(b"file"),
        file_path: "/jobs/nightly.yaml".to_owned(),
        git_commit: Some("9c2f31e0aa5d04c1b7ce8e14f309c7cf198ac924".to_owned()),
        started_by: "robot".to_owned(),
        take_over: false,
        only: None,
        started_at: at(0),
        key: None,
        max_concurrency: None,
        deadline: None,
        pinned: None,
    };
    store.create_run(&new).await.unwrap();
    let tasks: Vec<NewTask> = (0..IMAGES).map(task).collect();
    store.add_tasks(run, &tasks, at(1)).await.unwrap();
    let hint = Some("log in to Docker Hub: accounts may pull more");
    let message = "list tags of docker.io/library/mongo: 429 Too Many Requests";
    let unlisted = Failure::new(Some(Stage::Resolve), Code::SourceRateLimited, Class::Retry, message, hint);
    store.add_failed_line(run, "docker.io/library/mongo", &unlisted, at(3)).await.unwrap();
    let tasks = store.take_ready(IMAGES, at(4)).await.unwrap();
    store.mark_published(&tasks).await.unwrap();
    let results: Vec<TaskResult> = tasks.iter().map(result).collect();
    for results in results.chunks(200) {
        store.record(results, at(21)).await.unwrap();
    }
    // It would load something, if a browser took it for HTML.
    let warning = "docker.io sent a notice: <img src=http://leak.test/><script src=http://leak.test/></script>";
    store.add_warning(run, warning).await.unwrap();
    store.set_expanded(run, at(22)).await.unwrap();
    assert!(store.finish_run(run, at(6_130)).await.unwrap(), "all tasks are done");
    coordinator::report::write(&store, &store.run(run).await.unwrap(), folder).await.unwrap();
    folder.join(run.to_string())
}

fn task(number: usize) -> NewTask {
    const NAMES: [&str; 10] =
        ["alpine", "debian", "golang", "httpd", "memcached", "nginx", "node", "postgres", "python", "redis"];
    let (name, tag) = (NAMES[number % 10], format!("{}.{}", number / 200, number / 10 % 20));
    let place = |text: String| -> Location { text.parse().unwrap() };
    // Every tenth image is wanted by two teams; names are as long as people make them.
    let team = number % 7;
    let wanted = |text: String, team: usize| {
        let origin = Origin {
            group: Some(format!("team-{team}-base-images-of-the-retail-division")),
            owner: Some(format!("team-{team}")),
            rule: ">=1 <20 !*-perl".to_owned(),
            place: format!("teams/retail/team-{team}.yaml:{number}:14"),
            ..Origin::default()
        };
        NewDestination { origin, ..place(text).into() }
    };
    NewTask {
        id: TaskId::new(),
        source: place(format!("docker.io/library/{name}:{tag}")),
        listed: None,
        sidecars: Default::default(),
        destinations: vec![
            wanted(format!("registry.example.com/mirror/library/{name}:{tag}"), team),
            wanted(
                format!("eu.registry.example.com/mirror/library/{name}:{tag}"),
                if number % 10 == 9 { team + 1 } else { team },
            ),
        ],
    }
}

/// What became of it: a cause that hit 500 images, and one that hit a few.
fn result(task: &Task) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    let source = mirror.source.to_string();
    let digest = Digest::of(source.as_bytes());
    let fail = |stage, code, message: &str, hint| {
        End::Failed(Failure::new(Some(stage), code, Class::Reject, &format!("{message}: {source}"), hint))
    };
    let hint = Some("give the account the right to push below `mirror/library`");
    let end = |place: &str| match (source.contains("/python:"), source.ends_with(":7.7")) {
        (true, _) if place.starts_with("eu.") => {
            fail(Stage::Push, Code::DestinationForbidden, "POST an upload: 403 Forbidden", hint)
        }
        (_, true) => fail(Stage::Resolve, Code::SourceNotFound, "HEAD a manifest: 404 Not Found", None),
        _ => End::placed(digest.clone(), Fingerprint::of_copy(&digest, &proto::Content::default()), true),
    };
    let destinations = mirror.destinations.iter().map(|destination| DestinationResult {
        location: destination.location.clone(),
        end: end(&destination.location.to_string()),
    });
    let sizes = Spent { bytes_read: 31_000_000, bytes_written: 48_000_000, blobs_written: 6, ..Spent::default() };
    let stage = |stage, ms| StageTime { stage, ms };
    TaskResult {
        source_digest: Some(digest.clone()),
        spent: Spent { bytes_skipped: 92_000_000, blobs_skipped: 9, manifests_written: 8, ..sizes },
        stages: vec![stage(Stage::Resolve, 140), stage(Stage::Fetch, 310), stage(Stage::Push, 15_800)],
        ..TaskResult::new(task, destinations.collect())
    }
}

/// Tells people something; the runner passes it on.
#[expect(clippy::explicit_write, reason = "`eprintln!` is captured")]
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}
