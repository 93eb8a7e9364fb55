//! ECR: `ListImages`, a signed request to the region's API, tells tags with digests, 1,000 to a page.
//!
//! Signatures and the like are listed as any tag. It tells no times. A tag that moves while pages are read may be on none
//! of them, so names of more than one page come from `tags/list`. Source: AWS API reference, ECR `ListImages`.

use proto::Repository;
use serde::Deserialize;
use serde_json::{Value, json};

use super::gathered::{Entry, Gathered, TAGS_MAX};
use crate::auth::Aws;
use crate::error::{Error, Kind};
use crate::pages::PAGES_MAX;
use crate::transport::Registry;

/// Images asked for at once: the most that ECR gives.
const PAGE_IMAGES: usize = 1000;

/// Whose registry it is, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    id: &'a str,
    region: &'a str,
}

impl<'a> Account<'a> {
    /// From `{account}.dkr.ecr.{region}.amazonaws.com`, which in China ends in `.cn`, and has `ecr-fips` in some regions.
    pub(super) fn of_host(host: &'a str) -> Option<Self> {
        let name = host.strip_suffix(".cn").unwrap_or(host).strip_suffix(".amazonaws.com")?;
        let (id, rest) = name.split_once(".dkr.")?;
        let region = rest.strip_prefix("ecr.").or(rest.strip_prefix("ecr-fips."))?;
        let is_word = |text: &str| !text.is_empty() && !text.contains('.');
        (is_word(id) && is_word(region)).then_some(Self { id, region })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    image_ids: Option<Vec<Image>>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    image_tag: Option<String>,
    image_digest: Option<String>,
}

pub(super) async fn list(registry: &Registry, repository: &Repository) -> Result<Option<Gathered>, Error> {
    // Without an identity of AWS's there is nobody who could sign; a password is good for the registry alone.
    let (Some(account), Some(aws)) = (Account::of_host(registry.host.name()), registry.auth.aws()) else {
        return Ok(None);
    };
    let refused = |why: &str| Error::new(Kind::Refused, format!("list the images of `{repository}`")).because(why);
    let (mut listed, mut token) = (Gathered::default(), None);
    for _ in 0..PAGES_MAX {
        let page = page(registry, aws, &account, repository, token.as_deref()).await?;
        let page: Answered =
            serde_json::from_value(page).map_err(|error| refused("the listing is not readable").caused_by(error))?;
        for image in page.image_ids.into_iter().flatten() {
            if let Some(name) = image.image_tag {
                listed.add(&Entry { name, digest: image.image_digest, time: None });
            }
        }
        listed.has_gaps |= page.next_token.is_some();
        match page.next_token {
            None => return Ok(Some(listed)),
            next if next == token => return Err(refused("the listing leads in a circle")),
            _ if listed.len() > TAGS_MAX => break,
            next => token = next,
        }
    }
    Err(refused("the listing has no end"))
}

async fn page(
    registry: &Registry,
    aws: &Aws,
    account: &Account<'_>,
    repository: &Repository,
    token: Option<&str>,
) -> Result<Value, Error> {
    let mut body = json!({
        "registryId": account.id, "repositoryName": repository.path(), "maxResults": PAGE_IMAGES,
        "filter": { "tagStatus": "TAGGED" },
    });
    if let Some(token) = token {
        body["nextToken"] = token.into();
    }
    // The API has limits of its own, far above those of the registry.
    registry.retried(|| aws.call("ListImages", &body)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_and_region_are_in_the_host() {
        let account = |id, region| Some(Account { id, region });
        for (host, expected) in [
            ("1.dkr.ecr.eu-west-1.amazonaws.com", account("1", "eu-west-1")),
            ("1.dkr.ecr-fips.us-gov-west-1.amazonaws.com", account("1", "us-gov-west-1")),
            ("1.dkr.ecr.cn-north-1.amazonaws.com.cn", account("1", "cn-north-1")),
            ("1.dkr.ecr.a.b.amazonaws.com", None),
            (".dkr.ecr.a.amazonaws.com", None),
            ("1.dkr.s3.a.amazonaws.com", None),
            ("1.dkr.ecr.a.amazonaws.com.example", None),
        ] {
            assert_eq!(Account::of_host(host), expected, "{host}");
        }
    }
}
