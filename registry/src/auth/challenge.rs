//! Reads `WWW-Authenticate`, which comes from outside and may be anything (RFC 9110, 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants to be authorized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from a token service (distribution's "Token Authentication Specification").
    Bearer {
        realm: String,
        service: Option<String>,
        /// What the refused request would need, as in `repository:a/b:pull`.
        scope: Option<String>,
        /// `insufficient_scope`, `invalid_token`.
        error: Option<String>,
    },
}

/// The challenge that we answer: a `Bearer` if one is offered, else `Basic`.
pub(crate) fn best(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let found: Vec<_> = values.flat_map(parse).collect();
    let bearer = found.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(found.first()).cloned()
}

/// All challenges of one header that we know; the rest is passed over.
fn parse(header: &str) -> Vec<Challenge> {
    let mut rest = header;
    let mut schemes: Vec<(String, Vec<(String, String)>)> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = token(rest) else { break };
        let after_word = after.trim_start_matches([' ', '\t']);
        match (after_word.strip_prefix('='), schemes.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, after) = value_of(value.trim_start_matches([' ', '\t']));
                parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                schemes.push((word.to_ascii_lowercase(), Vec::new()));
                rest = after;
            }
        }
    }
    schemes.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: get("realm")?,
            service: get("service"),
            scope: get("scope"),
            error: get("error"),
        }),
        _ => None,
    }
}

/// The token at the start of `text` (RFC 9110, 5.6.2), and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A quoted or a bare value, and what follows it. A quote that never closes takes the rest.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, scope: Option<&str>) -> Challenge {
        let text = |text: &str| text.to_owned();
        Challenge::Bearer { realm: text(realm), service: Some(text("s")), scope: scope.map(text), error: None }
    }

    #[test]
    fn challenges_are_read_in_all_their_spellings() {
        let scope = Some("repository:a/b:pull,push");
        for header in [
            r#"Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push""#,
            r#"bearer  Realm = "https://a/t" , service=s, scope="repository:a/b:pull,push""#,
            r#"Negotiate, Basic realm="x, y=\"z\"", Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push""#,
        ] {
            assert_eq!(parse(header).last(), Some(&bearer("https://a/t", scope)), "{header}");
        }
        assert_eq!(parse(r#"Basic realm="Registry Realm""#), [Challenge::Basic]);
        assert_eq!(parse("Basic"), [Challenge::Basic]);
    }

    #[test]
    fn what_is_no_challenge_is_passed_over() {
        for header in ["", ",,,", "=x", "Bearer", "Bearer service=\"s\"", "Digest a=b", "\"", "Bearer realm"] {
            assert_eq!(parse(header), [], "{header}");
        }
    }

    #[test]
    fn a_bearer_is_preferred_over_basic() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"r\"".parse().unwrap());
        assert_eq!(best(&headers), Some(Challenge::Basic));
        headers.append(WWW_AUTHENTICATE, "Bearer realm=\"https://a/t\",service=\"s\"".parse().unwrap());
        assert_eq!(best(&headers), Some(bearer("https://a/t", None)));
        assert_eq!(best(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic_or_hang(header in "\\PC{0,120}", tail in "[Bearlm=\",\\\\ ]{0,40}") {
            parse(&header);
            parse(&format!("Bearer realm={tail}"));
        }

        #[test]
        fn a_quoted_value_reads_back(value in "[^\\x00-\\x1f]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("\"{quoted}\", x");
            prop_assert_eq!(value_of(&header), (value, ", x"));
        }
    }
}
