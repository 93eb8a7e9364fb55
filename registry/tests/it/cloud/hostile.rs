//! Services that answer what they must not, and registries that would like to see more than they should.

use proto::settings::Auth as FileAuth;
use registry::Kind;
use sandbox::cloud::{Aws, Azure, Gcp, Github};
use sandbox::{Effect, Fault};

use super::{client, head, registry, texts};
use crate::script::{Script, answer};
use crate::setup::file;

const ECR: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/app";

#[tokio::test]
async fn a_registry_that_repeats_what_it_was_sent_makes_no_error_show_it() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    let folder = tempfile::tempdir().unwrap();
    let token = file(&folder, "token", Aws::WEB_IDENTITY).display().to_string();
    let url = aws.url();
    let variables =
        [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_ROLE_ARN", Aws::ROLE), ("AWS_WEB_IDENTITY_TOKEN_FILE", &token)];
    registry.fault(Fault::on("HEAD", "/manifests/", Effect::status(403).echoing()));
    registry.fault(Fault::on("GET", "/manifests/", Effect::status(403).echoing()));
    let client = client(&registry, FileAuth::Aws, &variables);
    let repository = ECR.parse().unwrap();
    let error = client.manifest(&repository, &crate::setup::tag("1")).await.unwrap_err();
    let text = format!("{} {client:?}", texts(&error));
    assert!(text.contains("403 DENIED: refused to `") && text.contains("***"), "{text}");
    // The key's secret and session, and the password.
    let secrets = aws.secrets();
    assert_eq!(secrets.len(), 3);
    for secret in secrets.iter().map(String::as_str).chain([Aws::WEB_IDENTITY]) {
        assert!(!text.contains(secret), "`{secret}` is in {text}");
    }
}

#[tokio::test]
async fn a_service_that_repeats_what_it_was_sent_makes_no_error_show_it() {
    let registry = registry(Default::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let token = file(&folder, "token", "hush-web").display().to_string();
    let echo = Script::start(|_| {
        let all = "hush-web hush-container hush-secret hush-header";
        answer(403, "", &format!(r#"{{"error":"{all}","message":"{all}"}}"#))
    })
    .await;
    let url = format!("http://{}", echo.host());
    let (aws, azure) = ("AWS_ENDPOINT_URL", "AZURE_AUTHORITY_HOST");
    for (auth, repository, secret, variables) in [
        (
            FileAuth::Aws,
            ECR,
            "hush-web",
            vec![(aws, url.as_str()), ("AWS_ROLE_ARN", Aws::ROLE), ("AWS_WEB_IDENTITY_TOKEN_FILE", &token)],
        ),
        (
            FileAuth::Aws,
            ECR,
            "hush-container",
            vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "hush-container"),
            ],
        ),
        (
            FileAuth::Aws,
            ECR,
            "hush-secret",
            vec![(aws, &url), ("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "hush-secret")],
        ),
        (
            FileAuth::Azure,
            "a.azurecr.io/a",
            "hush-secret",
            vec![
                (azure, url.as_str()),
                ("AZURE_TENANT_ID", "t"),
                ("AZURE_CLIENT_ID", "c"),
                ("AZURE_CLIENT_SECRET", "hush-secret"),
            ],
        ),
        (
            FileAuth::Azure,
            "a.azurecr.io/a",
            "hush-header",
            vec![("IDENTITY_ENDPOINT", url.as_str()), ("IDENTITY_HEADER", "hush-header")],
        ),
    ] {
        let error = head(&client(&registry, auth, &variables), repository).await.unwrap_err();
        let text = texts(&error);
        assert!(text.contains("***") && !text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_redirect_takes_nothing_to_another_place() {
    let registry = registry(Default::default()).await;
    let thief = Script::start(|_| answer(200, "", "{}")).await;
    let location = format!("Location: http://{}/\r\n", thief.host());
    let service = Script::start(move |_| answer(307, &location, "")).await;
    let (url, host) = (format!("http://{}", service.host()), service.host());
    for (auth, repository, variables) in [
        (FileAuth::Aws, ECR, vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())]),
        (
            FileAuth::Aws,
            ECR,
            vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t")],
        ),
        (FileAuth::Gcp, "gcr.io/a/b", vec![("GCE_METADATA_HOST", host.as_str())]),
        (FileAuth::Azure, "a.azurecr.io/a", vec![("IDENTITY_ENDPOINT", url.as_str()), ("IDENTITY_HEADER", "h")]),
        (
            FileAuth::GithubApp { id: 1, key: proto::settings::Secret::Env("KEY".into()) },
            "ghcr.io/a/b",
            vec![("GITHUB_API_URL", url.as_str()), ("KEY", Github::KEY)],
        ),
    ] {
        let error = head(&client(&registry, auth.clone(), &variables), repository).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized, "{auth:?}: {error}");
        assert!(error.to_string().contains("307"), "{auth:?}: {error}");
    }
    assert_eq!(thief.count(""), 0);
    assert_eq!(service.count(""), 5);
}

#[tokio::test]
async fn no_identity_is_shown_to_a_registry_of_another_vendor() {
    let (aws, google, azure) =
        (Aws::start().await.unwrap(), Gcp::start().await.unwrap(), Azure::start().await.unwrap());
    let registry = registry(google.accounts()).await;
    for (auth, hosts) in [
        (FileAuth::Aws, ["quay.io", "1.dkr.ecr.x.amazonaws.com.evil.example"]),
        (FileAuth::Gcp, ["quay.io", "pkg.dev.evil.example"]),
        (FileAuth::Azure, ["quay.io", "azurecr.io.evil.example"]),
    ] {
        let variables = [
            ("AWS_ENDPOINT_URL", aws.url()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.url()),
            ("GCE_METADATA_HOST", google.host()),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.url()),
        ];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        for host in hosts {
            let client = client(&registry, auth.clone(), &variables);
            let error = head(&client, &format!("{host}/team/app")).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Unauthorized);
            assert!(error.to_string().starts_with(&format!("log in to `{host}` with an identity of")), "{error}");
        }
    }
    let asked = [aws.log(), google.log(), azure.log()].map(|log| log.requests().len());
    assert_eq!(asked, [0, 0, 0]);
}

#[tokio::test]
async fn answers_that_hold_nothing_too_much_or_something_odd_are_refused_and_not_quoted() {
    let registry = registry(Default::default()).await;
    for body in [String::new(), "hush".into(), "{}".into(), "[\"hush\"]".into(), "x".repeat(5 << 20), "../x".into()] {
        let service = Script::start(move |_| answer(200, "", &body)).await;
        let (url, host) = (format!("http://{}", service.host()), service.host());
        let user =
            [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_ACCESS_KEY_ID", "me"), ("AWS_SECRET_ACCESS_KEY", "secret")];
        let metadata = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
        let google = [("GCE_METADATA_HOST", host.as_str())];
        let azure = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", url.as_str())];
        for (auth, repository, variables) in [
            (FileAuth::Aws, ECR, user.as_slice()),
            (FileAuth::Aws, ECR, &metadata),
            (FileAuth::Gcp, "gcr.io/a/b", &google),
            (FileAuth::Azure, "a.azurecr.io/a", &azure),
        ] {
            let error = head(&client(&registry, auth, variables), repository).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Unauthorized, "{error}");
            assert!(!texts(&error).contains("hush"), "{error:?}");
        }
    }
}
