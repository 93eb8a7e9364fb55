//! `copy` as a person types it.

use sandbox::{Registry, content};

use super::server::Server;
use super::skopeo;
use crate::support::Workshop;

#[tokio::test(flavor = "multi_thread")]
async fn no_tag_means_latest_and_a_digest_means_that_very_image() {
    let servers = Server::start_beside(Server::start_with_password("docker-registry")).await;
    let Some((first, second)) = servers else { return };
    if !skopeo::is_here().await {
        return;
    }
    let made = Registry::builder().start().await.unwrap();
    let old = content::image(1).docker().build();
    made.store().put_image("team/app", Some("latest"), &old);
    let workshop = Workshop::new();
    settings(&workshop, &[&first, &second]);
    let copy = async |from: &str, to: &str| {
        workshop.program(&["copy", "--settings", "settings.yaml", from, to]).await.expect(0).stdout
    };
    let (first_app, second_app) = (format!("{}/team/app", first.host), format!("{}/mirror/app", second.host));
    let told = copy(&format!("{}/team/app", made.host()), &first_app).await;
    assert!(told.starts_with(&format!("copied  {first_app}:latest  {}\n        ", old.digest())), "{told}");
    assert!(told.contains(" sent in 3 blobs, 0 B saved, "), "{told}");

    made.store().put_image("team/app", Some("latest"), &content::image(2).build());
    copy(&format!("{}/team/app", made.host()), &first_app).await;
    copy(&format!("{first_app}@{}", old.digest()), &format!("{second_app}:pinned")).await;
    assert_eq!(skopeo::raw(&second, "mirror/app:pinned").await, old.raw);
    let told = copy(&first_app, &second_app).await;
    assert_eq!(skopeo::raw(&second, "mirror/app:latest").await, content::image(2).build().raw, "{told}");

    let again = copy(&first_app, &second_app).await;
    assert!(again.contains(" 0 B sent in 0 blobs, "), "{again}");
    let by_digest = format!("{second_app}@{}", old.digest());
    copy(&format!("{first_app}@{}", old.digest()), &by_digest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_leaves_behind_is_told_and_one_that_wrote_nothing_says_so() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    registry.store().put_image("team/app", Some("1"), &image);
    let signature = content::cosign_signature(&image);
    registry.store().put_image("team/app", Some(&content::cosign_tag(&image.digest(), "sig")), &signature);
    let workshop = Workshop::new();
    let (from, to) = (format!("{}/team/app:1", registry.host()), format!("{}/mirror/app:1", registry.host()));
    let copy = async |more: &[&str]| {
        let told = workshop.program(&[&["copy", from.as_str(), to.as_str()], more].concat()).await;
        told.expect(0).stdout
    };
    assert!(copy(&[]).await.starts_with(&format!("copied  {to}  {}\n", image.digest())));
    let again = copy(&[]).await;
    assert!(again.starts_with(&format!("up to date  {to}  {}\n", image.digest())), "{again}");
    assert!(!again.contains("warning"), "{again}");
    let narrowed = copy(&["--platform", "linux/amd64", "--index", "rewrite"]).await;
    let warning = narrowed.lines().find(|line| line.starts_with("warning  "));
    assert!(warning.is_some_and(|line| line.contains("signature")), "{narrowed}");
}

/// A job file of which only the settings are used.
fn settings(workshop: &Workshop, servers: &[&Server]) {
    let settings: String = servers.iter().map(|server| server.settings()).collect();
    let text = "version: 1\nto: registry.example.com/{path}\nimages:\n  alpine: latest\nregistries:\n";
    workshop.write("settings.yaml", &format!("{text}{settings}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_refused_with_what_is_wrong_with_them() {
    let workshop = Workshop::new();
    let digest = format!("r.example/app@sha256:{}", "ab".repeat(32));
    let both = digest.replace("app@", "app:1@");
    let platform = ["alpine", "r.example/a", "--platform", "linux/amd64"];
    let rewrite = [&platform[..], &["--index", "rewrite"]].concat();
    let cases: [(&[&str], &str); 16] = [
        (&[], "image-factory copy <SOURCE> <DESTINATION>"),
        (&["alpine"], "<DESTINATION>"),
        (&["alpine", "r.example/a", "b"], "unexpected argument 'b'"),
        (&["Alpine", "r.example/a"], "upper-case letters are not allowed"),
        (&["docker://alpine", "r.example/a"], "leave out `docker://`"),
        (&["oci:", "r.example/a"], "expected `PATH` or `PATH:NAME`"),
        (&["alpine@sha256:12", "r.example/a"], "64"),
        (&["alpine", &digest], "leave it out"),
        (&[&digest, &both], "names a tag and a digest: leave the digest out"),
        (&["alpine", "r.example/a", "--settings", "none.yaml"], "none.yaml"),
        (&platform, "--index <FORM>"),
        (&["alpine", "r.example/a", "--index", "rewrite"], "--platform <PLATFORM>"),
        (&[&platform[..], &["--index", "keep"]].concat(), "expected `rewrite` or `sparse`"),
        (&["alpine", "r.example/a", "--platform", "amd64", "--index", "sparse"], "expected `os/architecture`"),
        (&["alpine", "r.example/a", "--referrers", "sboms"], "some of `signature,sbom,attestation`"),
        (&[&[digest.as_str(), &digest], &rewrite[2..]].concat(), "written anew has another; leave it out"),
    ];
    for (args, expected) in cases {
        let ended = workshop.program(&[&["copy"], args].concat()).await.expect(2);
        assert!(ended.stderr.contains(expected) && ended.stdout.is_empty(), "{args:?}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_told_with_the_way_to_mend_it() {
    let Some(server) = Server::start("docker-registry").await else { return };
    let workshop = Workshop::new();
    settings(&workshop, &[&server]);
    let host = &server.host;
    let failed = async |from: &str, more: &[&str]| {
        let to = format!("{host}/mirror/app:1");
        let ended = workshop.program(&[&["copy", from, &to], more].concat()).await.expect(1);
        ended.stdout.replace(host.as_str(), "HOST")
    };
    let with_settings = ["--settings", "settings.yaml"];
    assert_eq!(
        failed(&format!("{host}/team/app:7.7"), &with_settings).await,
        "failed  HOST/team/app:7.7 → HOST/mirror/app:1\n        \
         source_not_found: the source has no such image\n        \
         mend: correct the tag, or leave it out if the source has given it up\n"
    );
    assert_eq!(
        failed("oci:none", &with_settings).await,
        "failed  oci:none → HOST/mirror/app:1\n        \
         source_not_found: open layout `none`: No such file or directory (os error 2)\n        \
         mend: check the path\n"
    );
    assert_eq!(
        failed(&format!("{host}/team/app:7.7"), &[]).await,
        "failed  HOST/team/app:7.7 → HOST/mirror/app:1\n        \
         source_untrusted: GET https://HOST/v2/: the server's certificate is not signed by an authority that is trusted \
         here\n        \
         mend: name its CA in the file: `tls.ca_file` of this registry, or `network.ca_file` (given with `--settings FILE`)\n"
    );
}
