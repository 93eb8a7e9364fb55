//! What the pages of a listing name, put together; all of it comes from outside and may be anything.

use std::collections::HashSet;

use jiff::Timestamp;
use proto::{Digest, Tag};

use super::Tags;

/// Tags of one repository: far more than any has, and few enough to hold in memory.
pub(super) const TAGS_MAX: usize = 1_000_000;

/// One tag as a vendor's interface names it.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) digest: Option<String>,
    pub(super) time: Option<Timestamp>,
}

/// A listing that grows page by page.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) tags: Tags,
    seen: HashSet<Tag>,
    /// Tags with two digests: which of them is right, nobody knows.
    contested: HashSet<Tag>,
    /// Something may be missing: it was changed between two pages, or the interface does not show all.
    pub(super) has_gaps: bool,
    /// The registry's own listing has digests.
    pub(super) tells_digests: bool,
}

impl Gathered {
    /// Whether all tags are named that the interface knows, as at one time.
    pub(super) fn is_whole(&self) -> bool {
        !self.has_gaps
    }

    /// How many names there are, those included that are no tags.
    pub(super) fn len(&self) -> usize {
        self.tags.tags.len() + self.tags.invalid
    }

    /// Adds a name; whether it is new. What is no tag counts as new.
    pub(super) fn add_name(&mut self, name: &str) -> bool {
        let Ok(tag) = name.parse::<Tag>() else {
            self.tags.invalid += 1;
            return true;
        };
        let is_new = self.seen.insert(tag.clone());
        if is_new {
            self.tags.tags.push(tag);
        }
        is_new
    }

    /// Adds a tag with what is said of it; whether it is new.
    pub(super) fn add(&mut self, entry: &Entry) -> bool {
        let is_new = self.add_name(&entry.name);
        if let Ok(tag) = entry.name.parse::<Tag>() {
            let digest = entry.digest.as_deref().and_then(|digest| digest.parse().ok());
            self.note(&tag, digest, entry.time);
        }
        is_new
    }

    fn note(&mut self, tag: &Tag, digest: Option<Digest>, time: Option<Timestamp>) {
        let Some(digest) = digest else { return };
        if self.contested.contains(tag) {
            return;
        }
        if self.tags.digests.get(tag).is_some_and(|known| *known != digest) {
            self.tags.digests.remove(tag);
            self.tags.times.remove(tag);
            self.contested.insert(tag.clone());
            return;
        }
        self.tags.digests.insert(tag.clone(), digest);
        // Of a time that nobody set, Go writes the year 1.
        if let Some(time) = time.filter(|time| *time > Timestamp::UNIX_EPOCH) {
            self.tags.times.insert(tag.clone(), time);
        }
    }

    /// Takes over what `known` says of tags that are named here.
    pub(super) fn add_digests_of(&mut self, known: &Self) {
        for tag in self.tags.tags.clone() {
            self.note(&tag, known.tags.digests.get(&tag).cloned(), known.tags.times.get(&tag).copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn gathered(entries: &[(&str, &str)]) -> Gathered {
        let mut gathered = Gathered::default();
        for (name, digest) in entries {
            let time = Timestamp::from_second(1_700_000_000).ok();
            gathered.add(&Entry { name: (*name).to_owned(), digest: Some((*digest).to_owned()), time });
        }
        gathered
    }

    #[test]
    fn a_tag_with_two_digests_has_none_however_often_it_is_named() {
        for entries in [&[("1", A), ("1", B)] as &[_], &[("1", A), ("1", B), ("1", A)], &[("1", B), ("1", A), ("1", A)]]
        {
            let tags = gathered(entries).tags;
            assert_eq!((tags.tags.len(), tags.digests.len(), tags.times.len()), (1, 0, 0), "{entries:?}");
        }
        assert_eq!(gathered(&[("1", A), ("1", A)]).tags.digests.len(), 1);
    }

    #[test]
    fn what_is_no_digest_is_left_out_and_what_is_no_tag_is_counted() {
        let tags = gathered(&[("1", "sha256:short"), ("no tag", A), ("2", A)]).tags;
        assert_eq!((tags.tags.len(), tags.digests.len(), tags.invalid), (2, 1, 1));
    }

    #[test]
    fn digests_are_taken_over_for_names_that_are_there_only() {
        let mut names = Gathered::default();
        names.add_name("1");
        names.add_name("3");
        names.add_digests_of(&gathered(&[("1", A), ("2", B)]));
        assert_eq!((names.tags.tags.len(), names.tags.digests.len()), (2, 1));
    }

    proptest! {
        #[test]
        fn a_digest_is_never_of_a_tag_that_is_not_named(entries in prop::collection::vec(("[ab!]{0,2}", "\\PC{0,9}"), 0..9)) {
            let entries: Vec<_> = entries.iter().map(|(name, digest)| (name.as_str(), digest.as_str())).collect();
            let tags = gathered(&entries).tags;
            prop_assert!(tags.digests.keys().all(|tag| tags.tags.contains(tag)));
        }
    }
}
