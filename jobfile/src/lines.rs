//! What the settings in force mean for one repository: its line.

use std::collections::BTreeSet;

use proto::content::Platforms;
use proto::{Content, Kind};

use crate::access::Registries;
use crate::fault::{Place, RuleId};
use crate::job::{Expect, Line, Setting};
use crate::layers::{Given, Layer};
use crate::rules::Rules;
use crate::template::{Filling, RepositoryLocation};
use crate::walk::Walk;

/// Where a repository is named, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Named<'n> {
    pub(crate) source: &'n RepositoryLocation,
    pub(crate) place: &'n Place,
    pub(crate) group: Option<&'n str>,
    /// Where the group stands.
    pub(crate) home: &'n Place,
}

/// The line of a repository for which these settings are in force; none if there are none for its tags, which is noted,
/// as is all else.
pub(crate) fn line(walk: &mut Walk, named: Named, layer: &Layer, registries: &Registries) -> Option<Line> {
    let Some(tags) = &layer.tags else {
        let mend = "write a tag, a list of tags, or \"*\" for all; or `tags` in the group or in `defaults`";
        walk.fault_at(named.place.clone(), RuleId::Type, "no tags are given", mend);
        return None;
    };
    if let (RepositoryLocation::Layout { .. }, Some((tag, _))) =
        (named.source, tags.value.exact().find(|(_, digest)| digest.is_some()))
    {
        let message = format!("`{tag}` is pinned to a digest, and images of a layout are found by name");
        walk.fault_at(tags.place.clone(), RuleId::TagRule, message, "leave out `@` and what follows");
    }
    let owner = layer.owner.as_ref().map(|owner| &*owner.value);
    let kind = layer.kind.as_ref().map(|kind| kind.value).unwrap_or_default();
    let filling = Filling { registry: registries.name(named.source.repository()), group: named.group, owner };
    Some(Line {
        group: named.group.map(str::to_owned),
        owner: owner.map(str::to_owned),
        kind,
        rules: (*tags.value).clone(),
        destinations: destinations(walk, named, layer, filling),
        content: content(walk, kind, layer),
        expect: expect(walk, named, layer, &tags.value),
        place: named.place.clone(),
        settings: settings(named.source, layer, registries),
    })
}

/// Where the images go: each template expanded.
fn destinations(walk: &mut Walk, named: Named, layer: &Layer, filling: Filling) -> Vec<RepositoryLocation> {
    let Named { source, place, .. } = named;
    let mut destinations: Vec<RepositoryLocation> = Vec::new();
    let Some(to) = &layer.to else {
        let mend = "write where, as in `to: registry.example.com/mirror/{path}`, here or for the whole file";
        walk.fault_at(named.home.clone(), RuleId::MissingKey, "nothing says where images go", mend);
        return destinations;
    };
    for template in to.value.iter() {
        let (text, line) = (&template.text, template.place.seen_from(&place.file));
        match template.expand(source.repository(), filling) {
            Err(error) => {
                let message = format!("`{text}` in {line} gives no repository for this: {error}");
                let mend = "change the template, or what fills its fields";
                walk.fault_at(place.clone(), RuleId::Destination, message, mend);
            }
            Ok(destination) if is_same(&destination, source) => {
                let message = format!("`{text}` in {line} sends this onto itself");
                walk.fault_at(place.clone(), RuleId::Collision, message, "change the template");
            }
            Ok(destination) if destinations.iter().any(|other| is_same(&destination, other)) => {
                let message = format!("two values of `to` send this to `{destination}`, the second in {line}");
                walk.fault_at(place.clone(), RuleId::Collision, message, "leave out one of both");
            }
            Ok(destination) => destinations.push(destination),
        }
    }
    destinations
}

fn is_same(one: &RepositoryLocation, other: &RepositoryLocation) -> bool {
    one.repository().path() == other.repository().path() && one.without_usual_port() == other.without_usual_port()
}

/// What of the images goes there.
fn content(walk: &mut Walk, kind: Kind, layer: &Layer) -> Content {
    let only = layer.platforms.as_ref().and_then(|given| Some((given, given.value.as_ref()?)));
    let platforms = match (only, &layer.index) {
        (Some((given, only)), Some(index)) => {
            refuse_parts_of_others(walk, kind, layer, given);
            Platforms::Only { platforms: BTreeSet::clone(only), index: index.value }
        }
        (Some((given, _)), None) => {
            let message = "`only` leaves out what the index names, and nothing says what becomes of the index";
            let mend = "write `index: rewrite` for an index of these alone, with a new digest that no signature of the \
                        source fits; or `index: sparse` for the same bytes and digest, which many registries refuse";
            walk.fault_at(given.place.clone(), RuleId::Platforms, message, mend);
            Platforms::All
        }
        (None, Some(index)) => {
            let message = "`index` says what becomes of an index of which only some platforms are carried, and all are";
            walk.fault_at(index.place.clone(), RuleId::Platforms, message, "write `only` too, or leave it out");
            Platforms::All
        }
        (None, None) => Platforms::All,
    };
    let referrers = layer.referrers.as_ref().map(|given| given.value.clone()).unwrap_or_default();
    Content { platforms, referrers }
}

/// Charts and other artifacts have no platforms.
fn refuse_parts_of_others<T>(walk: &mut Walk, kind: Kind, layer: &Layer, platforms: &Given<T>) {
    let Some(given) = layer.kind.as_ref().filter(|_| kind != Kind::Image) else { return };
    let only = platforms.place.seen_from(&given.place.file);
    let message = format!("a repository of kind `{kind}` has no platforms, and {only} carries only some");
    walk.fault_at(given.place.clone(), RuleId::Platforms, message, "write `platforms: all` beside `kind`");
}

/// How many tags there must be. What is asked for by name alone is counted here: each run of it would fail.
fn expect(walk: &mut Walk, named: Named, layer: &Layer, rules: &Rules) -> Expect {
    if let (Some(min), Some(max)) = (&layer.expect_min, &layer.expect_max)
        && min.value > max.value
    {
        let message = format!("`min` is {} and `max` is {}: no number is both", min.value, max.value);
        walk.fault_at(max.place.clone(), RuleId::Value, message, "write a `min` that is not above `max`");
        return Expect::default();
    }
    let value = |given: &Option<Given<u32>>| given.as_ref().map(|given| given.value);
    let expect = Expect { min: value(&layer.expect_min), max: value(&layer.expect_max) };
    if expect == Expect::default() || rules.need_listing() {
        return expect;
    }
    let count = rules.select(&[]).taken.len();
    let is_few = expect.max.is_none_or(|max| count <= max as usize);
    let (key, bound) = if is_few { ("min", &layer.expect_min) } else { ("max", &layer.expect_max) };
    if let Some(Given { value, place, .. }) = bound.as_ref().filter(|_| !expect.allows(count)) {
        let bound = format!("`{key}` of `expect` in {} is {value}", place.seen_from(&named.place.file));
        let message = format!("tags are asked for by name alone, {count} of them, and {bound}");
        walk.fault_at(named.place.clone(), RuleId::Value, message, "write another `expect` here");
    }
    expect
}

fn settings(source: &RepositoryLocation, layer: &Layer, registries: &Registries) -> Vec<Setting> {
    let mut settings = layer.settings();
    if let (RepositoryLocation::Registry(repository), true) = (source, !registries.access.registries.is_empty())
        && let Some((text, place)) = registries.written(repository)
    {
        settings.push(Setting { key: "registry", value: text.to_owned(), place: Some(place.clone()) });
    }
    settings
}
