//! `lists`: files with one reference to a line, as vendors publish them.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use proto::{Digest, ImageRef, Repository, Tag};

use crate::fault::{Place, Position, RuleId};
use crate::files::Files;
use crate::layers::Given;
use crate::rules::Rules;
use crate::template::RepositoryLocation;
use crate::tree::Node;
use crate::walk::Walk;

type Tags = Given<Rc<Rules>>;

/// What the lists want of one repository.
struct Wanted {
    /// Where it was first named.
    place: Place,
    rules: Rules,
    /// The digest of each tag, and where it was first named.
    tags: BTreeMap<Tag, (Option<Digest>, Place)>,
}

/// Reads the files that `lists` names: each repository once, with where it was first named.
pub(crate) fn read(walk: &mut Walk, files: &mut Files, node: &Node) -> Vec<(RepositoryLocation, Place, Tags)> {
    let mut lists = Lists::default();
    for node in walk.one_or_more(node, "`lists`") {
        let Some(path) = walk.path(node, "a list") else { continue };
        match files.text(&path) {
            Ok((file, text)) => lists.read(walk, &file, &text),
            Err((rule, message)) => walk.fault(node.position, rule, message, "write the path of a list"),
        }
    }
    let rows = lists.order.into_iter().filter_map(|location| {
        let Wanted { place, rules, .. } = lists.wanted.remove(&location)?;
        let tags = Given::tags(rules, place.clone());
        Some((location, place, tags))
    });
    rows.collect()
}

#[derive(Default)]
struct Lists {
    wanted: BTreeMap<RepositoryLocation, Wanted>,
    /// Repositories as they come.
    order: Vec<RepositoryLocation>,
}

impl Lists {
    fn read(&mut self, walk: &mut Walk, file: &Arc<Path>, text: &str) {
        let mut is_empty = true;
        for (at, row) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let comment = row.find('#').unwrap_or(row.len());
            let reference = row[..comment].trim();
            if reference.is_empty() {
                continue;
            }
            is_empty = false;
            let column = 1 + row.chars().take_while(|c| c.is_whitespace()).count();
            let place = Place { file: file.clone(), position: Position { line: at + 1, column } };
            self.reference(walk, place, reference);
        }
        if is_empty {
            let place = Place { file: file.clone(), position: Position::START };
            walk.fault_at(place, RuleId::List, "the list names no image", "write one reference to a line");
        }
    }

    /// What cannot be read is not repeated: the path may be that of another file, and it may be a secret.
    fn reference(&mut self, walk: &mut Walk, place: Place, text: &str) {
        const MEND: &str = "write `REPOSITORY:TAG`, or `REPOSITORY:TAG@DIGEST`";
        let Ok(image) = text.parse::<ImageRef>() else {
            return walk.fault_at(place, RuleId::List, "this is no reference to an image", MEND);
        };
        // Of a repository alone, parsing makes its `latest`.
        let (Some(tag), Err(_)) = (image.tag, text.parse::<Repository>()) else {
            return walk.fault_at(place, RuleId::List, "the reference has no tag", MEND);
        };
        let location = RepositoryLocation::Registry(image.repository);
        let wanted = self.wanted.entry(location.clone()).or_insert_with(|| {
            self.order.push(location);
            Wanted { place: place.clone(), rules: Rules::default(), tags: BTreeMap::new() }
        });
        if let Some((other, first)) = wanted.tags.get(&tag) {
            if *other != image.digest {
                let message = format!("`{tag}` has another digest here than in {}", first.seen_from(&place.file));
                walk.fault_at(place, RuleId::List, message, "leave out one of both");
            }
            return;
        }
        if let Err((message, mend)) = wanted.rules.add_exact(&tag, image.digest.as_ref()) {
            walk.fault_at(place.clone(), RuleId::List, message, mend);
        }
        wanted.tags.insert(tag, (image.digest, place));
    }
}
