//! What is wrong with a file: all of it at once, each with its line, its rule and how to mend it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in one of the files that a job file consists of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named or found.
    pub file: Arc<Path>,
    /// Where in it.
    pub position: Position,
}

impl Place {
    /// The place for a sentence in a message about `file`.
    pub(crate) fn seen_from(&self, file: &Path) -> String {
        let line = self.position.line;
        if *self.file == *file { format!("line {line}") } else { format!("{}:{line}", self.file.display()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(f, "{}:{line}:{column}", self.file.display())
    }
}

/// A position in a file; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where every file begins.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

macro_rules! rules {
    ($($name:ident = $text:literal: $meaning:literal,)+) => {
        /// The rule that was broken, by a name that stays.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum RuleId {
            $(#[doc = $meaning] $name,)+
        }

        impl RuleId {
            /// The name that is printed.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

rules! {
    Size = "file-size": "A file, and what its aliases stand for, has a largest size.",
    Yaml = "yaml": "The file is one YAML document in UTF-8.",
    Unquoted = "unquoted": "Text that YAML takes for something else stands in quotes.",
    DuplicateKey = "duplicate-key": "A key is given once.",
    UnknownKey = "unknown-key": "Only known keys are allowed.",
    MissingKey = "missing-key": "Some keys must be there.",
    Type = "type": "A value has the type of its key.",
    Value = "value": "A value is one of those that its key allows.",
    Version = "version": "The version of the file's format is one that this program reads.",
    Source = "source": "A key of `images` is one repository.",
    TagRule = "tag-rule": "A selection of tags is one that can be read.",
    Destination = "destination": "A destination is a repository or a layout, for each image.",
    Collision = "collision": "No two images have one destination.",
    ClearSecret = "clear-secret": "A secret never stands in the file.",
    File = "file": "Files that are named are there, and can be read.",
    Include = "include": "A file is included once, and an included file includes no other.",
    MayDefine = "may-define": "An included file defines only what its include allows.",
    MayUse = "may-use": "A group of an included file uses only what its include allows.",
    List = "list": "A list holds one reference with its tag to a line.",
    Platforms = "platforms": "What becomes of an index is said where only some platforms are carried.",
    Jobs = "jobs": "A job runs groups that there are.",
    UnusedGroup = "unused-group": "A group is in some job, and mirrors something.",
    UnusedDestination = "unused-destination": "A destination is named by some `to`.",
    NewDigest = "new-digest": "Images keep their digests.",
    UnusedRegistry = "unused-registry": "Settings of a registry are used by some source, alternative or destination.",
    TagSet = "tag-set": "A tag set has a name of its form, is defined, and names no other.",
    UnusedTagSet = "unused-tag-set": "A tag set is used by some selection of tags.",
    Alternative = "alternative": "An alternative is a repository at another registry, for paths at this one.",
    UnsafeTls = "unsafe-tls": "Certificates are verified.",
    RemovedTag = "removed-tag": "A tag that is asked for by name is not removed by another rule.",
}

/// One thing that is wrong, or odd.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// Which rule it breaks.
    pub rule: RuleId,
    /// What is wrong.
    pub message: String,
    /// What a person can do.
    pub mend: String,
}

/// Everything that is wrong with a job file, or odd about it, in the order of files and lines.
///
/// Printed one to a line, as `file:line:column rule-id message; how to mend`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn new(mut list: Vec<Fault>) -> Self {
        for Fault { message, mend, .. } in &mut list {
            (*message, *mend) = (without_users(message), without_users(mend));
        }
        list.sort();
        list.dedup();
        Self { list }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter()
    }
}

impl Faults {
    /// Each as its line.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|Fault { place, rule, message, mend }| {
            format!("{place} {} {}; {}", rule.as_str(), printable(message), printable(mend))
        })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Faults {}

/// Without the users of URLs: there may be passwords.
fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let url = part.find(|c: char| c == '`' || c.is_whitespace()).map_or(part, |end| &part[..end]);
        clean.push_str("://");
        match url.rfind('@') {
            Some(at) => clean.extend(["…", &part[at..]]),
            None => clean.push_str(part),
        }
    }
    clean
}

/// Without line ends and other control characters, which a text in the file may hold: fit for a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}
