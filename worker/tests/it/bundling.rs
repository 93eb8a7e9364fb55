//! Each task is done by the settings of its run.

use backends::Evidence;
use proto::outcome::End;
use proto::settings::{Access, Auth, RegistrySettings, Secret};
use proto::{Bundle, Class, Code, Digest, Task};
use sandbox::{Account, Registry, content};
use worker::Workshop;

use crate::bench::{Bench, PATIENCE, digest, end, failure, options, tools};

#[tokio::test(flavor = "multi_thread")]
async fn each_task_is_done_by_the_settings_of_its_run() {
    let (mut bench, folder) = (Bench::new().await, tempfile::tempdir().unwrap());
    bench.source =
        Registry::builder().auth(sandbox::Auth::Basic(vec![Account::new("robot", "secret")])).start().await.unwrap();
    let evidence = Evidence::in_folder(folder.path()).unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    let robot = RegistrySettings {
        pattern: bench.source.host(),
        auth: Auth::Basic { username: "robot".to_owned(), password: Secret::File(password) },
        ..RegistrySettings::default()
    };
    let of = async |registries| {
        let access = Access { registries, ..Access::default() };
        evidence.keep(Bundle { access }.to_json().unwrap()).await.unwrap()
    };
    let (robot, nobody) = (of(vec![robot]).await, of(vec![]).await);
    let made = evidence.clone();
    let workshop = async move { Workshop::by_bundle(tools().await, made, options()) };
    let _working = bench.work_with(workshop, 1, PATIENCE);

    bench.put("1.0", &content::image(1).build());
    let task = |bundle: &Digest| Task { bundle: Some(bundle.clone()), ..bench.task("1.0") };
    for (bundle, is_let_in) in [(&nobody, false), (&robot, true), (&nobody, false)] {
        bench.publish(&task(bundle)).await;
        let result = bench.result().await;
        match is_let_in {
            true => assert_eq!(Some(digest(&result)), bench.placed("1.0").as_ref()),
            false => assert_eq!(failure(&result).code, Code::SourceUnauthorized),
        }
    }

    // What cannot be had now is asked for again, and nothing is done by other settings meanwhile.
    let lost = Digest::of(b"lost");
    bench.publish(&task(&lost)).await;
    let result = bench.result().await;
    let End::Deferred { failure, .. } = end(&result) else { panic!("it was not given back: {result:?}") };
    assert_eq!((failure.code, failure.class), (Code::EvidenceUnavailable, Class::Defer));
    assert!(failure.message.contains(lost.as_str()), "{failure}");
}
