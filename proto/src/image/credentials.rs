//! Credentials that somebody wrote into a reference, as into a URL: they are never repeated.

use std::borrow::Cow;

/// `text` with `***@` for what stands before the host, as in `user:password@host/…` and `https://token@host/…`.
///
/// Before a digest stands no secret but a name: `alpine:3@sha256:…` stays as it is.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    // A folder's name may hold an `@`.
    if ["oci:", "oci-archive:"].iter().any(|layout| text.starts_with(layout)) {
        return Cow::Borrowed(text);
    }
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((credentials, host)) = authority.rsplit_once('@') else { return Cow::Borrowed(text) };
    let is_digest = ["sha256", "sha512"].iter().any(|algorithm| host.starts_with(algorithm));
    if is_digest || scheme.is_empty() && !credentials.contains(':') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{scheme}***@{}", &rest[credentials.len() + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_host_is_not_repeated() {
        assert_eq!(without_credentials("me:p@ss@host:1/a@b"), "***@host:1/a@b");
        assert_eq!(without_credentials("https://token@host/a"), "https://***@host/a");
        assert_eq!(without_credentials("me:hush@host"), "***@host");
        for text in [
            "oci:a@b:docker.io/library/alpine",
            "oci-archive:me:a@b.tar",
            "",
            "alpine:3@sha256:12",
            "host/me:hush@x",
            "a@b",
            "https://host/a@b",
            "oci:./a:b",
        ] {
            assert_eq!(without_credentials(text), text);
        }
    }
}
