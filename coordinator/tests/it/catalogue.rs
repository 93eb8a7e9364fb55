//! The job files that are served: what is taken over of them as they come, change, break and go.

mod artifact;
mod git;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use coordinator::catalogue::{Catalogue, Changes, Origin};
use jiff::Timestamp;
use proto::Digest;
use proto::settings::Access;
use registry::{Client, Options};
use tempfile::TempDir;

/// A folder of job files, and a catalogue of it.
struct Desk {
    folder: TempDir,
    catalogue: Catalogue,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = of(folder.path().to_str().unwrap());
        Self { folder, catalogue }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    async fn look(&mut self) -> Changes {
        self.catalogue.look(at(0)).await
    }

    /// What is wrong with each file.
    fn faults(&self) -> Vec<String> {
        let faults = self.catalogue.files().filter_map(|file| file.fault.as_ref());
        faults.map(|fault| fault.text.clone()).collect()
    }
}

/// A catalogue of what lies there.
fn of(origin: &str) -> Catalogue {
    let client = Client::new(&Access::default(), Options { retries: 0, ..Options::default() }).unwrap();
    Catalogue::new(origin.parse::<Origin>().unwrap(), client)
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A job file without `jobs`, which mirrors one image.
fn one(repository: &str) -> String {
    format!("version: 1\nto: mirror.test/{{path}}\nimages: {{ {repository}: '1' }}\n")
}

/// A job file with this job, which mirrors one image.
fn job(name: &str, repository: &str) -> String {
    format!(
        "version: 1\nto: mirror.test/{{path}}\ngroups: {{ g: {{ images: {{ {repository}: '1' }} }} }}\n\
         jobs: {{ {name}: {{ groups: g }} }}\n"
    )
}

fn changes(new: &[&str], changed: &[&str], gone: &[&str]) -> Changes {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Changes { new: names(new), changed: names(changed), gone: names(gone) }
}

/// What a job mirrors.
fn sources(catalogue: &Catalogue, job: &str) -> Vec<String> {
    let sources = &catalogue.jobs()[job].job().sources;
    sources.iter().map(|source| source.location.repository().path().to_owned()).collect()
}

/// What is logged, as people read it.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// Takes all that is logged on this thread from now on, until the guard is dropped.
    fn here(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// What was logged since it was last asked for.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test]
async fn each_yaml_file_at_the_top_of_a_folder_is_a_job_file_and_others_are_what_it_includes() {
    let mut desk = Desk::new();
    assert_eq!(desk.look().await, Changes::default(), "an empty folder");
    desk.write("nightly.yaml", &one("alpine"));
    desk.write(
        "factory.yml",
        "version: 1\ninclude: [{ files: 'teams/*.yaml', may_define: [groups] }]\nto: mirror.test/{path}\n\
         groups: { own: { images: { busybox: '1' } } }\njobs: { a: { groups: own }, b: { groups: team } }\n",
    );
    desk.write("teams/a.yaml", "version: 1\ngroups: { team: { images: { nginx: '1' } } }\n");
    for other in ["README.md", ".hidden.yaml", "folder.yaml/x", "yaml"] {
        desk.write(other, "no job file");
    }
    assert_eq!(desk.look().await, changes(&["a", "b", "nightly"], &[], &[]));
    assert!(desk.faults().is_empty(), "{:?}", desk.faults());
    let job = &desk.catalogue.jobs()["b"];
    assert_eq!((job.job().name.as_deref(), job.path.as_str()), (Some("b"), desk.path("factory.yml").to_str().unwrap()));
    assert_eq!(sources(&desk.catalogue, "b"), ["library/nginx"]);
    assert_eq!(sources(&desk.catalogue, "nightly"), ["library/alpine"]);
    let again = job.file.pack.parse().unwrap();
    assert_eq!((&again.digest, again.jobs.len()), (&job.file.digest, 2));
    assert_eq!(desk.look().await, Changes::default());
}

#[tokio::test]
async fn what_changes_is_taken_over_and_who_holds_a_job_keeps_it_as_it_was() {
    let mut desk = Desk::new();
    desk.write("a.yaml", &one("alpine"));
    desk.write("b.yaml", "version: 1\nto: mirror.test/b/{path}\ngroups: { g: { lists: lists/b.txt } }\n");
    desk.write("lists/b.txt", "nginx:1\n");
    desk.look().await;
    let held = desk.catalogue.jobs()["b"].clone();
    desk.write("lists/b.txt", "busybox:1\n");
    assert_eq!(desk.look().await, changes(&[], &["b"], &[]), "a list is part of its file");
    assert_eq!(sources(&desk.catalogue, "b"), ["library/busybox"]);
    assert_eq!(held.job().sources[0].location.to_string(), "docker.io/library/nginx");
    desk.write("lists/other.txt", "alpine:1\n");
    assert_eq!(desk.look().await, Changes::default(), "nobody names it");
}

#[tokio::test]
async fn a_file_with_faults_leaves_in_force_what_was_right_before_and_says_since_when_and_is_told_once() {
    let log = Written::default();
    let _guard = log.here();
    let mut desk = Desk::new();
    desk.write("a.yaml", &one("alpine"));
    desk.look().await;
    let digest = desk.catalogue.jobs()["a"].file.digest.clone();
    assert!(log.take().contains("jobs are new: a"));

    desk.write("a.yaml", "version: 1\nimage: {}\n");
    assert_eq!(desk.catalogue.look(at(10)).await, Changes::default());
    let told = log.take();
    assert!(
        told.contains(&format!("`{digest}` stays in force: ")) && told.contains("did you mean `images`?"),
        "{told}"
    );
    desk.catalogue.look(at(20)).await;
    assert_eq!(log.take(), "", "it is the same fault");
    desk.write("a.yaml", "version: 1\n\nimage: {}\n");
    desk.catalogue.look(at(30)).await;
    assert!(log.take().contains("a.yaml:3:1 unknown-key"), "it is another one");

    let file = desk.catalogue.files().next().unwrap();
    assert_eq!(file.in_force.as_ref().unwrap().digest, digest);
    assert_eq!(file.fault.as_ref().unwrap().since, at(10));
    assert_eq!(sources(&desk.catalogue, "a"), ["library/alpine"]);

    desk.write("a.yaml", &one("nginx"));
    assert_eq!(desk.catalogue.look(at(40)).await, changes(&[], &["a"], &[]));
    assert!(log.take().contains("can be used again"));
    assert!(desk.faults().is_empty());
}

#[tokio::test]
async fn a_file_that_was_never_right_has_no_jobs_and_stops_no_other() {
    let mut desk = Desk::new();
    desk.write("a.yaml", "version: 2\n");
    desk.write("b.yaml", &one("alpine"));
    std::os::unix::fs::symlink("nowhere", desk.path("c.yaml")).unwrap();
    assert_eq!(desk.look().await, changes(&["b"], &[], &[]));
    let faults = desk.faults();
    assert!(faults[0].contains("a.yaml:1:10 version") && faults[1].starts_with("read `"), "{faults:?}");
    assert!(desk.catalogue.files().next().unwrap().in_force.is_none());
}

#[tokio::test]
async fn a_file_that_is_gone_takes_its_jobs_with_it_and_is_told_once() {
    let log = Written::default();
    let _guard = log.here();
    let mut desk = Desk::new();
    desk.write("a.yaml", &one("alpine"));
    desk.write("b.yaml", &one("nginx"));
    desk.look().await;
    log.take();
    desk.remove("a.yaml");
    assert_eq!(desk.look().await, changes(&[], &[], &["a"]));
    let told = log.take();
    assert!(told.contains("a.yaml` is gone") && told.contains("jobs are not served any more: a"), "{told}");
    assert_eq!(desk.look().await, Changes::default());
    assert_eq!(log.take(), "");
    assert_eq!(desk.catalogue.files().count(), 1);
}

#[tokio::test]
async fn of_two_files_with_a_job_of_one_name_the_second_is_refused() {
    let mut desk = Desk::new();
    desk.write("b.yaml", &job("nightly", "nginx"));
    desk.look().await;
    desk.write("nightly.yaml", &one("busybox"));
    assert_eq!(desk.look().await, Changes::default());
    assert_eq!(desk.faults(), ["`nightly.yaml` has the job `nightly`, and so has `b.yaml`; give it another name"]);
    desk.write("a.yaml", &job("nightly", "alpine"));
    assert_eq!(desk.look().await, changes(&[], &["nightly"], &[]), "it is the first, whoever came before");
    assert_eq!(sources(&desk.catalogue, "nightly"), ["library/alpine"]);
    assert_eq!(desk.faults().len(), 2);
    desk.remove("a.yaml");
    desk.look().await;
    assert_eq!(sources(&desk.catalogue, "nightly"), ["library/nginx"], "it is right again");
}

#[tokio::test]
async fn of_two_files_for_one_destination_tag_the_second_is_refused_and_what_it_was_before_stays() {
    let mut desk = Desk::new();
    desk.write("a.yaml", &one("alpine"));
    desk.write("b.yaml", &one("nginx"));
    desk.look().await;
    desk.write("b.yaml", &one("alpine"));
    assert_eq!(desk.look().await, Changes::default());
    assert_eq!(sources(&desk.catalogue, "b"), ["library/nginx"]);
    let faults = desk.faults();
    assert!(
        faults[0].contains("b.yaml:3:11 collision `mirror.test/library/alpine:1` is a destination of"),
        "{faults:?}"
    );
    assert!(faults[0].contains("a.yaml:3"), "{faults:?}");
    desk.write("a.yaml", &one("nginx"));
    assert_eq!(desk.look().await, changes(&[], &["a", "b"], &[]), "the two have changed places");
    assert!(desk.faults().is_empty());
}

#[tokio::test]
async fn a_folder_that_cannot_be_read_leaves_all_in_force_and_is_told_once() {
    let log = Written::default();
    let _guard = log.here();
    let mut desk = Desk::new();
    desk.write("jobs/a.yaml", &one("alpine"));
    desk.catalogue = of(desk.path("jobs").to_str().unwrap());
    desk.look().await;
    log.take();
    std::fs::rename(desk.path("jobs"), desk.path("away")).unwrap();
    assert_eq!(desk.catalogue.look(at(10)).await, Changes::default());
    assert!(log.take().contains("cannot be read, all stays as it was: look into `"));
    assert_eq!(desk.catalogue.look(at(20)).await, Changes::default());
    assert_eq!(log.take(), "");
    assert_eq!(desk.catalogue.trouble().unwrap().since, at(10));
    assert_eq!(sources(&desk.catalogue, "a"), ["library/alpine"]);
    std::fs::rename(desk.path("away"), desk.path("jobs")).unwrap();
    assert_eq!(desk.look().await, Changes::default());
    assert!(log.take().contains("can be read again") && desk.catalogue.trouble().is_none());
}

#[tokio::test]
async fn a_single_file_is_a_catalogue_too() {
    let mut desk = Desk::new();
    desk.write("one.yaml", &one("alpine"));
    desk.write("two.yaml", &one("nginx"));
    desk.catalogue = of(desk.path("one.yaml").to_str().unwrap());
    assert_eq!(desk.look().await, changes(&["one"], &[], &[]));
    assert_eq!(desk.catalogue.jobs()["one"].path, desk.path("one.yaml").to_str().unwrap());
    desk.remove("one.yaml");
    assert_eq!(desk.look().await, Changes::default());
    assert!(desk.catalogue.trouble().is_some(), "the whole origin is not there");
}

/// Two versions of the same files, each with a part of its own in both of them.
fn put_version(folder: &Path, version: &str) {
    let main = format!(
        "version: 1\ninclude: [{{ files: 'teams/*.yaml', may_define: [groups] }}]\nto: oci:mirror\n\
         groups: {{ own: {{ images: {{ main-{version}: '1' }} }} }}\n"
    );
    write(folder, "factory.yaml", &main);
    let team = format!("version: 1\ngroups: {{ team: {{ images: {{ team-{version}: '1' }} }} }}\n");
    write(folder, "teams/a.yaml", &team);
}

/// Lets `link` lead somewhere else in one step, as sidecars do that fetch a repository.
fn swap(link: &Path, target: &str) {
    let new = link.with_extension("new");
    std::os::unix::fs::symlink(target, &new).unwrap();
    std::fs::rename(&new, link).unwrap();
}

#[tokio::test]
async fn a_symlink_that_is_moved_on_all_the_time_is_never_read_half() {
    let desk = Desk::new();
    let link = desk.path("current");
    for version in ["x", "y"] {
        put_version(&desk.path(version), version);
    }
    swap(&link, "x");
    let mut catalogue = of(link.to_str().unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let (link, is_over) = (link.clone(), is_over.clone());
        move || {
            while !is_over.load(Ordering::SeqCst) {
                swap(&link, "y");
                swap(&link, "x");
            }
        }
    });
    let mut digests = std::collections::BTreeSet::<Digest>::new();
    for _ in 0..300 {
        catalogue.look(at(0)).await;
        // Where it never stood still for two readings, there is nothing new.
        let Some(job) = catalogue.jobs().get("factory") else { continue };
        let sources = sources(&catalogue, "factory");
        let is_whole = ["x", "y"]
            .map(|v| [format!("library/main-{v}"), format!("library/team-{v}")])
            .contains(<&[String; 2]>::try_from(&sources[..]).unwrap());
        assert!(is_whole, "{sources:?}");
        let destination = &job.job().sources[0].lines[0].destinations[0];
        let expected = format!("oci:{}:", link.join("mirror").display());
        assert!(destination.to_string().starts_with(&expected), "destinations stay when the link moves: {destination}");
        digests.insert(job.file.digest.clone());
    }
    is_over.store(true, Ordering::SeqCst);
    swapping.join().unwrap();
    assert!(!digests.is_empty());
}
