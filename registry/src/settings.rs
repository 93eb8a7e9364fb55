//! Finds the settings that hold for a repository: the longest pattern that matches wins.

use proto::Repository;
use proto::settings::{Access, RegistrySettings};

/// The settings for `repository`, with their place in the list.
pub(crate) fn find<'a>(access: &'a Access, repository: &Repository) -> Option<(usize, &'a RegistrySettings)> {
    let name = repository.to_string();
    let matching = access.registries.iter().enumerate().filter(|(_, settings)| matches(&settings.pattern, &name));
    matching.max_by_key(|(_, settings)| settings.pattern.len())
}

/// Whether `pattern` (`host`, or `host/prefix`) covers `name` (`host/path`): part by part, the prefix being whole
/// parts.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = name.split('/');
    pattern.trim_end_matches('/').split('/').all(|glob| parts.next().is_some_and(|part| matches_part(glob, part)))
}

/// Whether `glob`, in which `*` stands for any characters, covers `text`.
fn matches_part(glob: &str, text: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::settings::{Auth, Tls};

    #[test]
    fn patterns_match_whole_parts() {
        for (pattern, name, expected) in [
            ("quay.io", "quay.io/a/b", true),
            ("quay.io", "quay.io.evil.example/a", false),
            ("docker.io/oracle", "docker.io/oracle/db", true),
            ("docker.io/oracle", "docker.io/oracles/db", false),
            ("docker.io/oracle/db/x", "docker.io/oracle/db", false),
            ("1.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.eu-west-1.amazonaws.com/a", true),
            ("*.example.com", "a/b.example.com", false),
            ("*", "anything:5000/a", true),
            ("docker.io/*/db", "docker.io/oracle/db/x", true),
            ("a*b*c", "axxbyyc/z", true),
            ("a*b*c", "axxc/z", false),
            ("host:5000", "host/a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn the_longest_pattern_wins() {
        let settings = |pattern: &str| RegistrySettings {
            pattern: pattern.into(),
            auth: Auth::Ambient,
            tls: Tls::default(),
            plain_http: false,
            concurrency: None,
        };
        let access =
            Access { registries: ["docker.io", "docker.io/oracle", "*"].map(settings).into(), ..Access::default() };
        let found = |name: &str| find(&access, &name.parse().unwrap()).map(|(_, settings)| settings.pattern.as_str());
        assert_eq!(found("docker.io/oracle/db"), Some("docker.io/oracle"));
        assert_eq!(found("alpine"), Some("docker.io"));
        assert_eq!(found("quay.io/a/b"), Some("*"));
    }
}
