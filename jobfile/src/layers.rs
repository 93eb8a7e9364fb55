//! Settings of images in layers: what a group says goes before `defaults`, and what an image says before both.

use std::collections::BTreeSet;
use std::rc::Rc;

use proto::content::{IndexForm, ReferrerKind, Referrers};
use proto::{Kind, Platform};

use crate::destinations::Destinations;
use crate::fault::{Place, RuleId};
use crate::job::Setting;
use crate::keys::{self, EXPECT_MAX};
use crate::rules::{Rules, TagSets};
use crate::template::Template;
use crate::tree::{Node, Value};
use crate::walk::{Fields, Walk, closest, list};

/// A value, as it was written, and where.
#[derive(Debug, Clone)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) text: Rc<str>,
    pub(crate) place: Place,
}

/// What one layer says, or several one over the other. What is a map in the file is a value for each of its keys here,
/// because maps merge by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    pub(crate) to: Option<Given<Rc<[Rc<Template>]>>>,
    pub(crate) tags: Option<Given<Rc<Rules>>>,
    pub(crate) owner: Option<Given<Rc<str>>>,
    pub(crate) kind: Option<Given<Kind>>,
    /// None are all of them.
    pub(crate) platforms: Option<Given<Option<Rc<BTreeSet<Platform>>>>>,
    pub(crate) index: Option<Given<IndexForm>>,
    pub(crate) referrers: Option<Given<Referrers>>,
    pub(crate) expect_min: Option<Given<u32>>,
    pub(crate) expect_max: Option<Given<u32>>,
}

/// What is needed to read a layer.
#[derive(Clone, Copy)]
pub(crate) struct Names<'n> {
    pub(crate) destinations: &'n Destinations,
    pub(crate) sets: &'n TagSets,
    /// The only destinations that may be named, where there is such a limit.
    pub(crate) may_use: Option<&'n BTreeSet<String>>,
}

impl Given<Rc<Rules>> {
    /// Tags that are asked for by name at `place`.
    pub(crate) fn tags(rules: Rules, place: Place) -> Self {
        let tags = rules.exact().map(|(tag, digest)| match digest {
            Some(digest) => format!("{tag}@{digest}"),
            None => tag.to_string(),
        });
        let text = format!("[{}]", tags.collect::<Vec<_>>().join(", ")).into();
        Self { value: Rc::new(rules), text, place }
    }
}

impl Layer {
    /// Reads the settings among `fields`.
    pub(crate) fn read(walk: &mut Walk, fields: &Fields, names: Names) -> Self {
        let mut layer = Self::default();
        if let Some(node) = fields.get("to") {
            layer.to = Some(Self::to(walk, node, names));
        }
        if let Some(node) = fields.get("tags") {
            layer.tags = Some(Self::tags(walk, node, names));
        }
        if let Some(node) = fields.get("owner") {
            layer.owner = walk.words(node, "`owner`").map(|owner| given(walk, node, owner.into()));
        }
        if let Some(node) = fields.get("kind") {
            layer.kind = word(walk, node, "`kind`", Kind::ALL, Kind::as_str).map(|kind| given(walk, node, kind));
        }
        if let Some(node) = fields.get("platforms") {
            layer.read_platforms(walk, node);
        }
        if let Some(node) = fields.get("referrers") {
            layer.referrers = referrers(walk, node).map(|referrers| given(walk, node, referrers));
        }
        if let Some(fields) = fields.get("expect").and_then(|node| walk.filled(node, &keys::EXPECT)) {
            layer.expect_min = bound(walk, &fields, "min");
            layer.expect_max = bound(walk, &fields, "max");
        }
        layer
    }

    /// Reads a value of `to`.
    pub(crate) fn to(walk: &mut Walk, node: &Node, names: Names) -> Given<Rc<[Rc<Template>]>> {
        let templates = names.destinations.to(walk, node, names.may_use);
        given(walk, node, templates.into())
    }

    /// Reads a selection of tags.
    pub(crate) fn tags(walk: &mut Walk, node: &Node, names: Names) -> Given<Rc<Rules>> {
        let rules = Rules::read(walk, node, names.sets);
        given(walk, node, Rc::new(rules))
    }

    /// `all` says something of the index too: nothing that was said of it below holds.
    fn read_platforms(&mut self, walk: &mut Walk, node: &Node) {
        let Value::Map(_) = &node.value else {
            let mend = "write `all`, or `{ only: [linux/amd64], index: rewrite }`";
            match walk.text(node, "`platforms`") {
                Some("all") => self.platforms = Some(given(walk, node, None)),
                Some(text) => walk.fault(node.position, RuleId::Value, format!("`{text}` is no `platforms`"), mend),
                None => {}
            }
            return;
        };
        let Some(fields) = walk.filled(node, &keys::PLATFORMS) else { return };
        if let Some(node) = fields.get("only") {
            let nodes = walk.one_or_more(node, "`only`");
            let platforms = nodes.iter().filter_map(|node| platform(walk, node)).collect();
            self.platforms = Some(given(walk, node, Some(Rc::new(platforms))));
        }
        if let Some((key, node)) = fields.entry("index") {
            let form = word(walk, node, "`index`", IndexForm::ALL, IndexForm::as_str);
            if form == Some(IndexForm::Rewrite) {
                let message = "a rewritten index has a new digest, which no signature of the source fits";
                walk.warn(key.position, RuleId::NewDigest, message, "keep `platforms: all`, or expect it");
            }
            self.index = form.map(|form| given(walk, node, form));
        }
    }

    /// These settings, and those of `below` where these say nothing.
    pub(crate) fn over(self, below: &Self) -> Self {
        let says_all = matches!(&self.platforms, Some(Given { value: None, .. }));
        Self {
            to: self.to.or_else(|| below.to.clone()),
            tags: self.tags.or_else(|| below.tags.clone()),
            owner: self.owner.or_else(|| below.owner.clone()),
            kind: self.kind.or_else(|| below.kind.clone()),
            platforms: self.platforms.or_else(|| below.platforms.clone()),
            index: self.index.or_else(|| below.index.clone().filter(|_| !says_all)),
            referrers: self.referrers.or_else(|| below.referrers.clone()),
            expect_min: self.expect_min.or_else(|| below.expect_min.clone()),
            expect_max: self.expect_max.or_else(|| below.expect_max.clone()),
        }
    }

    /// All that is in force, and what this program does where nothing is said.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let settings = [
            setting("to", self.to.as_ref(), None),
            setting("tags", self.tags.as_ref(), None),
            setting("owner", self.owner.as_ref(), None),
            setting("kind", self.kind.as_ref(), Some("image")),
            setting("platforms", self.platforms.as_ref(), Some("all")),
            setting("platforms.index", self.index.as_ref(), None),
            setting("referrers", self.referrers.as_ref(), Some("all")),
            setting("expect.min", self.expect_min.as_ref(), None),
            setting("expect.max", self.expect_max.as_ref(), None),
        ];
        settings.into_iter().flatten().collect()
    }
}

fn setting<T>(key: &'static str, given: Option<&Given<T>>, usual: Option<&str>) -> Option<Setting> {
    match given {
        Some(Given { text, place, .. }) => Some(Setting { key, value: text.to_string(), place: Some(place.clone()) }),
        None => usual.map(|usual| Setting { key, value: usual.to_owned(), place: None }),
    }
}

fn given<T>(walk: &Walk, node: &Node, value: T) -> Given<T> {
    Given { value, text: node.to_string().into(), place: walk.place(node.position) }
}

fn platform(walk: &mut Walk, node: &Node) -> Option<Platform> {
    let text = walk.text(node, "a platform")?;
    let platform = text.parse().ok();
    if platform.is_none() {
        let message = format!("`{text}` is no platform");
        walk.fault(node.position, RuleId::Value, message, "write `OS/ARCHITECTURE`, as in `linux/amd64`");
    }
    platform
}

fn referrers(walk: &mut Walk, node: &Node) -> Option<Referrers> {
    if let Value::Map(_) = &node.value {
        let fields = walk.filled(node, &keys::REFERRERS)?;
        let only = fields.get("only")?;
        let nodes = walk.one_or_more(only, "`only`");
        let kind = |node| word(walk, node, "a kind of referrer", ReferrerKind::ALL, ReferrerKind::as_str);
        return Some(Referrers::Only(nodes.iter().filter_map(kind).collect()));
    }
    match walk.text(node, "`referrers`")? {
        "all" => Some(Referrers::All),
        "none" => Some(Referrers::None),
        text => {
            let message = format!("`{text}` is no `referrers`");
            walk.fault(node.position, RuleId::Value, message, "write `all`, `none` or `{ only: [signature] }`");
            None
        }
    }
}

/// One of the values of an enum, by its name.
pub(crate) fn word<T: Copy>(
    walk: &mut Walk,
    node: &Node,
    what: &str,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Option<T> {
    let text = walk.text(node, what)?;
    let found = all.iter().copied().find(|value| name(*value) == text);
    if found.is_none() {
        let names: Vec<_> = all.iter().map(|value| name(*value)).collect();
        let mend = match closest(text, &names) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("write one of {}", list(&names)),
        };
        walk.fault(node.position, RuleId::Value, format!("`{text}` is not a value of {what}"), mend);
    }
    found
}

fn bound(walk: &mut Walk, fields: &Fields, key: &str) -> Option<Given<u32>> {
    let node = fields.get(key)?;
    walk.number(node, &format!("`{key}`"), 0..=EXPECT_MAX).map(|number| given(walk, node, number))
}
