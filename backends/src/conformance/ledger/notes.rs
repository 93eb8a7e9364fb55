//! What is noted, kept and learned.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proto::{Digest, Host, Manifest, Repository};

use crate::{Holders, Ledger};

fn repository(name: &str) -> Repository {
    Repository::new(host("registry.example.com"), name).unwrap()
}

fn host(name: &str) -> Host {
    name.parse().unwrap()
}

fn blob(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Where a blob lies as seen from a repository.
async fn lookup(ledger: &dyn Ledger, repository: &Repository, blob: &Digest) -> (bool, Vec<Repository>) {
    let mut holders = ledger.holders(repository, std::slice::from_ref(blob)).await;
    (holders.here.contains(blob), holders.beside.remove(blob).unwrap_or_default())
}

/// One repository holds it; every other one of the registry is told so.
pub async fn what_is_noted_is_found_here_and_beside(ledger: Arc<dyn Ledger>) {
    let (app, other) = (repository("app"), repository("other"));
    ledger.note_held(&app, &[blob("a"), blob("b")]).await;
    let wanted = [blob("a"), blob("b"), blob("c")];
    let here = Holders { here: [blob("a"), blob("b")].into(), beside: HashMap::new(), knows_repository: true };
    assert_eq!(ledger.holders(&app, &wanted).await, here);
    let beside = [(blob("a"), vec![app.clone()]), (blob("b"), vec![app])].into();
    assert_eq!(ledger.holders(&other, &wanted).await, Holders { beside, ..Holders::default() });
}

/// Nobody mounts what lies where it should.
pub async fn what_is_here_is_not_told_beside(ledger: Arc<dyn Ledger>) {
    for name in ["first", "app", "last"] {
        ledger.note_held(&repository(name), &[blob("a")]).await;
    }
    assert_eq!(lookup(&*ledger, &repository("app"), &blob("a")).await, (true, Vec::new()));
}

/// A repository that turned out not to hold something is no longer named, until it does.
pub async fn what_is_missing_is_no_longer_told(ledger: Arc<dyn Ledger>) {
    let (app, other, third) = (repository("app"), repository("other"), repository("third"));
    for holder in [&app, &other] {
        ledger.note_held(holder, &[blob("a"), blob("b")]).await;
    }
    ledger.note_missing(&app, &[blob("a"), blob("never")]).await;
    assert_eq!(lookup(&*ledger, &app, &blob("a")).await, (false, vec![other.clone()]));
    assert_eq!(lookup(&*ledger, &third, &blob("a")).await, (false, vec![other.clone()]));
    assert_eq!(lookup(&*ledger, &third, &blob("b")).await, (false, vec![other.clone(), app.clone()]));
    ledger.note_missing(&other, &[blob("a")]).await;
    assert_eq!(lookup(&*ledger, &third, &blob("a")).await, (false, Vec::new()));
    ledger.note_held(&app, &[blob("a")]).await;
    assert_eq!(lookup(&*ledger, &third, &blob("a")).await, (false, vec![app.clone()]));
    assert_eq!(lookup(&*ledger, &app, &blob("a")).await, (true, Vec::new()));
}

/// Saying it again makes it newer, and nothing else.
pub async fn what_is_noted_twice_is_told_once(ledger: Arc<dyn Ledger>) {
    for name in ["app", "other", "app"] {
        ledger.note_held(&repository(name), &[blob("a"), blob("a")]).await;
    }
    let told = lookup(&*ledger, &repository("third"), &blob("a")).await;
    assert_eq!(told, (false, vec![repository("app"), repository("other")]));
}

/// Nothing is mounted from one registry into another, though names and content be the same.
pub async fn repositories_of_another_registry_are_not_beside(ledger: Arc<dyn Ledger>) {
    let elsewhere = |name| Repository::new(host("registry.example.com:5000"), name).unwrap();
    ledger.note_held(&repository("app"), &[blob("a")]).await;
    ledger.note_missing(&elsewhere("third"), &[blob("a")]).await;
    assert_eq!(lookup(&*ledger, &elsewhere("app"), &blob("a")).await, (false, Vec::new()));
    assert!(!ledger.holders(&elsewhere("app"), &[blob("a")]).await.knows_repository);
    ledger.note_missing(&elsewhere("app"), &[blob("a")]).await;
    assert_eq!(lookup(&*ledger, &repository("app"), &blob("a")).await, (true, Vec::new()));
}

/// A base layer lies everywhere: the newest are named, and each repository still knows that it holds it.
pub async fn of_many_holders_some_are_told_the_newest_first(ledger: Arc<dyn Ledger>) {
    let holders: Vec<_> = (0..30).map(|n| repository(&format!("app{n}"))).collect();
    for holder in &holders {
        ledger.note_held(holder, &[blob("base")]).await;
    }
    let (_, told) = lookup(&*ledger, &repository("other"), &blob("base")).await;
    assert!((2..30).contains(&told.len()), "one may refuse, and nobody tries all");
    assert!(told.iter().eq(holders.iter().rev().take(told.len())), "{told:?}");
    ledger.note_missing(&holders[29], &[blob("base")]).await;
    let (_, told) = lookup(&*ledger, &repository("other"), &blob("base")).await;
    assert_eq!(told[0], holders[28]);
    for holder in &holders[..29] {
        assert_eq!(lookup(&*ledger, holder, &blob("base")).await, (true, Vec::new()));
    }
}

/// Who knows nothing of a repository must not take what is not told for missing.
pub async fn a_repository_is_known_once_anything_was_noted_of_it(ledger: Arc<dyn Ledger>) {
    let knows = async |name: &str| ledger.holders(&repository(name), &[blob("a")]).await.knows_repository;
    assert!(!knows("app").await);
    ledger.note_held(&repository("app"), &[blob("b")]).await;
    ledger.note_missing(&repository("new"), &[blob("b")]).await;
    assert!(knows("app").await && knows("new").await && !knows("ap").await);
    assert!(ledger.holders(&repository("app"), &[]).await.knows_repository);
}

/// The largest image is one question.
pub async fn many_digests_are_looked_up_at_once(ledger: Arc<dyn Ledger>) {
    let blobs: Vec<_> = (0..3_000).map(|n| blob(&format!("layer {n}"))).collect();
    ledger.note_held(&repository("app"), &blobs[..1_000]).await;
    ledger.note_held(&repository("other"), &blobs[500..2_000]).await;
    let holders = ledger.holders(&repository("app"), &blobs).await;
    assert_eq!(holders.here, blobs[..1_000].iter().cloned().collect());
    assert_eq!(holders.beside.keys().collect::<HashSet<_>>(), blobs[1_000..2_000].iter().collect());
    assert!(holders.beside.values().all(|holders| *holders == [repository("other")]));
}

/// Byte for byte, with the type that only its transport told.
pub async fn a_manifest_comes_back_as_it_was_kept(ledger: Arc<dyn Ledger>) {
    let index = manifest(r#"{ "schemaVersion": 2,  "manifests": [], "annotations": {"a": "ü"} }"#);
    let image = manifest(&format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/json","digest":"{}","size":2}},"layers":[]}}"#,
        blob("config")
    ));
    assert_eq!(ledger.manifest(&index.digest).await, None);
    for kept in [&index, &image, &index] {
        ledger.keep_manifest(kept).await;
    }
    for kept in [index, image] {
        assert_eq!(ledger.manifest(&kept.digest).await.as_ref(), Some(&kept));
        assert_eq!(ledger.manifest(&kept.digest).await, Some(kept));
    }
    assert_eq!(ledger.manifest(&blob("config")).await, None);
}

/// A digest is a promise: what breaks it is not given, even if somebody said so.
pub async fn a_manifest_never_comes_back_with_other_bytes(ledger: Arc<dyn Ledger>) {
    let kept = manifest(r#"{"schemaVersion":2,"manifests":[]}"#);
    let other = manifest(r#"{"schemaVersion":2,"manifests":[],"annotations":{"not":"the same"}}"#);
    ledger.keep_manifest(&Manifest { digest: kept.digest.clone(), ..other.clone() }).await;
    assert_eq!(ledger.manifest(&kept.digest).await, None);
    ledger.keep_manifest(&kept).await;
    ledger.keep_manifest(&Manifest { digest: kept.digest.clone(), ..other }).await;
    let given = ledger.manifest(&kept.digest).await;
    assert!(given.is_none_or(|given| given == kept));
}

/// A manifest of a Docker registry, which may not name its own type.
fn manifest(raw: &str) -> Manifest {
    let is_index = raw.contains("manifests");
    let media_type =
        format!("application/vnd.docker.distribution.manifest{}.v2+json", if is_index { ".list" } else { "" });
    let manifest = Manifest::parse(raw.to_owned().into(), Some(&media_type)).unwrap();
    assert_eq!(manifest.media_type, media_type);
    manifest
}

/// Each registry has its own.
pub async fn what_was_learned_last_is_told(ledger: Arc<dyn Ledger>) {
    let [one, two] = ["one.example.com", "two.example.com"].map(host);
    assert_eq!(ledger.learned(&one).await, None);
    ledger.note_held(&Repository::new(one.clone(), "app").unwrap(), &[blob("a")]).await;
    assert_eq!(ledger.learned(&one).await, None);
    ledger.keep_learned(&one, "mounts").await;
    ledger.keep_learned(&two, "mounts not").await;
    ledger.keep_learned(&one, "mounts, and says so: ü'\"\n").await;
    assert_eq!(ledger.learned(&one).await.as_deref(), Some("mounts, and says so: ü'\"\n"));
    assert_eq!(ledger.learned(&two).await.as_deref(), Some("mounts not"));
}
