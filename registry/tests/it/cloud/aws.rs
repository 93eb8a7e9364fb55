//! ECR: keys from each place where AWS leaves them, signed requests, passwords that end.

use std::time::Duration;

use proto::Class;
use proto::settings::Auth as FileAuth;
use registry::Kind;
use sandbox::cloud::{Aws, Fake};
use sandbox::{Effect, Fault};

use super::{client, head, heads, options_with, origin, registry, texts, token_registry};
use crate::setup::file;

const PRIVATE: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/team/app";

/// The client of a user with a key, whose API is `aws`.
fn as_user(aws: &Fake<Aws>, registry: &sandbox::Registry) -> registry::Client {
    let (id, secret) = aws.user_key();
    let variables =
        [("AWS_ACCESS_KEY_ID", id.as_str()), ("AWS_SECRET_ACCESS_KEY", &secret), ("AWS_ENDPOINT_URL_ECR", &aws.url())];
    client(registry, FileAuth::Aws, &variables)
}

#[tokio::test]
async fn each_place_of_keys_leads_to_a_manifest() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    let folder = tempfile::tempdir().unwrap();
    let web_identity = file(&folder, "web", &format!("{}\n", Aws::WEB_IDENTITY)).display().to_string();
    let container = file(&folder, "container", Aws::CONTAINER_TOKEN).display().to_string();
    let (id, secret) = aws.user_key();
    let (url, beside) = (aws.url(), format!("{}/container", aws.url()));
    let everywhere = ("AWS_ENDPOINT_URL", url.as_str());
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", beside.as_str());
    for (variables, expected) in [
        (
            vec![everywhere, ("AWS_ACCESS_KEY_ID", &id), ("AWS_SECRET_ACCESS_KEY", &secret)],
            "AWS access key in the environment variable `AWS_ACCESS_KEY_ID`".to_owned(),
        ),
        (
            vec![everywhere, ("AWS_ROLE_ARN", Aws::ROLE), ("AWS_WEB_IDENTITY_TOKEN_FILE", &web_identity)],
            format!("AWS role `{}`, by web identity", Aws::ROLE),
        ),
        (
            vec![everywhere, full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &container)],
            "AWS role of this container".to_owned(),
        ),
        (
            vec![everywhere, full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", Aws::CONTAINER_TOKEN)],
            "AWS role of this container".to_owned(),
        ),
        (
            vec![everywhere, ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)],
            "AWS role `machine-role` of this machine".to_owned(),
        ),
    ] {
        let client = client(&registry, FileAuth::Aws, &variables);
        head(&client, PRIVATE).await.unwrap();
        assert_eq!(origin(&client, PRIVATE).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn the_public_registry_has_an_api_of_its_own_and_asks_for_tokens() {
    let aws = Aws::start().await.unwrap();
    let registry = token_registry(aws.accounts()).await;
    let (id, secret) = aws.user_key();
    let variables = [
        ("AWS_ACCESS_KEY_ID", id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", &secret),
        ("AWS_ENDPOINT_URL_ECR_PUBLIC", &aws.url()),
    ];
    let client = client(&registry, FileAuth::Aws, &variables);
    head(&client, "public.ecr.aws/team/app").await.unwrap();
    assert_eq!(registry.token_log().count("GET", "/token"), 1);
}

#[tokio::test]
async fn when_the_twelve_hours_are_over_one_of_thirty_two_renews_the_password() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    let client = as_user(&aws, &registry);
    aws.set_lifetime(Duration::ZERO);
    head(&client, PRIVATE).await.unwrap();
    assert_eq!(aws.log().count("POST", "/"), 1);
    aws.set_lifetime(Duration::from_secs(12 * 60 * 60));
    aws.fault(Fault::on("POST", "/", Effect::Latency(Duration::from_millis(50))));
    for head in heads(&client, PRIVATE).await {
        head.unwrap();
    }
    assert_eq!(aws.log().count("POST", "/"), 2);
    assert_eq!(registry.requests().iter().filter(|request| request.status == 401).count(), 1);
}

#[tokio::test]
async fn a_password_that_is_not_taken_any_more_is_renewed_once_for_all() {
    for asks_for_tokens in [false, true] {
        let aws = Aws::start().await.unwrap();
        let accounts = aws.accounts();
        let registry = if asks_for_tokens { token_registry(accounts).await } else { registry(accounts).await };
        let client = as_user(&aws, &registry);
        head(&client, PRIVATE).await.unwrap();
        aws.accounts().clear();
        registry.revoke_tokens();
        for head in heads(&client, PRIVATE).await {
            head.unwrap();
        }
        assert_eq!(aws.log().count("POST", "/"), 2, "asks for tokens: {asks_for_tokens}");
    }
}

#[tokio::test]
async fn requests_for_many_repositories_find_the_new_password_when_the_old_one_is_refused() {
    let aws = Aws::start().await.unwrap();
    let registry = token_registry(aws.accounts()).await;
    let client = as_user(&aws, &registry);
    let repositories: Vec<String> = (0..32).map(|number| format!("{PRIVATE}/{number}")).collect();
    for number in 0..32 {
        let image = sandbox::content::image(number).build();
        registry.store().put_image(&format!("team/app/{number}"), Some("1"), &image);
    }
    for expected in [1, 2, 3] {
        let all = repositories.iter().map(|repository| head(&client, repository));
        for head in futures_util::future::join_all(all).await {
            head.unwrap();
        }
        assert_eq!(aws.log().count("POST", "/"), expected);
        aws.accounts().clear();
        registry.revoke_tokens();
    }
}

#[tokio::test]
async fn keys_that_ended_before_their_time_are_had_anew() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    let url = aws.url();
    let variables = [("AWS_ENDPOINT_URL_ECR", url.as_str()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)];
    let client = client(&registry, FileAuth::Aws, &variables);
    head(&client, PRIVATE).await.unwrap();
    aws.end_keys();
    aws.accounts().clear();
    head(&client, PRIVATE).await.unwrap();
    assert_eq!(aws.log().count("GET", "/security-credentials/machine-role"), 2);
    let statuses: Vec<u16> =
        aws.log().requests().iter().filter(|request| request.is("POST", "/")).map(|request| request.status).collect();
    assert_eq!(statuses, [200, 400, 200]);
}

#[tokio::test]
async fn keys_are_renewed_when_they_are_over_and_kept_until_then() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    let url = aws.url();
    let variables = [("AWS_ENDPOINT_URL_ECR", url.as_str()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)];
    for (lifetime, asked) in [(Duration::from_secs(3600), 1), (Duration::ZERO, 4)] {
        aws.log().clear();
        aws.set_key_lifetime(lifetime);
        aws.set_lifetime(Duration::ZERO);
        let client = client(&registry, FileAuth::Aws, &variables);
        head(&client, PRIVATE).await.unwrap();
        head(&client, PRIVATE).await.unwrap();
        // Each password asks for the keys twice: to sign, and to tell whose it is.
        assert_eq!(aws.log().count("GET", "/security-credentials/machine-role"), asked, "{lifetime:?}");
    }
}

#[tokio::test]
async fn what_aws_refuses_is_told_in_its_words_with_what_mends_it() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    for (code, kind, class, hint) in [
        ("AccessDeniedException", Kind::Forbidden, Class::Reject, "allow it by a policy"),
        ("ThrottlingException", Kind::RateLimited, Class::Retry, "wait"),
        ("OddException", Kind::Unauthorized, Class::Reject, "check the credentials"),
    ] {
        aws.refuse(Some((code, "so it is")));
        let error = head(&as_user(&aws, &registry), PRIVATE).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (kind, class), "{error}");
        let url = aws.url();
        let expected = format!(
            "GetAuthorizationToken as AWS access key in the environment variable `AWS_ACCESS_KEY_ID`: POST {url}/: 400 \
             {code}: so it is"
        );
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().starts_with(hint), "{:?}", error.hint());
    }
}

#[tokio::test]
async fn a_wrong_secret_and_a_wrong_clock_are_told() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    let (id, _) = aws.user_key();
    let variables = [
        ("AWS_ACCESS_KEY_ID", id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", "hush-hush-secret"),
        ("AWS_ENDPOINT_URL_ECR", &aws.url()),
    ];
    let wrong = head(&client(&registry, FileAuth::Aws, &variables), PRIVATE).await.unwrap_err();
    aws.set_clock_ahead(Duration::from_secs(6 * 60));
    let late = head(&as_user(&aws, &registry), PRIVATE).await.unwrap_err();
    for (error, why) in [(wrong, "does not match"), (late, "Signature expired")] {
        assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
        assert!(error.to_string().contains(why) && error.hint().unwrap().contains("clock"), "{error}");
        assert!(!texts(&error).contains("hush"), "{error:?}");
    }
}

#[tokio::test]
async fn a_web_identity_that_is_not_trusted_is_told() {
    let aws = Aws::start().await.unwrap();
    let registry = registry(aws.accounts()).await;
    let folder = tempfile::tempdir().unwrap();
    let url = aws.url();
    for (role, token, expected) in [
        (Aws::ROLE, "hush-hush", "400 InvalidIdentityToken: No OpenIDConnect provider found & token not valid"),
        ("arn:aws:iam::1:role/x", Aws::WEB_IDENTITY, "400 AccessDenied: Not authorized to perform sts:AssumeRole"),
        ("", Aws::WEB_IDENTITY, "log in to AWS by web identity: `AWS_ROLE_ARN` is not set"),
        (Aws::ROLE, "", "which `AWS_WEB_IDENTITY_TOKEN_FILE` names: it is empty"),
    ] {
        let file = file(&folder, "token", token).display().to_string();
        let variables =
            [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_ROLE_ARN", role), ("AWS_WEB_IDENTITY_TOKEN_FILE", &file)];
        let error = head(&client(&registry, FileAuth::Aws, &variables), PRIVATE).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Unauthorized | Kind::Forbidden) && error.class() == Class::Reject);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().is_some() && !texts(&error).contains("hush"), "{error:?}");
    }
}

#[tokio::test]
async fn a_machine_without_a_role_says_so_and_is_asked_once_for_a_whole_run() {
    let aws = Aws::start().await.unwrap();
    aws.set_machine_role(false);
    let registry = registry(aws.accounts()).await;
    let url = aws.url();
    let disabled = [("AWS_EC2_METADATA_DISABLED", "true")];
    let without = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    let absent = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")];
    for variables in [disabled.as_slice(), &without, &absent] {
        let client = client(&registry, FileAuth::Aws, variables);
        for head in heads(&client, PRIVATE).await {
            let error = head.unwrap_err();
            assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
            assert!(error.to_string().starts_with("this machine has no identity of AWS: "), "{error}");
            assert!(error.hint().unwrap().starts_with("give it a role"), "{error}");
        }
    }
    assert_eq!(aws.log().count("PUT", "/latest/api/token"), 1);
}

#[tokio::test]
async fn metadata_that_does_not_answer_is_metadata_that_is_not_there() {
    let aws = Aws::start().await.unwrap();
    aws.fault(Fault::on("PUT", "", Effect::Latency(Duration::from_secs(60))));
    let registry = registry(aws.accounts()).await;
    let mut options = options_with(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &aws.url())]);
    options.answer_timeout = Duration::from_millis(200);
    let network = proto::settings::Network { proxy: Some(registry.url()), ..Default::default() };
    let ours =
        proto::settings::RegistrySettings { auth: FileAuth::Aws, plain_http: true, ..crate::setup::settings("*") };
    let access = proto::settings::Access { network, registries: vec![ours] };
    let error = head(&crate::setup::client_with(&access, options), PRIVATE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let text = error.to_string();
    assert!(text.starts_with("this machine has no identity of AWS: ") && text.ends_with("no answer in time"), "{text}");
}
