//! `doctor`: what a person is told, word for word.

use sandbox::{Account, Auth, Registry, Rights, Tokens, content};

use super::server::Server;
use crate::support::Workshop;

/// What `doctor` prints, by registry and sorted, with the words for hosts and paths that differ in each run.
fn told(stdout: &str, names: &[(&str, &str)]) -> String {
    let text = names.iter().fold(stdout.to_owned(), |text, (from, to)| text.replace(from, to));
    let mut registries: Vec<String> = Vec::new();
    for line in text.lines() {
        match registries.last_mut().filter(|_| line.starts_with(' ')) {
            Some(registry) => *registry += &format!("{line}\n"),
            None => registries.push(format!("{line}\n")),
        }
    }
    registries.sort();
    registries.concat()
}

const HEALTHY: &str = "\
DESTINATION/mirror/team/app  (destination)
  reachable    yes, https://DESTINATION/v2/
  TLS          TLS 1.3, trusted by the CA in `ca_file`
  login        Basic
  credentials  file `FOLDER/password`
  pull         yes, though there is no `1.2` yet
  push         yes
  referrers    not asked: there is no image here yet
SOURCE/team/app  (source, job.yaml:4:3)
  reachable    yes, https://SOURCE/v2/
  TLS          TLS 1.3, trusted by the CA in `ca_file`
  login        none
  credentials  none
  pull         yes, it shows DIGEST
  referrers    no referrers API: signatures and SBOMs are kept under a tag instead
";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_stands_for_its_sources_and_destinations() {
    let servers = Server::start_beside(Server::start_with_password("docker-registry")).await;
    let Some((source, destination)) = servers else { return };
    let made = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    made.store().put_image("team/app", Some("1.2"), &image);
    let workshop = Workshop::new();
    workshop.job(&format!(
        "version: 1\nto: {}/mirror/{{path}}\nimages:\n  {}/team/app: \"1.2\"\nregistries:\n{}{}",
        destination.host,
        source.host,
        source.settings(),
        destination.settings()
    ));
    let (from, to) = (format!("{}/team/app:1.2", made.host()), format!("{}/team/app:1.2", source.host));
    workshop.program(&["copy", "--settings", "job.yaml", &from, &to]).await.expect(0);

    let ended = workshop.program(&["doctor", "job.yaml"]).await.expect(0);
    let folder = destination.folder().display().to_string();
    let digest = image.digest();
    let names = [
        (source.host.as_str(), "SOURCE"),
        (destination.host.as_str(), "DESTINATION"),
        (folder.as_str(), "FOLDER"),
        (digest.as_str(), "DIGEST"),
    ];
    assert_eq!(told(&ended.stdout, &names), HEALTHY);

    std::fs::write(destination.folder().join("password"), "wrong").unwrap();
    let ended = workshop.program(&["doctor", "job.yaml"]).await.expect(1);
    let told_of_wrong = told(&ended.stdout, &names);
    assert!(told_of_wrong.contains(WRONG_PASSWORD), "{told_of_wrong}");

    std::fs::remove_file(destination.folder().join("password")).unwrap();
    let ended = workshop.program(&["doctor", "job.yaml"]).await.expect(1);
    let told_of_none = told(&ended.stdout, &names);
    assert!(told_of_none.contains(NO_SECRET), "{told_of_none}");
}

const WRONG_PASSWORD: &str = "
  credentials  file `FOLDER/password`
  pull         no: HEAD https://DESTINATION/v2/mirror/team/app/manifests/1.2: 401
               mend: check the credentials: `docker login`, or `auth` of this registry in the file
  push         no: POST https://DESTINATION/v2/mirror/team/app/blobs/uploads/: 401 UNAUTHORIZED: authentication required
               mend: check the credentials: `docker login`, or `auth` of this registry in the file
  referrers    not asked
";

const NO_SECRET: &str = "
  credentials  no: read a secret from file `FOLDER/password`: No such file or directory (os error 2)
               mend: create the file with the secret in it, or correct its path
SOURCE/team/app  (source, job.yaml:4:3)
";

const UNREACHABLE: &str = "\
HOST/team/app
  reachable    no: GET https://HOST/v2/: the server's certificate is not signed by an authority that is trusted here
               mend: name its CA in the file: `tls.ca_file` of this registry, or `network.ca_file` (given with \
`--settings FILE`)
registry.invalid/team/app
  reachable    no: GET https://registry.invalid/v2/: cannot resolve `registry.invalid`: failed to lookup address \
information: Name or service not known
               mend: check the registry's name
";

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_not_trusted_or_not_there_is_told_apart() {
    let Some(server) = Server::start("docker-registry").await else { return };
    let workshop = Workshop::new();
    let untrusted = format!("{}/team/app", server.host);
    let ended = workshop.program(&["doctor", &untrusted, "registry.invalid/team/app"]).await.expect(1);
    assert_eq!(told(&ended.stdout, &[(&server.host, "HOST")]), UNREACHABLE);
}

const READER: &str = "\
HOST/team/app
  reachable    yes, http://HOST/v2/
  TLS          none: plain HTTP
  login        Bearer from `127.0.0.1`
  credentials  entry `HOST` of `HOME/.docker/config.json`
  pull         yes, it shows DIGEST
  push         no: POST http://HOST/v2/team/app/blobs/uploads/: 401 UNAUTHORIZED: authentication required
               mend: ask for the right to it, and see that it exists: some registries say 403 for 404
  referrers    referrers API
";

#[tokio::test(flavor = "multi_thread")]
async fn the_right_to_push_is_tried_out_and_nothing_is_left_behind() {
    let tokens = Tokens::new([Account::new("reader", "pw").may("*", "pull")]);
    let registry = Registry::builder().auth(Auth::Tokens(tokens)).start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("team/app", Some("latest"), &image);
    let workshop = Workshop::new();
    std::fs::create_dir(workshop.path().join(".docker")).unwrap();
    // `reader:pw`.
    let login = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"cmVhZGVyOnB3\"}}}}}}", registry.host());
    workshop.write(".docker/config.json", &login);
    let ended = workshop.program(&["doctor", &format!("{}/team/app", registry.host())]).await.expect(0);
    let (host, digest, home) = (registry.host(), image.digest(), workshop.path().display().to_string());
    assert_eq!(told(&ended.stdout, &[(&host, "HOST"), (digest.as_str(), "DIGEST"), (&home, "HOME")]), READER);
    assert_eq!(registry.open_uploads(), 0);

    let (from, to) = (registry.host(), registry.host());
    workshop.job(&format!("version: 1\nto: {to}/mirror/{{path}}\nimages:\n  {from}/team/app: latest\n"));
    let ended = workshop.program(&["doctor", "job.yaml"]).await.expect(1);
    assert!(ended.stdout.contains("(destination)") && ended.stdout.contains("push         no"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_neither_a_file_nor_a_reference_is_refused() {
    let workshop = Workshop::new();
    for (subject, expected) in [
        ("factory.yaml", "there is no file `factory.yaml`"),
        ("localhost", "name a repository there, as in `localhost/team/app`"),
        ("registry.example.com", "name a repository there, as in `registry.example.com/team/app`"),
        ("127.0.0.1:5000", "name a repository there, as in `127.0.0.1:5000/team/app`"),
        ("Team/App", "upper-case letters are not allowed in repository names, nor is there such a file"),
    ] {
        let ended = workshop.program(&["doctor", subject]).await.expect(2);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    }
    assert!(workshop.program(&["doctor"]).await.expect(2).stderr.contains("<REF|FILE>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_files_is_looked_at_with_its_own_settings() {
    let registry = Registry::builder().auth(Auth::Basic(vec![Account::new("robot", "good")])).start().await.unwrap();
    registry.store().put_image("app", Some("1.0"), &content::image(1).build());
    let workshop = Workshop::new();
    for (file, password) in [("good.yaml", "good"), ("wrong.yaml", "wrong")] {
        workshop.write(password, password);
        let host = registry.host();
        let text = format!(
            "version: 1\nto: oci:out\nimages:\n  {host}/app: \"1.0\"\nregistries:\n  \"{host}\":\n    \
             auth: {{ username: robot, password: {{ file: {password} }} }}\n"
        );
        workshop.write(file, &text);
    }
    workshop.program(&["doctor", "good.yaml"]).await.expect(0);
    for files in [["good.yaml", "wrong.yaml"], ["wrong.yaml", "good.yaml"]] {
        let ended = workshop.program(&["doctor", files[0], files[1]]).await.expect(1);
        let pulls: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with("  pull")).collect();
        assert_eq!(pulls.len(), 2, "{}", ended.stdout);
        assert_eq!(pulls.iter().filter(|pull| pull.contains("yes")).count(), 1, "{}", ended.stdout);
    }
}

/// What `doctor` says of a file with these lines, each of a repository of `registry`.
async fn of_sources(registry: &Registry, lines: &[&str], code: i32) -> String {
    let workshop = Workshop::new();
    let host = registry.host();
    let lines: String = lines.iter().map(|line| format!("  {host}/{line}\n")).collect();
    workshop.job(&format!("version: 1\nto: oci:out\nimages:\n{lines}"));
    let ended = workshop.program(&["doctor", "job.yaml", "--repeat-after=20ms"]).await.expect(code);
    ended.stdout.replace(&host, "HOST")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_needs_no_latest_if_its_rules_name_no_tag() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("team/app", Some("1.0"), &image);
    let told = of_sources(&registry, &["team/app: '*'"], 0).await;
    assert!(told.contains(&format!("  pull         yes, it has 1 tag; `1.0` shows {}\n", image.digest())), "{told}");
    assert!(told.contains("\n  tags         listed by name only\n"), "{told}");
}

const SOURCES: &str = "\
HOST/team/none  (source, job.yaml:4:3)
  reachable    yes, http://HOST/v2/
  TLS          none: plain HTTP
  login        none
  credentials  none
  pull         no: GET http://HOST/v2/team/none/tags/list: 404 NAME_UNKNOWN: repository name not known to registry
               mend: there is no such repository: correct its name
  referrers    not asked
  source       no: HOST/team/app (job.yaml:6:3): there is no `9.9`
  sources      1 more can be read
";

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_there_is_a_failure_and_named_with_its_line() {
    let registry = Registry::builder().start().await.unwrap();
    for repository in ["team/app", "team/tool"] {
        registry.store().put_image(repository, Some("1.0"), &content::image(1).build());
    }
    let lines = ["team/none: '*'", "team/tool: '>=1'", "team/app: '9.9'"];
    assert_eq!(of_sources(&registry, &lines, 1).await, SOURCES);
    let told = of_sources(&registry, &["team/app: '9.9'"], 1).await;
    assert!(told.contains("  pull         no: there is no `9.9`\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_may_not_be_read_is_a_failure() {
    let mut tokens = Tokens::new([]);
    tokens.anonymous = Some(Rights::default().and("open/app", "pull"));
    let registry = Registry::builder().auth(Auth::Tokens(tokens)).start().await.unwrap();
    for repository in ["open/app", "closed/app"] {
        registry.store().put_image(repository, Some("1.0"), &content::image(1).build());
    }
    for lines in [["open/app: '*'", "closed/app: '*'"], ["closed/app: '*'", "open/app: '*'"]] {
        let told = of_sources(&registry, &lines, 1).await;
        assert!(told.contains("no: ") && told.contains("closed/app/tags/list: 401"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_on_disk_need_no_login_and_must_be_readable() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("team/app", Some("1.0"), &image);
    let workshop = Workshop::new();
    let from = format!("{}/team/app:1.0", registry.host());
    workshop.program(&["copy", &from, "oci:images:app:1.0"]).await.expect(0);
    let shows = format!("yes, it shows {}; a layout on disk needs no login", image.digest());
    for (subject, code, expected) in [
        ("oci:images", 0, "yes, 1 named image; a layout on disk needs no login"),
        ("oci:images:app:1.0", 0, &shows),
        ("oci:images:app:2.0", 1, "no: there is no image `app:2.0`"),
        ("oci:none", 1, "no: "),
        ("oci-archive:none.tar", 1, "no: "),
    ] {
        let told = workshop.program(&["doctor", subject]).await.expect(code).stdout;
        assert!(told.starts_with(&format!("{subject}\n  readable     {expected}")), "{told}");
    }
    for (repository, code) in [("quay.io/none/app", 1), ("docker.io/library/app", 0)] {
        workshop.job(&format!("version: 1\nto: oci:out\nimages:\n  oci:images:{repository}: '1.0'\n"));
        let told = workshop.program(&["doctor", "job.yaml"]).await.expect(code).stdout;
        assert!(told.contains("(source, job.yaml:4:3)"), "{told}");
    }
}
