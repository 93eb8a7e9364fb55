//! From errors to what crosses the wire: code, class, message, hint.

use std::time::Duration;

use daemon::ErrorChain;
use proto::manifest::ManifestError;
use proto::outcome::End;
use proto::{Class, Code, Digest, Failure, Stage};
use registry::PushError;

/// How long a side that asks for patience without naming a time is left alone.
const DEFER_WITHOUT_TIME: Duration = Duration::from_secs(60);

/// What can go wrong in a stage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    #[error("read from the source")]
    Source(#[source] registry::Error),
    #[error("write to the destination")]
    Destination(#[source] registry::Error),
    #[error("the source has no such image")]
    SourceAbsent,
    #[error("the image's index has none of {wanted}; it has {offered}")]
    NoPlatform { wanted: String, offered: String },
    #[error("write the image's index anew")]
    Index(#[source] ManifestError),
    /// An index that names what was not sent.
    #[error("write a sparse index to the destination")]
    Sparse(#[source] registry::Error),
    #[error("the image names too many manifests, or too large ones")]
    TooLarge,
    #[error("the destination says again and again that it lacks what was sent to it")]
    Incomplete(#[source] registry::Error),
    /// The listing that named it is older than what is there now.
    #[error("the source no longer has `{0}`, which its listing showed under the tag")]
    Outdated(Digest),
    #[error("neither the destination nor the source has all of what was placed there: {0}")]
    Drifted(String),
    #[error("the destination took what it lacked, and lacks it still: {0}")]
    Unrepaired(String),
    /// Nothing is left to do but to wait for it.
    #[error("somebody else sends blob `{blob}`")]
    Elsewhere {
        /// What is waited for.
        blob: Digest,
        /// How long the attempt is put off.
        wait: Duration,
    },
    #[error("the destination's tag shows {}, expected {}", or_nothing(found), or_nothing(expected))]
    Moved { expected: Option<Digest>, found: Option<Digest> },
    #[error("the attempt's time was over in stage {0}, before one blob was complete")]
    Deadline(Stage),
}

impl From<PushError> for StageError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Source(error) => Self::Source(error),
            PushError::Destination(error) => Self::Destination(error),
        }
    }
}

/// The attempt's end at the destinations that an error of `stage` concerns.
pub(crate) fn end_of(stage: Stage, error: &StageError) -> End {
    let (code, class, hint) = match error {
        StageError::Source(source) => {
            let absent = "the source does not have it: correct the digest if the image is pinned to one";
            (source.kind().at_source(), source.class(), hint_of(source, absent))
        }
        StageError::Destination(source) => {
            let absent = "create the repository, or its project, at the destination first";
            (source.kind().at_destination(), source.class(), hint_of(source, absent))
        }
        StageError::SourceAbsent => (
            Code::SourceNotFound,
            Class::Reject,
            Some("correct the tag, or leave it out if the source has given it up"),
        ),
        StageError::NoPlatform { .. } => (
            Code::PlatformAbsent,
            Class::Reject,
            Some("name one that it has under `platforms`, or leave the image out"),
        ),
        StageError::Index(_) => (Code::SourceUnsupported, Class::Reject, Some("carry all platforms of this image")),
        StageError::Sparse(source) => (
            source.kind().at_destination(),
            source.class(),
            Some("many registries want all children of an index: use `index: rewrite`, or all platforms"),
        ),
        StageError::TooLarge => (Code::ImageTooLarge, Class::Reject, None),
        StageError::Incomplete(_) => (Code::DestinationIncomplete, Class::Retry, None),
        StageError::Outdated(_) => (Code::SourceNotFound, Class::Retry, None),
        StageError::Drifted(_) => (
            Code::DestinationDrifted,
            Class::Reject,
            Some("bring it back to the source, or remove the tag from the destination and from the file"),
        ),
        StageError::Unrepaired(_) => {
            (Code::DestinationIncomplete, Class::Retry, Some("its storage may be damaged: ask who runs it"))
        }
        StageError::Elsewhere { wait, .. } => return End::Interrupted { wait: *wait },
        // The next attempt begins with what the tag shows then, and decides anew.
        StageError::Moved { .. } => (Code::DestinationMoved, Class::Retry, Some("does another tool write this tag?")),
        StageError::Deadline(Stage::Push) => {
            (Code::BlobExceedsDeadline, Class::Reject, Some("the connection is too slow for this image's blobs"))
        }
        StageError::Deadline(Stage::Resolve | Stage::Fetch) => (Code::SourceStalled, Class::Retry, None),
        StageError::Deadline(Stage::Verify | Stage::Tag) => (Code::DestinationStalled, Class::Retry, None),
    };
    // The side is in the code; a registry's error says on its own what was tried.
    let message = match error {
        StageError::Source(source) | StageError::Destination(source) | StageError::Sparse(source) => {
            ErrorChain(source).to_string()
        }
        ours => ErrorChain(ours).to_string(),
    };
    let failure = Failure::new(Some(stage), code, class, &message, hint);
    match (class, error) {
        (Class::Defer, StageError::Source(source) | StageError::Destination(source)) => {
            End::Deferred { wait: source.retry_after().unwrap_or(DEFER_WITHOUT_TIME), failure }
        }
        _ => End::Failed(failure),
    }
}

/// What to do about a registry's error; `absent` if it has not what was asked for.
fn hint_of<'e>(error: &'e registry::Error, absent: &'static str) -> Option<&'e str> {
    error.hint().or_else(|| (error.kind() == registry::Kind::NotFound).then_some(absent))
}

pub(crate) fn or_nothing(digest: &Option<Digest>) -> String {
    digest.as_ref().map_or_else(|| "nothing".to_owned(), |digest| format!("`{digest}`"))
}
