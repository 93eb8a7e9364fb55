//! `registries` and `network`: how to reach registries, without any secret.

mod alternatives;
mod auth;
mod limits;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proto::settings::{Access, Auth, ClientCertificate, Limits, Network, RegistrySettings, Tls, Trick};
use proto::{Host, Repository};

use crate::fault::{Place, RuleId};
use crate::keys;
use crate::tree::Node;
use crate::walk::{Key, Walk, closest, is_path_part, list};

use auth::secret;

pub(crate) use limits::{CONCURRENCY_MAX, PULLS_MAX, RATE_MAX};

/// What the file says of registries.
#[derive(Default)]
pub(crate) struct Registries {
    pub(crate) access: Access,
    /// The `name` of some, by their pattern.
    names: BTreeMap<String, String>,
    /// Where each pattern stands.
    places: BTreeMap<String, Place>,
    /// What the file says of each, for people.
    texts: BTreeMap<String, String>,
}

impl Registries {
    /// What `{registry}` stands for, if it was given a name.
    pub(crate) fn name(&self, repository: &Repository) -> Option<&str> {
        let settings = self.access.settings(repository)?;
        self.names.get(&settings.pattern).map(String::as_str)
    }

    /// The settings for `repository` as the file says them, and where.
    pub(crate) fn written(&self, repository: &Repository) -> Option<(&str, &Place)> {
        let pattern = &self.access.settings(repository)?.pattern;
        Some((self.texts.get(pattern)?, self.places.get(pattern)?))
    }

    /// Patterns that match none of `repositories`, and none of what is an alternative of one.
    pub(crate) fn unused<'r>(&self, repositories: impl Iterator<Item = &'r Repository>) -> Vec<(&str, &Place)> {
        let mut used = BTreeSet::new();
        for (repository, settings) in repositories.filter_map(|found| Some((found, self.access.settings(found)?))) {
            used.insert(settings.pattern.as_str());
            let others = settings.alternatives.iter().filter_map(|alternative| alternative.of(repository));
            used.extend(others.filter_map(|other| Some(self.access.settings(&other)?.pattern.as_str())));
        }
        let unused = self.places.iter().filter(|(pattern, _)| !used.contains(pattern.as_str()));
        unused.map(|(pattern, place)| (pattern.as_str(), place)).collect()
    }

    /// Reads `registries` of a file, beside those of others.
    pub(crate) fn read(&mut self, walk: &mut Walk, node: &Node) {
        let mend = "write a map of registries, as in `quay.io: { name: quay }`";
        for (key, node) in walk.entries(node, "`registries`", mend).unwrap_or_default() {
            self.registry(walk, key, node);
        }
    }

    fn registry(&mut self, walk: &mut Walk, key: Key, node: &Node) {
        let Some(pattern) = pattern(key.text) else {
            let message = format!("`{}` is no registry", key.text);
            let mend = "write `host`, `host:port` or `host/prefix`; `*` stands for any characters but `/`";
            return walk.fault(key.position, RuleId::Value, message, mend);
        };
        if let Some(other) = self.places.get(&pattern) {
            return walk.defined_twice(key.position, &format!("`{}`", key.text), other);
        }
        self.places.insert(pattern.clone(), walk.place(key.position));
        self.texts.insert(pattern.clone(), format!("{pattern}: {node}"));
        let Some(fields) = walk.fields(node, &keys::REGISTRY) else { return };
        if let Some((node, name)) = fields.get("name").and_then(|n| Some((n, walk.text(n, "`name`")?))) {
            // Within a template it becomes one part of a path.
            if is_path_part(name) {
                self.names.insert(pattern.clone(), name.to_owned());
            } else {
                let message = format!("`{name}` cannot be part of a repository's path");
                walk.fault(node.position, RuleId::Value, message, "write lower-case letters and digits");
            }
        }
        let plain_http = fields.get("plain_http").is_some_and(|node| walk.flag(node, "`plain_http`"));
        if let Some(node) = fields.get("tls").filter(|_| plain_http) {
            let message = "`tls` has no meaning beside `plain_http: true`";
            walk.fault(node.position, RuleId::Value, message, "leave out one of both");
        }
        let alternatives = fields.get("alternatives").map(|node| alternatives::read(walk, node, &pattern));
        self.access.registries.push(RegistrySettings {
            pattern,
            auth: fields.get("auth").map_or(Auth::Ambient, |node| auth::read(walk, node)),
            tls: fields.get("tls").map_or_else(Tls::default, |node| tls(walk, node)),
            plain_http,
            limits: fields.get("limits").map_or_else(Limits::default, |node| limits::read(walk, node)),
            without: fields.get("without").map(|node| without(walk, node)).unwrap_or_default(),
            alternatives: alternatives.unwrap_or_default(),
        });
    }
}

/// The pattern as it is matched; none if the text can match no repository.
fn pattern(text: &str) -> Option<String> {
    let (host, prefix) = text.split_once('/').map_or((text, None), |(host, prefix)| (host, Some(prefix)));
    // Without any of these, no reference has it as its host.
    if !host.contains(['.', ':', '*', '[']) && host != "localhost" {
        return None;
    }
    let example = |text: &str| text.replace('*', "x");
    let plain = example(host).parse::<Host>().ok()?;
    let host = if host.contains('*') { host.to_ascii_lowercase() } else { plain.to_string() };
    let Some(prefix) = prefix else { return Some(host) };
    Repository::new(plain, &example(prefix)).ok()?;
    Some(format!("{host}/{prefix}"))
}

/// Reads `without`.
fn without(walk: &mut Walk, node: &Node) -> BTreeSet<Trick> {
    let items = walk.one_or_more(node, "`without`");
    items.iter().filter_map(|node| trick(walk, node)).collect()
}

fn trick(walk: &mut Walk, node: &Node) -> Option<Trick> {
    let text = walk.text(node, "a value of `without`")?;
    let found = Trick::ALL.into_iter().find(|trick| trick.as_str() == text);
    if found.is_none() {
        let mend = match closest(text, keys::TRICKS) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("known are {}", list(keys::TRICKS)),
        };
        walk.fault(node.position, RuleId::Value, format!("`{text}` is nothing that can be left out"), mend);
    }
    found
}

fn tls(walk: &mut Walk, node: &Node) -> Tls {
    let Some(fields) = walk.filled(node, &keys::TLS) else { return Tls::default() };
    let skip_verify = fields.get("skip_verify").is_some_and(|node| walk.flag(node, "`skip_verify`"));
    if skip_verify {
        let mend = "name the registry's own authority by `ca_file`";
        walk.warn(fields.position, RuleId::UnsafeTls, "`skip_verify` trusts any server", mend);
    }
    Tls {
        ca_file: fields.get("ca_file").and_then(|node| walk.path(node, "`ca_file`")),
        client: fields.get("client").and_then(|node| client(walk, node)),
        skip_verify,
    }
}

fn client(walk: &mut Walk, node: &Node) -> Option<ClientCertificate> {
    let fields = walk.fields(node, &keys::CLIENT)?;
    let certificate = fields.get("certificate").and_then(|node| walk.path(node, "`certificate`"));
    let key = fields.get("key").and_then(|node| secret(walk, node, &keys::PRIVATE_KEY));
    for name in ["certificate", "key"].into_iter().filter(|name| fields.get(name).is_none()) {
        let mend = "write `client: { certificate: PATH, key: { file: PATH } }`";
        walk.fault(fields.position, RuleId::MissingKey, format!("`client` has no `{name}`"), mend);
    }
    Some(ClientCertificate { certificate: certificate?, key: key? })
}

/// Reads `network`.
pub(crate) fn network(walk: &mut Walk, node: &Node) -> Network {
    let Some(fields) = walk.fields(node, &keys::NETWORK) else { return Network::default() };
    let direct = fields.get("direct").map_or(&[][..], |node| walk.one_or_more(node, "`direct`"));
    Network {
        proxy: fields.get("proxy").and_then(|node| proxy(walk, node)),
        direct: direct.iter().filter_map(|node| self::direct(walk, node)).collect(),
        ca_file: fields.get("ca_file").and_then(|node| walk.path(node, "`ca_file`")),
    }
}

fn proxy(walk: &mut Walk, node: &Node) -> Option<String> {
    let text = walk.text(node, "`proxy`")?;
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if text.contains('@') {
        let message = "`proxy` holds credentials in clear text";
        walk.fault(node.position, RuleId::ClearSecret, message, "leave them out, and change the secret");
        return None;
    }
    if host.is_none_or(|host| host.trim_end_matches('/').parse::<Host>().is_err()) {
        walk.fault(
            node.position,
            RuleId::Value,
            "`proxy` is no URL of a proxy",
            "write `http://HOST:PORT` or `https://HOST:PORT`",
        );
        return None;
    }
    Some(text.to_owned())
}

fn direct(walk: &mut Walk, node: &Node) -> Option<String> {
    let text = walk.text(node, "a value of `direct`")?;
    let is_network = text.split_once('/').is_some_and(|(address, bits)| {
        let bits_max = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let address = address.parse::<IpAddr>();
        address.is_ok_and(|address| bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max(address)))
    });
    let is_host = text.strip_prefix('.').unwrap_or(text).parse::<Host>().is_ok();
    if is_network || is_host || text.parse::<IpAddr>().is_ok() {
        return Some(text.to_owned());
    }
    let message = format!("`{text}` is neither host nor network");
    walk.fault(node.position, RuleId::Value, message, "write `host`, `.domain` or `10.0.0.0/8`");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trick_can_be_left_out() {
        assert_eq!(Trick::ALL.map(Trick::as_str), keys::TRICKS);
    }
}
