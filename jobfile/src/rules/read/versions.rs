//! Reads a rule about versions from its map.

use crate::fault::RuleId;
use crate::keys;
use crate::rules::newest::{Limits, Newest};
use crate::rules::rule::{Rule, glob, is_glob, regex};
use crate::rules::versions::{Variant, VersionRule, Versions};
use crate::tree::{Node, Value};
use crate::version::{Range, Scheme};
use crate::walk::{Fields, Walk};

/// Most versions that `newest` can ask for: a registry has less.
pub(crate) const NEWEST_MAX: u32 = 10_000;

/// Reads a map; what is wrong with it is noted.
pub(super) fn read(walk: &mut Walk, node: &Node) -> Option<Rule> {
    let fields = walk.fields(node, &keys::RULE)?;
    let before = walk.faults.len();
    let newest = fields.get("newest").map(|node| newest(walk, node)).unwrap_or_default();
    let versions = match (fields.get("versions"), fields.get("pattern")) {
        (Some(versions), None) => range(walk, &fields, versions),
        (None, Some(pattern)) => self::pattern(walk, &fields, pattern, &newest),
        (Some(_), Some(pattern)) => {
            let message = "a rule for tags has `versions` and `pattern`";
            walk.fault(pattern.position, RuleId::Value, message, "leave out one of both");
            None
        }
        (None, None) => {
            let mend = "write which, as in `versions: \">=0\"`";
            walk.fault(fields.position, RuleId::MissingKey, "a rule for tags has no `versions` and no `pattern`", mend);
            None
        }
    };
    let variants = match fields.get("variants") {
        Some(node) => {
            let items = walk.one_or_more(node, "`variants`");
            items.iter().filter_map(|node| variant(walk, node)).collect()
        }
        None => vec![Variant::Name(String::new())],
    };
    let mut flag = |key: &str| fields.get(key).is_some_and(|node| walk.flag(node, &format!("`{key}`")));
    let (pre_releases, aliases) = (flag("pre_releases"), flag("aliases"));
    if walk.faults.len() > before {
        return None;
    }
    let rule = VersionRule { versions: versions?, variants, pre_releases, aliases, newest };
    Some(Rule::of_map(text(&fields, &rule), rule))
}

fn range(walk: &mut Walk, fields: &Fields, node: &Node) -> Option<Versions> {
    let scheme = match fields.get("scheme") {
        None => Scheme::Versions,
        Some(node) => match walk.text(node, "`scheme`")? {
            "date" => Scheme::Dates,
            other => {
                let mend = "write `date`, or leave it out for versions";
                walk.fault(node.position, RuleId::Value, format!("`{other}` is no scheme"), mend);
                return None;
            }
        },
    };
    let text = walk.text(node, "`versions`")?;
    let read = Range::read(text, scheme).map_err(|why| {
        let mend = match scheme {
            Scheme::Versions => "write numbers, as in `>=1.20 <2`; for dates write `scheme: date` beside it",
            Scheme::Dates => "write dates, as in `>=2025.06 <2026`",
        };
        walk.fault(node.position, RuleId::TagRule, format!("`{text}` is no range: {why}"), mend);
    });
    read.ok().map(|range| Versions::Range(range, scheme))
}

fn pattern(walk: &mut Walk, fields: &Fields, node: &Node, newest: &Newest) -> Option<Versions> {
    for key in ["variants", "pre_releases", "aliases", "scheme"] {
        if let Some(node) = fields.get(key) {
            let message = format!("`{key}` means nothing beside `pattern`");
            walk.fault(node.position, RuleId::Value, message, "leave it out: the pattern says which tags are meant");
        }
    }
    let text = walk.text(node, "`pattern`")?;
    // Alone it must be right too, so that it cannot close the group that makes it match the whole tag.
    let read = regex(text).and_then(|_| regex(&format!("^(?:{text})$")));
    match read {
        Ok(regex) if matches!(newest, Newest::ByTime(_)) => Some(Versions::Pattern(regex)),
        Ok(regex) if regex.capture_names().flatten().any(|name| name == "version") => Some(Versions::Pattern(regex)),
        Ok(_) => {
            let mend = "write which part is the version, as in `v(?<version>[0-9.]+)`";
            walk.fault(node.position, RuleId::TagRule, format!("`{text}` has no group `version`"), mend);
            None
        }
        Err(why) => {
            walk.fault(node.position, RuleId::TagRule, format!("`{text}` is no regex: {why}"), "correct the regex");
            None
        }
    }
}

/// The name of a variant, or a glob; empty for the plain one.
fn variant(walk: &mut Walk, node: &Node) -> Option<Variant> {
    let text = match &node.value {
        Value::Text(text) => text,
        _ => walk.text(node, "a variant")?,
    };
    let result = match text {
        _ if text.starts_with(['-', '_', '.']) => Err((
            "a variant begins after what separates it from the version".to_owned(),
            "leave out the first character",
        )),
        _ if is_glob(text) => glob(text).map(Variant::Glob),
        _ => match text.chars().find(|c| !c.is_ascii_alphanumeric() && !"_.-".contains(*c)) {
            Some(other) => Err((format!("`{other}` is in no tag"), "write it as in a tag, as in `alpine3.22`")),
            None => Ok(Variant::Name(text.to_owned())),
        },
    };
    let fault = |(why, mend): (String, &str)| {
        walk.fault(node.position, RuleId::TagRule, format!("`{text}` is no variant: {why}"), mend);
    };
    result.map_err(fault).ok()
}

fn newest(walk: &mut Walk, node: &Node) -> Newest {
    let Some(fields) = walk.fields(node, &keys::NEWEST) else { return Newest::default() };
    let mut number = |key: &str| walk.number(fields.get(key)?, &format!("`{key}`"), 1..=NEWEST_MAX);
    let limits = Limits {
        majors: number("majors"),
        minors: number("minors"),
        patches: number("patches"),
        count: number("count"),
    };
    let by_time = fields.get("by").is_some_and(|node| by_time(walk, node));
    let is_by = |(key, _): &(Node, Node)| matches!(&key.value, Value::Text(text) if text == "by");
    if matches!(&node.value, Value::Map(map) if map.iter().all(is_by)) {
        let mend = "write how many, as in `newest: { minors: 3, patches: 2 }`";
        walk.fault(node.position, RuleId::Value, "`newest` limits nothing", mend);
    }
    if !by_time {
        return Newest::ByVersion(limits);
    }
    for (key, _) in fields.entries().filter(|(key, _)| !matches!(key.text, "by" | "count")) {
        let message = format!("`{}` means nothing beside `by: time`", key.text);
        walk.fault(
            key.position,
            RuleId::Value,
            message,
            "write `count` alone: times have no majors, minors or patches",
        );
    }
    // Without a count there is a fault.
    Newest::ByTime(limits.count.unwrap_or(NEWEST_MAX))
}

fn by_time(walk: &mut Walk, node: &Node) -> bool {
    match walk.text(node, "`by`") {
        Some("time") => true,
        Some("version") | None => false,
        Some(other) => {
            let message = format!("`{other}` is nothing by which tags are compared");
            walk.fault(node.position, RuleId::Value, message, "write `time`, or leave it out for versions");
            false
        }
    }
}

/// The rule on one line, its keys in one order, without those that say what holds anyway.
fn text(fields: &Fields, rule: &VersionRule) -> String {
    let mut parts = Vec::new();
    for key in ["versions", "pattern"] {
        if let Some(Node { value: Value::Text(text), .. }) = fields.get(key) {
            parts.push(format!("{key}: \"{text}\""));
        }
    }
    if fields.get("scheme").is_some() {
        parts.push("scheme: date".to_owned());
    }
    if fields.get("variants").is_some() {
        let names = rule.variants.iter().map(|variant| format!("\"{}\"", variant.text()));
        parts.push(format!("variants: [{}]", names.collect::<Vec<_>>().join(", ")));
    }
    for (key, is_set) in [("pre_releases", rule.pre_releases), ("aliases", rule.aliases)] {
        if is_set {
            parts.push(format!("{key}: true"));
        }
    }
    let limits = match &rule.newest {
        Newest::ByTime(count) => format!("count: {count}, by: time"),
        Newest::ByVersion(Limits { majors, minors, patches, count }) => {
            let limits = [("majors", majors), ("minors", minors), ("patches", patches), ("count", count)];
            let limits = limits.into_iter().filter_map(|(key, limit)| Some(format!("{key}: {}", (*limit)?)));
            limits.collect::<Vec<_>>().join(", ")
        }
    };
    if !limits.is_empty() {
        parts.push(format!("newest: {{ {limits} }}"));
    }
    format!("{{ {} }}", parts.join(", "))
}
