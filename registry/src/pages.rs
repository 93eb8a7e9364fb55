//! Follows the pages of a listing (`Link`, RFC 8288), within bounds.

use reqwest::Url;
use reqwest::header::LINK;

use crate::error::{Error, Kind};
use crate::wire::Answer;

/// Pages of one listing. At the usual 100 to 1,000 entries each this is more than any registry has.
pub(crate) const PAGES_MAX: usize = 10_000;

/// The next page after `url`, if the answer names one.
///
/// # Errors
/// `Refused`: it leads to another host, or back to the same page.
pub(crate) fn next(answer: &Answer, url: &Url) -> Result<Option<Url>, Error> {
    let refused = |why: &str| answer.error(Kind::Refused).because(why);
    let Some(target) = target(answer) else { return Ok(None) };
    let mut next = url.join(&target).map_err(|_| refused("the next page is not a URL"))?;
    if next.host_str() == url.host_str() && next.port_or_known_default() != url.port_or_known_default() {
        // A registry behind a proxy that does TLS often names itself by plain HTTP.
        if (next.scheme(), url.scheme(), next.port()) == ("http", "https", None) {
            next = on_origin_of(url, &next);
        }
    }
    if next.origin() != url.origin() {
        return Err(refused("the next page leads to another host"));
    }
    if next == *url {
        return Err(refused("the next page is the same page"));
    }
    Ok(Some(next))
}

/// Whether the answer names a next page, wherever that is.
pub(crate) fn has_next(answer: &Answer) -> bool {
    target(answer).is_some()
}

fn target(answer: &Answer) -> Option<String> {
    let values = answer.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(targets).next()
}

fn on_origin_of(url: &Url, other: &Url) -> Url {
    let mut result = url.clone();
    result.set_path(other.path());
    result.set_query(other.query());
    result
}

/// The targets of a `Link` header with `rel=next`. Commas may stand within the brackets.
fn targets(header: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else { break };
        let end = after.find('<').unwrap_or(after.len());
        let parameters = after[..end].to_ascii_lowercase();
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.trim() == "rel"
                && value.trim_matches([' ', '\t', ',', '"']).split_whitespace().any(|rel| rel == "next")
        };
        if parameters.split(';').any(is_next) {
            found.push(target.to_owned());
        }
        rest = &after[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_target_of_rel_next_is_found_among_others() {
        for (header, expected) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, &["/v2/a/tags/list?last=b&n=2"] as &[_]),
            ("<https://r/x,y>;REL=next", &["https://r/x,y"]),
            (r#"</p>; rel="prev", </n>; title="x"; rel="last next""#, &["/n"]),
            (r#"</p>; rel="prev""#, &[]),
            ("<open", &[]),
            ("", &[]),
        ] {
            assert_eq!(targets(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(header in "[<>;=a-z\", é]{0,60}") {
            targets(&header);
        }
    }
}
