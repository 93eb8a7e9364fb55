//! Azure's registry: an identity of Entra ID, exchanged for a refresh token.

use std::time::Duration;

use proto::Class;
use proto::settings::Auth as FileAuth;
use registry::Kind;
use sandbox::cloud::{Azure, Fake};
use sandbox::{Auth, Effect, Fault, Registry};

use super::{client, head, heads, origin, texts, tokens, with_image};
use crate::setup::file;

const REPOSITORY: &str = "mirror.azurecr.io/team/app";

async fn start() -> (Fake<Azure>, Registry) {
    let azure = Azure::start().await.unwrap();
    let auth = Auth::Tokens(tokens(azure.accounts()));
    let registry = with_image(Registry::builder().auth(auth).exchange(&azure).start().await.unwrap());
    (azure, registry)
}

#[tokio::test]
async fn each_kind_of_identity_leads_to_a_manifest() {
    let (azure, registry) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let federated = file(&folder, "token", Azure::FEDERATED).display().to_string();
    let (url, msi) = (azure.url(), format!("{}/msi/token", azure.url()));
    let authority = [
        ("AZURE_AUTHORITY_HOST", url.as_str()),
        ("AZURE_TENANT_ID", Azure::TENANT),
        ("AZURE_CLIENT_ID", Azure::CLIENT),
    ];
    let and = |variable| [authority.as_slice(), &[variable]].concat();
    for (variables, expected) in [
        (and(("AZURE_FEDERATED_TOKEN_FILE", &federated)), "Azure application `client-1`, by workload identity"),
        (and(("AZURE_CLIENT_SECRET", Azure::CLIENT_SECRET)), "Azure application `client-1`, by its secret"),
        (
            vec![("IDENTITY_ENDPOINT", msi.as_str()), ("IDENTITY_HEADER", Azure::IDENTITY_HEADER)],
            "Azure managed identity of this machine",
        ),
        (
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url), ("AZURE_CLIENT_ID", "pod")],
            "Azure managed identity `pod` of this machine",
        ),
    ] {
        let client = client(&registry, FileAuth::Azure, &variables);
        head(&client, REPOSITORY).await.unwrap();
        assert_eq!(origin(&client, REPOSITORY).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_refresh_token_is_renewed_by_one_when_it_is_over_or_not_taken_any_more() {
    let (azure, registry) = start().await;
    let client = client(&registry, FileAuth::Azure, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &azure.url())]);
    azure.set_lifetime(Duration::ZERO);
    head(&client, REPOSITORY).await.unwrap();
    azure.set_lifetime(Duration::from_secs(3 * 3600));
    registry.fault(Fault::on("POST", "/oauth2/exchange", Effect::Latency(Duration::from_millis(50))));
    for expected in [2, 3] {
        azure.accounts().clear();
        registry.revoke_tokens();
        for head in heads(&client, REPOSITORY).await {
            head.unwrap();
        }
        assert_eq!(registry.log().count("POST", "/oauth2/exchange"), expected);
    }
}

#[tokio::test]
async fn what_azure_refuses_is_told_with_the_way_that_was_tried() {
    let (azure, registry) = start().await;
    let url = azure.url();
    let (tenant, client_id) = (("AZURE_TENANT_ID", Azure::TENANT), ("AZURE_CLIENT_ID", Azure::CLIENT));
    let authority = ("AZURE_AUTHORITY_HOST", url.as_str());
    for (variables, expected) in [
        (
            vec![authority, tenant, client_id, ("AZURE_CLIENT_SECRET", "hush-hush")],
            format!("log in to Azure by its secret: POST {url}/tenant-1/oauth2/v2.0/token: 400 invalid_client: AADSTS"),
        ),
        (
            vec![authority, client_id, ("AZURE_CLIENT_SECRET", "hush-hush")],
            "log in to Azure by its secret: `AZURE_TENANT_ID` is not set".to_owned(),
        ),
        (
            vec![tenant, client_id, ("AZURE_FEDERATED_TOKEN_FILE", "/not/there")],
            "read `/not/there`, which `AZURE_FEDERATED_TOKEN_FILE` names".to_owned(),
        ),
        (
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")],
            "this machine has no identity of Azure: log in to Azure by managed identity: GET".to_owned(),
        ),
    ] {
        let error = head(&client(&registry, FileAuth::Azure, &variables), REPOSITORY).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(error.hint().is_some() && !texts(&error).contains("hush"), "{error:?}");
    }
}

#[tokio::test]
async fn an_identity_without_a_role_at_the_registry_is_told() {
    let (azure, registry) = start().await;
    registry.fault(Fault::on("POST", "/oauth2/exchange", Effect::status(401)));
    let client = client(&registry, FileAuth::Azure, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &azure.url())]);
    let error = head(&client, REPOSITORY).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
    let expected = "exchange the token of Azure managed identity of this machine: \
                    POST http://mirror.azurecr.io/oauth2/exchange: 401 UNAUTHORIZED";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(error.hint().unwrap().contains("AcrPull"));
}
