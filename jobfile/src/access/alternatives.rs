//! `alternatives`: where else the same content is found.

use proto::settings::{Access, Alternative, Network, RegistrySettings};
use proto::{Host, ImageRef, Repository};

use crate::fault::RuleId;
use crate::tree::{Node, Value};
use crate::walk::{Key, Walk};

const EXAMPLE: &str = "\"library/*\": \"public.ecr.aws/docker/library/*\"";

/// Reads `alternatives` of the registry that `pattern` matches.
pub(super) fn read(walk: &mut Walk, node: &Node, pattern: &str) -> Vec<Alternative> {
    let mend = format!("write a map from paths to repositories, as in `{EXAMPLE}`");
    if matches!(&node.value, Value::Map(map) if map.is_empty()) {
        walk.fault(node.position, RuleId::Value, "`alternatives` is an empty map", &mend);
    }
    let entries = walk.entries(node, "`alternatives`", &mend).unwrap_or_default();
    entries.into_iter().filter_map(|(key, node)| alternative(walk, key, node, pattern)).collect()
}

fn alternative(walk: &mut Walk, key: Key, node: &Node, pattern: &str) -> Option<Alternative> {
    let host = pattern.split('/').next().unwrap_or(pattern);
    let paths = check_paths(key.text, host);
    if let Err((message, mend)) = &paths {
        walk.fault(key.position, RuleId::Alternative, message, mend);
    }
    let to = walk.text(node, "an alternative")?;
    let checked = check_to(to, host).and_then(|()| match (key.text.contains('*'), to.contains('*')) {
        (true, false) => Err((format!("`{}` has a `*`, and `{to}` has none", key.text), BOTH.to_owned())),
        (false, true) => Err((format!("`{to}` has a `*`, and `{}` has none", key.text), BOTH.to_owned())),
        _ => Ok(()),
    });
    if let Err((message, mend)) = &checked {
        walk.fault(node.position, RuleId::Alternative, message, mend);
    }
    (paths.is_ok() && checked.is_ok()).then(|| Alternative { paths: key.text.to_owned(), to: to.to_owned() })
}

const BOTH: &str = "write one `*` on both sides, or on neither";

/// What is wrong, and how to mend it.
type Wrong = (String, String);

/// The text with something for its `*`, of which there is at most one.
fn example(text: &str) -> Result<String, Wrong> {
    match text.matches('*').count() {
        0 | 1 => Ok(text.replace('*', "x")),
        _ => Err((format!("`{text}` has more than one `*`"), BOTH.to_owned())),
    }
}

/// Paths are those at the registry, whatever prefix its settings are for.
fn check_paths(text: &str, host: &str) -> Result<(), Wrong> {
    let example = example(text)?;
    if let Some(path) = text.strip_prefix(host).and_then(|rest| rest.strip_prefix('/')) {
        return Err((format!("`{text}` begins with the registry"), format!("write its path alone: `{path}`")));
    }
    let hub = Host::docker_hub();
    // There a name alone stands for another path.
    if hub.as_str() == host && !text.contains(['/', '*']) {
        return Err((format!("no path at Docker Hub is `{text}`"), format!("write `library/{text}`")));
    }
    let repository = Repository::new(hub, &example);
    let wrong = |error| (format!("`{text}` is no path: {error}"), format!("write it as in `{EXAMPLE}`"));
    repository.map(drop).map_err(wrong)
}

fn check_to(text: &str, host: &str) -> Result<(), Wrong> {
    let example = example(text)?;
    let (own, path) = example.split_once('/').unwrap_or((&example, ""));
    if path.is_empty() || !(own == "localhost" || own.contains(['.', ':', '['])) {
        let mend = format!("write it with its registry, as in `{EXAMPLE}`");
        return Err((format!("`{text}` is no repository in full"), mend));
    }
    if text.split('/').next().is_some_and(|own| own.contains('*')) {
        return Err((format!("the `*` of `{text}` stands in its registry"), "write it in the path".to_owned()));
    }
    let repository: Repository = match example.parse() {
        Ok(repository) => repository,
        Err(_) if example.parse::<ImageRef>().is_ok() => {
            return Err((format!("`{text}` names one image"), "leave out tag and digest".to_owned()));
        }
        Err(error) => {
            return Err((format!("`{text}` is no repository: {error}"), format!("write it as in `{EXAMPLE}`")));
        }
    };
    if is_at(host, &repository) {
        let message = format!("`{text}` is at the registry itself");
        return Err((message, "name a repository at another registry, or leave it out".to_owned()));
    }
    Ok(())
}

/// Whether the repository is at a registry that `host` matches.
fn is_at(host: &str, repository: &Repository) -> bool {
    let settings = RegistrySettings { pattern: host.to_owned(), ..RegistrySettings::default() };
    let access = Access { network: Network::default(), registries: vec![settings] };
    access.settings(repository).is_some()
}
