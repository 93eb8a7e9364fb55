//! How to reach registries: what the job file says of them, with names of secrets and never the secrets themselves.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::image::Repository;

/// Everything a process needs to know to speak to the registries of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What holds for all connections.
    pub network: Network,
    /// Settings of registries, or of parts of them.
    pub registries: Vec<RegistrySettings>,
}

impl Access {
    /// The settings for `repository`: those of the longest pattern that matches it.
    pub fn settings(&self, repository: &Repository) -> Option<&RegistrySettings> {
        self.position(repository).and_then(|position| self.registries.get(position))
    }

    /// Where the settings for `repository` stand in the list.
    pub fn position(&self, repository: &Repository) -> Option<usize> {
        let matching = self.registries.iter().enumerate().filter(|(_, settings)| settings.matches(repository));
        matching.max_by_key(|(_, settings)| (settings.pattern.len(), &settings.pattern)).map(|(position, _)| position)
    }
}

/// What holds for all connections.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// URL of the proxy; none means what the environment says. Loopback never uses one.
    pub proxy: Option<String>,
    /// Hosts, `.domains` and networks (`10.0.0.0/8`) that are reached without the proxy.
    pub direct: Vec<String>,
    /// PEM file of certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for Network {
    /// Without the user in the proxy's URL: there may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, direct, ca_file } = self;
        // What is no URL may hold one all the same.
        let proxy = proxy.as_deref().map(|url| url.rsplit_once('@').map_or(url, |(_, host)| host));
        f.debug_struct("Network").field("proxy", &proxy).field("direct", direct).field("ca_file", ca_file).finish()
    }
}

/// Settings of the registries and repositories that match `pattern`; the longest pattern that matches wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrySettings {
    /// `host[:port]` or `host/prefix`; `*` stands for any characters but `/`.
    pub pattern: String,
    /// Where credentials come from.
    pub auth: Auth,
    /// How TLS is spoken.
    pub tls: Tls,
    /// Speak plain HTTP.
    pub plain_http: bool,
    /// How much is asked of it.
    pub limits: Limits,
    /// What is not tried there, though it would save requests.
    pub without: BTreeSet<Trick>,
    /// Where else the same content is found.
    pub alternatives: Vec<Alternative>,
}

/// How much is asked of a registry, by one account; none means that the client finds out what it bears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Requests under way at once, of those that read and of those that write.
    pub concurrency: Option<u32>,
    /// Requests per second, of all kinds together.
    pub requests_per_second: Option<u32>,
    /// Manifests written per second.
    pub manifest_writes_per_second: Option<u32>,
    /// Bytes of blobs per second, in both directions together.
    pub bandwidth: Option<u64>,
    /// Pulls: manifests that are read.
    pub pulls: Option<PullLimit>,
}

/// How many manifests may be read in a time, and how many of these reads are for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullLimit {
    /// So many; none means what the registry says of itself, and no limit where it says nothing.
    pub count: Option<u32>,
    /// In this time.
    pub per: Duration,
    /// So many of them are left to the people behind the same account.
    pub keep_free: u32,
}

/// A way to save requests that a registry may not bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trick {
    /// Blobs are taken from other repositories of the registry.
    Mount,
    /// A blob is sent with the request that opens its upload.
    SinglePost,
    /// Manifests are sent before it is known whether all that they name is there.
    OptimisticPut,
    /// Manifests are read only if they differ from the one that is known.
    ConditionalGet,
    /// Tags are listed with their digests, by an interface of the vendor's own.
    BulkListing,
}

impl Trick {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Mount, Self::SinglePost, Self::OptimisticPut, Self::ConditionalGet, Self::BulkListing];

    /// The name in the job file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::SinglePost => "single_post",
            Self::OptimisticPut => "optimistic_put",
            Self::ConditionalGet => "conditional_get",
            Self::BulkListing => "bulk_listing",
        }
    }
}

/// Where content of a registry is found under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// The path of a repository at the registry, with at most one `*`, which stands for any text.
    pub paths: String,
    /// The repository that has the same, in full; a `*` stands for what that of `paths` does.
    pub to: String,
}

impl Alternative {
    /// The other name of `repository`; none if it is not among `paths`.
    pub fn of(&self, repository: &Repository) -> Option<Repository> {
        let path = repository.path();
        let Some((first, last)) = self.paths.split_once('*') else {
            return (self.paths == path).then(|| self.to.parse().ok())?;
        };
        let middle = path.strip_prefix(first)?.strip_suffix(last)?;
        self.to.replacen('*', middle, 1).parse().ok()
    }
}

impl RegistrySettings {
    /// Whether these settings are meant for `repository`: its registry matches, and its path begins with the prefix.
    fn matches(&self, repository: &Repository) -> bool {
        let mut parts = repository.path().split('/');
        let mut pattern = self.pattern.trim_end_matches('/').split('/');
        pattern.next().is_some_and(|host| matches_part(host, repository.host().as_str()))
            && pattern.all(|prefix| parts.next().is_some_and(|part| matches_part(prefix, part)))
    }
}

/// Whether `text` is `pattern`, where `*` stands for any characters.
fn matches_part(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else { return false };
    // The earliest place for each part leaves the most for those after it.
    middle.split('*').all(|part| {
        let found = text.find(part);
        text = &text[found.map_or(0, |at| at + part.len())..];
        found.is_some()
    })
}

/// Where credentials come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Docker's configuration file with its helpers; without an entry there, none.
    #[default]
    Ambient,
    /// None, even if there are some.
    Anonymous,
    /// User and password.
    Basic {
        /// The user's name.
        username: String,
        /// Where the password is.
        password: Secret,
    },
    /// The identity that AWS gives to what runs there.
    Aws,
    /// The identity that Google Cloud gives to what runs there, or a service account's key.
    Gcp,
    /// The identity that Azure gives to what runs there.
    Azure,
    /// An app of GitHub's, installed at the owner of the repositories.
    GithubApp {
        /// The app's id.
        id: u64,
        /// Its private key, as PEM.
        key: Secret,
    },
}

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// In this environment variable.
    Env(String),
    /// In this file, without the line end.
    File(PathBuf),
    /// Printed by this Docker credential helper (`docker-credential-NAME get`).
    Helper(String),
}

/// How TLS is spoken with a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// PEM file of certificates to trust beside those of the system; a self-signed server certificate may stand here.
    pub ca_file: Option<PathBuf>,
    /// The certificate by which we make ourselves known.
    pub client: Option<ClientCertificate>,
    /// Trust any certificate.
    pub skip_verify: bool,
}

/// A client certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// PEM file of the certificate, with its chain.
    pub certificate: PathBuf,
    /// The PEM key.
    pub key: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pattern: &str) -> RegistrySettings {
        RegistrySettings { pattern: pattern.to_owned(), ..RegistrySettings::default() }
    }

    fn chosen(patterns: &[&str], repository: &str) -> Option<String> {
        let registries = patterns.iter().map(|pattern| settings(pattern)).collect();
        let access = Access { network: Network::default(), registries };
        access.settings(&repository.parse().unwrap()).map(|settings| settings.pattern.clone())
    }

    #[test]
    fn the_longest_pattern_that_matches_wins() {
        let patterns = ["docker.io", "docker.io/oracle", "*.dkr.ecr.*.amazonaws.com", "*", "localhost:5000"];
        assert_eq!(chosen(&patterns, "alpine").as_deref(), Some("docker.io"));
        assert_eq!(chosen(&patterns, "oracle/database/enterprise").as_deref(), Some("docker.io/oracle"));
        assert_eq!(chosen(&patterns, "oracles/database").as_deref(), Some("docker.io"));
        assert_eq!(chosen(&patterns, "1.dkr.ecr.eu-west-1.amazonaws.com/a").as_deref(), Some(patterns[2]));
        assert_eq!(chosen(&patterns, "localhost:5000/a").as_deref(), Some("localhost:5000"));
        assert_eq!(chosen(&patterns, "localhost:5001/a").as_deref(), Some("*"));
        assert_eq!(chosen(&["docker.io/a/b"], "docker.io/a/c"), None);
        assert_eq!(chosen(&["a*b*c.io"], "axbxbxc.io/app").as_deref(), Some("a*b*c.io"));
        assert_eq!(chosen(&["a*b*c.io", "ab*b.io", "*a*a*.io"], "abc.io/app").as_deref(), Some("a*b*c.io"));
        assert_eq!(chosen(&["ab*b.io", "*a*a*.io", "*.io.io"], "ab.io/app"), None);
        assert_eq!(chosen(&["docker.io/a/b"], "docker.io/b"), None);
    }

    #[test]
    fn patterns_match_whole_parts() {
        for (pattern, repository, expected) in [
            ("quay.io", "quay.io/a/b", true),
            ("quay.io/", "quay.io/a/b", true),
            ("quay.io", "quay.io.evil.example/a", false),
            ("docker.io/oracle/", "docker.io/oracle/db", true),
            ("docker.io/oracle", "docker.io/oracles/db", false),
            ("docker.io/oracle/db/x", "docker.io/oracle/db", false),
            ("*.example.com", "a.test/b.example.com", false),
            ("*", "anything:5000/a", true),
            ("docker.io/*/db", "docker.io/oracle/db/x", true),
            ("a*b*c", "axxbyyc:80/z", false),
            ("a*b*c:80", "axxbyyc:80/z", true),
            ("a*b*c:80", "axxc:80/z", false),
            ("host.test:5000", "host.test/a", false),
        ] {
            assert_eq!(chosen(&[pattern], repository).is_some(), expected, "{pattern} {repository}");
        }
    }

    #[test]
    fn of_patterns_of_one_length_the_same_wins_in_any_order() {
        for patterns in [["a*.test", "*a.test"], ["*a.test", "a*.test"]] {
            assert_eq!(chosen(&patterns, "aa.test/app").as_deref(), Some("a*.test"));
        }
    }

    #[test]
    fn settings_stand_where_they_are_said_to() {
        let registries = ["quay.io", "docker.io", "*"].map(settings).into();
        let access = Access { network: Network::default(), registries };
        assert_eq!(access.position(&"alpine".parse().unwrap()), Some(1));
    }

    #[test]
    fn no_password_of_a_proxy_is_shown() {
        for (proxy, shown) in [
            ("http://user:hu@sh@proxy.test:3128", "\"proxy.test:3128\""),
            ("user:hush@proxy.test", "\"proxy.test\""),
            ("http://proxy.test", "\"http://proxy.test\""),
        ] {
            let network = Network { proxy: Some(proxy.to_owned()), ..Network::default() };
            let text = format!("{:?}", Access { network, registries: Vec::new() });
            assert!(text.contains(shown) && !text.contains("user") && !text.contains("sh@"), "{text}");
        }
    }

    #[test]
    fn an_alternative_is_the_repository_with_what_the_star_stands_for() {
        for (paths, to, repository, expected) in [
            ("library/*", "public.ecr.aws/docker/library/*", "alpine", Some("public.ecr.aws/docker/library/alpine")),
            ("library/*", "public.ecr.aws/docker/library/*", "grafana/grafana", None),
            ("*", "mirror.test/hub/*", "grafana/grafana", Some("mirror.test/hub/grafana/grafana")),
            ("grafana/grafana", "quay.io/g/g", "grafana/grafana", Some("quay.io/g/g")),
            ("grafana/grafana", "quay.io/g/g", "grafana/loki", None),
            ("a/*-x", "quay.io/*", "a/b-x", Some("quay.io/b")),
        ] {
            let alternative = Alternative { paths: paths.to_owned(), to: to.to_owned() };
            let found = alternative.of(&repository.parse().unwrap()).map(|other| other.to_string());
            assert_eq!(found.as_deref(), expected, "{paths} {repository}");
        }
    }
}
