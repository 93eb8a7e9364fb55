//! `auth`, and secrets: where they are, and never what they are.

use proto::settings::{Auth, Secret};

use crate::fault::RuleId;
use crate::keys::{self, Table};
use crate::tree::{Node, Value};
use crate::walk::{Fields, Walk, list};

const MEND: &str = "write `anonymous`, `aws`, `azure`, `gcp`, `{ username: …, password: { env: NAME } }` or \
                    `{ github_app: { id: …, key: { file: PATH } } }`";

/// Reads `auth`. What stands there instead is not repeated: it may be a secret.
pub(super) fn read(walk: &mut Walk, node: &Node) -> Auth {
    if let Value::Text(text) = &node.value {
        return match text.as_str() {
            "anonymous" => Auth::Anonymous,
            "aws" => Auth::Aws,
            "azure" => Auth::Azure,
            "gcp" => Auth::Gcp,
            _ => {
                let message = format!("`auth` is a text other than {}", list(keys::IDENTITIES));
                walk.fault(node.position, RuleId::Value, message, MEND);
                Auth::Ambient
            }
        };
    }
    let Some(fields) = walk.fields(node, &keys::AUTH) else { return Auth::Ambient };
    let Some((key, app)) = fields.entry("github_app") else { return basic(walk, &fields) };
    if fields.entries().count() > 1 {
        let message = "`auth` has `github_app` and other keys";
        walk.fault(key.position, RuleId::Value, message, "leave out one or the other");
    }
    github_app(walk, app).unwrap_or_default()
}

fn basic(walk: &mut Walk, fields: &Fields) -> Auth {
    let username = fields.get("username").map(|node| walk.text(node, "`username`"));
    let password = fields.get("password").map(|node| secret(walk, node, &keys::PASSWORD));
    for (missing, key) in [(username.is_none(), "username"), (password.is_none(), "password")] {
        if missing {
            walk.fault(fields.position, RuleId::MissingKey, format!("`auth` has no `{key}`"), MEND);
        }
    }
    match (username.flatten(), password.flatten()) {
        (Some(username), Some(password)) => Auth::Basic { username: username.to_owned(), password },
        _ => Auth::Ambient,
    }
}

fn github_app(walk: &mut Walk, node: &Node) -> Option<Auth> {
    let fields = walk.fields(node, &keys::GITHUB_APP)?;
    let id = fields.get("id").and_then(|node| walk.number(node, "`id`", 1..=u32::MAX));
    let key = fields.get("key").and_then(|node| secret(walk, node, &keys::PRIVATE_KEY));
    for name in ["id", "key"].into_iter().filter(|name| fields.get(name).is_none()) {
        let mend = "write `github_app: { id: 4711, key: { file: PATH } }`";
        walk.fault(fields.position, RuleId::MissingKey, format!("`github_app` has no `{name}`"), mend);
    }
    Some(Auth::GithubApp { id: id?.into(), key: key? })
}

/// A secret is only ever `{ env | file | helper }`. What stands there instead is not repeated: it may be the secret.
pub(super) fn secret(walk: &mut Walk, node: &Node, table: &'static Table) -> Option<Secret> {
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
