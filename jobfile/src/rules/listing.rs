//! The tags of a repository, read and in the order in which people look for them: newest version first.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use proto::{Digest, Tag};

use crate::version::{Version, numbers_within};

/// All tags that rules are about, each once; versions newest first, then dates, then names.
pub(super) struct Listing<'a>(Vec<Entry<'a>>);

/// A tag of a listing.
pub(super) struct Entry<'a> {
    pub(super) tag: &'a Tag,
    /// What it says as a version; none for a name.
    pub(super) version: Option<Version<'a>>,
    /// When it was last set, if the listing says it.
    pub(super) time: Option<Timestamp>,
    /// False if it is only asked for.
    pub(super) is_listed: bool,
    /// Whether it belongs to another image.
    pub(super) is_referrer: bool,
}

impl<'a> Listing<'a> {
    pub(super) fn of(listed: &'a [Tag], times: &HashMap<Tag, Timestamp>, asked: impl Iterator<Item = &'a Tag>) -> Self {
        let listed: BTreeSet<&Tag> = listed.iter().collect();
        let asked: BTreeSet<&Tag> = asked.filter(|tag| !listed.contains(tag)).collect();
        let entry = |tag: &'a Tag, is_listed| Entry {
            tag,
            version: Version::read(tag.as_str()),
            time: times.get(tag).copied(),
            is_listed,
            is_referrer: is_referrer(tag),
        };
        let listed = listed.into_iter().map(|tag| entry(tag, true));
        let mut entries: Vec<_> = listed.chain(asked.into_iter().map(|tag| entry(tag, false))).collect();
        entries.sort_by_cached_key(Entry::order);
        Self(entries)
    }

    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.0
    }
}

impl<'a> Entry<'a> {
    /// What sorts versions before dates before names, the newest of each first. Names are told apart by what stands
    /// before their first digit, and the numbers after it: `noble-20250619` is before `noble-20250529`.
    fn order(&self) -> impl Ord + use<'a> {
        let text = self.tag.as_str();
        let (class, prefix, place, parts, variant) = match &self.version {
            Some(version) => (u8::from(version.is_date()), "", version.place(), version.numbers.len(), version.variant),
            None => {
                let prefix = text.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default();
                (2, prefix, (numbers_within(text), (0, 0)), 0, "")
            }
        };
        (class, prefix, Reverse(place), Reverse(parts), variant, text)
    }
}

/// Whether the tag belongs to another image: cosign's `sha256-<hex>.sig` and the like, and the fallback tag of the
/// referrers API, `sha256-<hex>` (distribution-spec, "Referrers Tag Schema").
pub(super) fn is_referrer(tag: &Tag) -> bool {
    let Some((algorithm, rest)) = tag.as_str().split_once('-') else { return false };
    let hex = rest.split('.').next().unwrap_or("");
    format!("{algorithm}:{hex}").parse::<Digest>().is_ok()
}
