//! What rules make of the tags of a repository, for people and machines.

use std::io::{self, Write};

use coordinator::expand::UNTIMED;
use jobfile::{Rules, Selection, Why, printable};
use proto::Tag;
use registry::Tags as Listed;
use serde::Serialize;

use crate::find::Found;

/// Tags named for each reason why some are left.
const EXAMPLES: usize = 5;

/// Longest tag that the column of tags is made wide for: those of signatures are far longer than all others.
const WIDTH_MAX: usize = 40;

/// The tags of a repository.
#[derive(Debug, Serialize)]
pub(super) struct Tags {
    pub(super) version: u32,
    pub(super) repository: String,
    /// How many the registry has.
    pub(super) listed: usize,
    /// One for each line of the file that is about the repository.
    pub(super) lines: Vec<Judged>,
}

/// What the rules of a line make of them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Judged {
    /// None for rules of the command line.
    place: Option<String>,
    group: Option<String>,
    taken: Vec<Taken>,
    dropped: Vec<Dropped>,
    /// Rules that found nothing.
    idle: Vec<String>,
    /// Why a run copies nothing of it; none if it does.
    refused: Option<String>,
}

#[derive(Debug, Serialize)]
struct Taken {
    tag: Tag,
    digest: Option<String>,
    rule: String,
    /// Whether the registry lists it: a tag that is asked for by name is taken anyway.
    listed: bool,
}

#[derive(Debug, Serialize)]
struct Dropped {
    tag: Tag,
    why: String,
    #[serde(skip)]
    reason: String,
}

impl Judged {
    /// All tags, in the order in which rules give them.
    pub(super) fn all(listed: &Listed) -> Result<Self, jobfile::Faults> {
        Ok(Self::by_rules(&Rules::parse_all(&["*".to_owned()], "all", None)?, listed))
    }

    pub(super) fn by_rules(rules: &Rules, listed: &Listed) -> Self {
        let Selection { taken, dropped, idle, untimed } = rules.select_timed(&listed.tags, &listed.times);
        let known: std::collections::HashSet<_> = listed.tags.iter().collect();
        let taken = taken.into_iter().map(|taken| Taken {
            listed: known.contains(&taken.tag),
            tag: taken.tag,
            digest: taken.digest.map(|digest| digest.to_string()),
            rule: taken.rule,
        });
        let dropped = dropped.into_iter().map(|dropped| Dropped {
            tag: dropped.tag,
            reason: reason(&dropped.why),
            why: dropped.why.to_string(),
        });
        let refused = (untimed > 0).then(|| format!("a run copies none of them: {UNTIMED}"));
        Self { taken: taken.collect(), dropped: dropped.collect(), idle, refused, ..Self::default() }
    }

    pub(super) fn by_line(found: &Found<'_>, listed: &Listed) -> Self {
        let line = found.line;
        let judged = Self::by_rules(&line.rules, listed);
        let number = judged.taken.len();
        let bound = |word, bound: Option<u32>| bound.map(|bound| format!("{word} {bound}"));
        let bounds = [bound("at least", line.expect.min), bound("at most", line.expect.max)];
        let bounds = bounds.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let unexpected =
            || (!line.expect.allows(number)).then(|| format!("a run copies none of them: `expect` is {bounds}"));
        Self {
            place: Some(line.place.to_string()),
            group: line.group.clone(),
            refused: judged.refused.or_else(unexpected),
            ..judged
        }
    }

    fn print(&self, out: &mut impl Write, repository: &str, all: bool) -> io::Result<()> {
        let group = self.group.iter().map(|group| format!("  {group}"));
        let place = self.place.iter().map(|place| format!("  {place}"));
        let line: String = group.chain(place).collect();
        writeln!(out, "{}", printable(&format!("{repository}{line}")))?;
        let left = self.dropped.iter().filter(|_| all).map(|dropped| &dropped.tag);
        let tags = self.taken.iter().map(|taken| &taken.tag).chain(left);
        let width = tags.map(|tag| tag.as_str().len()).filter(|width| *width <= WIDTH_MAX).max().unwrap_or(0);
        for Taken { tag, rule, listed, .. } in &self.taken {
            let missing = if *listed { "" } else { "  (not there)" };
            writeln!(out, "  {:<width$}  {}{missing}", tag.as_str(), printable(rule))?;
        }
        if all {
            self.dropped.iter().try_for_each(|dropped| {
                writeln!(out, "  {:<width$}  left: {}", dropped.tag.as_str(), printable(&dropped.why))
            })?;
        } else {
            self.print_reasons(out)?;
        }
        for rule in &self.idle {
            writeln!(out, "  nothing matches {}", printable(&format!("`{rule}`")))?;
        }
        if let Some(refused) = &self.refused {
            writeln!(out, "  {refused}")?;
        }
        let there = self.taken.iter().filter(|taken| taken.listed).count();
        let missing = match self.taken.len() - there {
            0 => String::new(),
            missing => format!(" · {missing} wanted but not there"),
        };
        writeln!(out, "  {there} taken{missing} · {} left", self.dropped.len())
    }

    /// How many are left for each reason, with the first of them.
    fn print_reasons(&self, out: &mut impl Write) -> io::Result<()> {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for Dropped { tag, reason, .. } in &self.dropped {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, tags)) => tags.push(tag.as_str()),
                None => reasons.push((reason, vec![tag.as_str()])),
            }
        }
        for (reason, tags) in reasons {
            let first = tags.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join(", ");
            let more = if tags.len() > EXAMPLES { ", …" } else { "" };
            writeln!(out, "  left {} × {}: {first}{more}", tags.len(), printable(reason))?;
        }
        Ok(())
    }
}

impl Tags {
    /// What each line makes of them.
    pub(super) fn print(&self, out: &mut impl Write, all: bool) -> io::Result<()> {
        self.lines.iter().try_for_each(|line| line.print(out, &self.repository, all))
    }

    /// Each on a line, and nothing else.
    pub(super) fn print_names(&self, out: &mut impl Write) -> io::Result<()> {
        let tags = |line: &Judged| {
            let taken = line.taken.iter().map(|taken| &taken.tag);
            taken.chain(line.dropped.iter().map(|dropped| &dropped.tag)).cloned().collect::<Vec<_>>()
        };
        self.lines.iter().flat_map(tags).try_for_each(|tag| writeln!(out, "{tag}"))
    }
}

/// Why tags are left, in words that many of them share.
fn reason(why: &Why) -> String {
    match why {
        Why::Variant(_) => "a variant that no rule asks for".to_owned(),
        Why::PreRelease(_) => "a pre-release".to_owned(),
        Why::Alias(_) => "an alias of a tag that says more".to_owned(),
        Why::AliasOfLeft(_) => "an alias of a tag that is left".to_owned(),
        Why::Older(_) => "older than the newest that a rule wants".to_owned(),
        Why::NoRule | Why::Date | Why::Untimed | Why::Referrer | Why::Removed(_) => why.to_string(),
    }
}
