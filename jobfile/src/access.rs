//! `registries` and `network`: how to reach registries, without any secret.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proto::settings::{Access, Auth, ClientCertificate, Limits, Network, RegistrySettings, Secret, Tls};
use proto::{Host, Repository};

use crate::fault::{Place, RuleId};
use crate::keys::{self, Table};
use crate::tree::{Node, Value};
use crate::walk::{Key, Walk, is_path_part, list};

/// Most requests at once that may be asked for: one process has not many more connections to give.
pub(crate) const CONCURRENCY_MAX: u32 = 1_000;

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

    /// Patterns that match none of `repositories`.
    pub(crate) fn unused<'r>(&self, repositories: impl Iterator<Item = &'r Repository>) -> Vec<(&str, &Place)> {
        let settings = repositories.filter_map(|repository| self.access.settings(repository));
        let used: BTreeSet<&str> = settings.map(|settings| settings.pattern.as_str()).collect();
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
        let limits = fields.get("limits").and_then(|node| walk.filled(node, &keys::LIMITS));
        let concurrency = limits.and_then(|limits| limits.get("concurrency"));
        let plain_http = fields.get("plain_http").is_some_and(|node| walk.flag(node, "`plain_http`"));
        if let Some(node) = fields.get("tls").filter(|_| plain_http) {
            let message = "`tls` has no meaning beside `plain_http: true`";
            walk.fault(node.position, RuleId::Value, message, "leave out one of both");
        }
        let concurrency = concurrency.and_then(|node| walk.number(node, "`concurrency`", 1..=CONCURRENCY_MAX));
        self.access.registries.push(RegistrySettings {
            pattern,
            auth: fields.get("auth").map_or(Auth::Ambient, |node| auth(walk, node)),
            tls: fields.get("tls").map_or_else(Tls::default, |node| tls(walk, node)),
            plain_http,
            limits: Limits { concurrency, ..Limits::default() },
            ..RegistrySettings::default()
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

fn auth(walk: &mut Walk, node: &Node) -> Auth {
    let mend = "write `anonymous` or `{ username: …, password: { env: NAME } }`";
    if let Value::Text(text) = &node.value {
        if text != "anonymous" {
            walk.fault(node.position, RuleId::Value, "`auth` is a text other than `anonymous`", mend);
        }
        return Auth::Anonymous;
    }
    let Some(fields) = walk.fields(node, &keys::AUTH) else { return Auth::Ambient };
    let username = fields.get("username").map(|node| walk.text(node, "`username`"));
    let password = fields.get("password").map(|node| secret(walk, node, &keys::PASSWORD));
    for (missing, key) in [(username.is_none(), "username"), (password.is_none(), "password")] {
        if missing {
            walk.fault(fields.position, RuleId::MissingKey, format!("`auth` has no `{key}`"), mend);
        }
    }
    match (username.flatten(), password.flatten()) {
        (Some(username), Some(password)) => Auth::Basic { username: username.to_owned(), password },
        _ => Auth::Ambient,
    }
}

/// A secret is only ever `{ env | file | helper }`. What stands there instead is not repeated: it may be the secret.
fn secret(walk: &mut Walk, node: &Node, table: &'static Table) -> Option<Secret> {
    let what = table.what;
    let mend = "write `{ env: NAME }`, `{ file: PATH }` or `{ helper: NAME }`";
    if matches!(node.value, Value::Text(_) | Value::Typed(..)) {
        let message = format!("{what} stands in the file in clear text");
        walk.fault(node.position, RuleId::ClearSecret, message, format!("{mend}, and change the secret"));
        return None;
    }
    let is_known = |key: &Node| matches!(&key.value, Value::Text(text) if table.has(text));
    // To YAML `{hunter2}` is a map, and the secret its key.
    if matches!(&node.value, Value::Map(map) if !map.iter().all(|(key, _)| is_known(key))) {
        let message = format!("{what} has a key other than {}", list(&table.names()));
        walk.fault(node.position, RuleId::UnknownKey, message, mend);
        return None;
    }
    let fields = walk.fields(node, table)?;
    match (fields.get("env"), fields.get("file"), fields.get("helper")) {
        (Some(node), None, None) => variable(walk, node).map(Secret::Env),
        (None, Some(node), None) => walk.path(node, "`file`").map(Secret::File),
        (None, None, Some(node)) => walk.text(node, "`helper`").map(|name| Secret::Helper(name.to_owned())),
        _ => {
            walk.fault(node.position, RuleId::Value, format!("{what} does not name exactly one place"), mend);
            None
        }
    }
}

fn variable(walk: &mut Walk, node: &Node) -> Option<String> {
    let name = walk.text(node, "`env`")?;
    if name.contains(|c: char| "${}%=".contains(c) || c.is_whitespace()) {
        let message = "the value of `env` is no name of an environment variable";
        walk.fault(node.position, RuleId::Value, message, "write the name alone, as in `HUB_PAT`");
        return None;
    }
    Some(name.to_owned())
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
