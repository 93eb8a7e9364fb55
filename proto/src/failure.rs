//! Why something failed: a code for machines, a class for the coordinator, a message and a hint for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the steps of a task, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Ask which digest the source has, and whether anything is to be done.
    Resolve,
    /// Read the manifests: the image, its children, its referrers.
    Fetch,
    /// Send everything below the top manifest.
    Push,
    /// Ask the destination for what was assumed to be there.
    Verify,
    /// Put the top manifest under its tag and ask it back.
    Tag,
}

impl Stage {
    /// The name in logs and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Fetch => "fetch",
            Self::Push => "push",
            Self::Verify => "verify",
            Self::Tag => "tag",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the coordinator does about a failure. Decided where the fact is known, never by matching text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// May pass by itself: try again.
    Retry,
    /// The same again would end the same: a person must change something.
    Reject,
    /// Not now: the other side named a later time.
    Defer,
    /// Our own fault.
    Bug,
}

impl Class {
    /// The name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Reject => "reject",
            Self::Defer => "defer",
            Self::Bug => "bug",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $text:literal: $meaning:literal,)+) => {
        /// What failed, by a name that stays: reports, metrics and scripts may rely on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = $meaning] #[serde(rename = $text)] $name,)+
        }

        impl Code {
            /// All codes, in the order of their registration.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name that crosses the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)+ }
            }
        }
    };
}

codes! {
    SourceUnauthorized = "source_unauthorized": "The source did not accept the credentials, or wants some.",
    SourceForbidden = "source_forbidden": "The credentials may not read this at the source.",
    SourceNotFound = "source_not_found": "The source has no such repository, tag or digest.",
    SourceRateLimited = "source_rate_limited": "The source allows no more requests for now.",
    SourceUnavailable = "source_unavailable": "The source could not be reached, or failed to answer.",
    SourceStalled = "source_stalled": "The source stopped sending in the middle of an answer.",
    SourceUntrusted = "source_untrusted": "The source's TLS certificate is not trusted.",
    SourceCorrupt = "source_corrupt": "What the source sent does not have the announced digest or size.",
    SourceUnsupported = "source_unsupported": "The source's manifest is of a form that is not copied.",
    SourceRefused = "source_refused": "The source answered a correct request in a way that it must not.",
    SourceIo = "source_io": "The layout on disk that is the source could not be read.",
    DestinationUnauthorized = "destination_unauthorized": "The destination did not accept the credentials, or wants some.",
    DestinationForbidden = "destination_forbidden": "The credentials may not write this at the destination.",
    DestinationNotFound = "destination_not_found": "The destination has no such repository and does not create it.",
    DestinationRateLimited = "destination_rate_limited": "The destination allows no more requests for now.",
    DestinationUnavailable = "destination_unavailable": "The destination could not be reached, or failed to answer.",
    DestinationStalled = "destination_stalled": "The destination stopped taking what was sent, or stopped answering.",
    DestinationUntrusted = "destination_untrusted": "The destination's TLS certificate is not trusted.",
    DestinationCorrupt = "destination_corrupt": "What the destination holds does not have the digest that was sent.",
    DestinationUnsupported = "destination_unsupported": "What lies at the destination is of a form that is not read.",
    DestinationRefused = "destination_refused": "The destination refused the manifest or a blob.",
    DestinationIo = "destination_io": "The layout on disk that is the destination could not be written; is the disk full?",
    DestinationMoved = "destination_moved": "Somebody else moved the destination's tag meanwhile; it was left alone.",
    DestinationIncomplete = "destination_incomplete": "The destination lacks a blob or manifest that it was asked for.",
    DestinationDrifted = "destination_drifted": "The destination lacks a part of what was placed there, and the source no longer has it.",
    SelectionUnexpected = "selection_unexpected": "The rules select more or fewer tags than the file expects.",
    PlatformAbsent = "platform_absent": "The image has none of the platforms that are wanted of it.",
    ImageTooLarge = "image_too_large": "The image names more manifests than allowed.",
    BlobExceedsDeadline = "blob_exceeds_deadline": "No blob could be completed before the attempt's deadline.",
    TargetOwned = "target_owned": "Another job owns the destination tag.",
    EvidenceUnavailable = "evidence_unavailable": "What the task needs of the evidence store could not be read there.",
    WorkerLost = "worker_lost": "The task was handed out again and again and nobody answered for it.",
    TimeOver = "time_over": "The run's time was over before this was begun.",
    Internal = "internal": "A fault of this program.",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A failure as it crosses the wire and stands in the report. Its texts hold no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage in which it happened; none if no stage had begun.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// What failed.
    pub code: Code,
    /// What to do about it.
    pub class: Class,
    /// What was tried, on what, and what came back: lower case, no final period.
    pub message: String,
    /// What a person can do.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Characters of a message at most: what others said may be of any length, and a result must fit into a message.
const MESSAGE_CHARS_MAX: usize = 1_000;

impl Failure {
    /// A failure with a message that fits on a line of a report, whatever a hostile side said.
    pub fn new(stage: Option<Stage>, code: Code, class: Class, message: &str, hint: Option<&str>) -> Self {
        let one_line = message.chars().map(|c| if c.is_control() { ' ' } else { c });
        let message = one_line.take(MESSAGE_CHARS_MAX).collect();
        Self { stage, code, class, message, hint: hint.map(str::to_owned) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_and_reads_back() {
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            let text = serde_json::to_string(code).unwrap();
            assert_eq!(text, format!("\"{}\"", code.as_str()));
            assert_eq!(serde_json::from_str::<Code>(&text).unwrap(), *code);
            assert!(code.meaning().ends_with(['.', '?']), "{code}");
        }
    }
}
