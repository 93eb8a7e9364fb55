//! Resolves names, with an error type of its own: only so a DNS failure can be told from a refused connection.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve `{name}`")]
pub(crate) struct DnsError {
    name: String,
    #[source]
    source: std::io::Error,
}

/// The system's resolver.
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            // The port is replaced by that of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect::<Vec<_>>);
            match found {
                Ok(found) => Ok(Box::new(found.into_iter()) as Addrs),
                Err(source) => Err(DnsError { name, source }.into()),
            }
        })
    }
}
