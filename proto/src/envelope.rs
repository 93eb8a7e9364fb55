//! A message as bytes and back: version, name, size cap.
//!
//! MessagePack with field names, so that fields may be added with a default and dropped: an array form would shift.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::MESSAGE_BYTES_MAX;
use crate::outcome::TaskResult;
use crate::task::Task;

/// The version of messages that we write.
pub const VERSION: u16 = 1;

/// A message on its way, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    id: String,
    bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    version: u16,
    id: &'a str,
    body: &'a T,
}

#[derive(Deserialize)]
struct Incoming<T> {
    id: String,
    body: T,
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    version: u16,
    id: String,
}

/// Why a message could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Larger than any message of ours.
    #[error("message of {0} bytes exceeds {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    /// Written by a newer release: keep it until we are upgraded.
    #[error("message has version {0}; this program reads version {VERSION}")]
    UnknownVersion(u16),
    /// Could not be written.
    #[error("encode message")]
    Encode(#[source] rmp_serde::encode::Error),
    /// Not one of our messages.
    #[error("decode message")]
    Decode(#[source] rmp_serde::decode::Error),
}

impl Envelope {
    /// The message that carries a task.
    ///
    /// # Errors
    /// The message would be too large.
    pub fn of_task(task: &Task) -> Result<Self, EnvelopeError> {
        Self::encode(task.message_id(), task)
    }

    /// The message that carries a result; it has the name of its task's message.
    ///
    /// # Errors
    /// The message would be too large.
    pub fn of_result(result: &TaskResult) -> Result<Self, EnvelopeError> {
        Self::encode(format!("{}/{}", result.task, result.attempt), result)
    }

    fn encode<T: Serialize>(id: String, body: &T) -> Result<Self, EnvelopeError> {
        let outgoing = Outgoing { version: VERSION, id: &id, body };
        let bytes = rmp_serde::to_vec_named(&outgoing).map_err(EnvelopeError::Encode)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        Ok(Self { id, bytes })
    }

    /// Takes bytes as they came, having read their head.
    ///
    /// # Errors
    /// Too large, unknown version, or not one of our messages.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, EnvelopeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        let head: Head = rmp_serde::from_slice(&bytes).map_err(EnvelopeError::Decode)?;
        if head.version != VERSION {
            return Err(EnvelopeError::UnknownVersion(head.version));
        }
        Ok(Self { id: head.id, bytes })
    }

    /// The message's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The encoded message.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The task within.
    ///
    /// # Errors
    /// The message carries something else.
    pub fn task(&self) -> Result<Task, EnvelopeError> {
        self.decode()
    }

    /// The result within.
    ///
    /// # Errors
    /// The message carries something else.
    pub fn result(&self) -> Result<TaskResult, EnvelopeError> {
        self.decode()
    }

    fn decode<T: DeserializeOwned>(&self) -> Result<T, EnvelopeError> {
        let incoming: Incoming<T> = rmp_serde::from_slice(&self.bytes).map_err(EnvelopeError::Decode)?;
        debug_assert_eq!(incoming.id, self.id);
        Ok(incoming.body)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;
    use crate::digest::Digest;
    use crate::ids::{Attempt, RunId, TaskId};
    use crate::task::{Destination, Listed, ListedTag, Mirror, Sidecars, TaskKind};

    fn task(destinations: usize) -> Task {
        let digest = Digest::of(b"an image");
        let destination = |n| Destination {
            listed: Some(Listed { tag: ListedTag::Shows(digest.clone()), sidecars: BTreeSet::new(), has_tags: true }),
            ..Destination::new(format!("registry.example.com/mirror/{n}:1").parse().unwrap())
        };
        Task {
            run: RunId::new(),
            id: TaskId::new(),
            attempt: Attempt::FIRST,
            solo: false,
            deadline: Duration::from_secs(60),
            bundle: None,
            kind: TaskKind::Mirror(Mirror {
                source: "alpine:3.22".parse().unwrap(),
                listed: Some(digest.clone()),
                sidecars: Sidecars::default(),
                destinations: (0..destinations).map(destination).collect(),
            }),
        }
    }

    #[test]
    fn a_task_reads_back_from_its_bytes() {
        let task = task(2);
        let sent = Envelope::of_task(&task).unwrap();
        let received = Envelope::from_bytes(sent.bytes().to_vec()).unwrap();
        assert_eq!(received.id(), task.message_id());
        assert_eq!(received.task().unwrap(), task);
        assert!(matches!(received.result(), Err(EnvelopeError::Decode(_))));
    }

    #[test]
    fn a_message_above_the_cap_is_refused_on_both_sides() {
        assert!(matches!(Envelope::of_task(&task(10_000)), Err(EnvelopeError::TooLarge(_))));
        assert!(matches!(Envelope::from_bytes(vec![0; MESSAGE_BYTES_MAX + 1]), Err(EnvelopeError::TooLarge(_))));
    }

    #[test]
    fn a_newer_version_is_told_from_rubbish() {
        #[derive(Serialize)]
        struct Newer {
            version: u16,
            id: &'static str,
            surprise: u8,
        }
        let newer = rmp_serde::to_vec_named(&Newer { version: 2, id: "x/1", surprise: 1 }).unwrap();
        assert!(matches!(Envelope::from_bytes(newer), Err(EnvelopeError::UnknownVersion(2))));
        assert!(matches!(Envelope::from_bytes(b"rubbish".to_vec()), Err(EnvelopeError::Decode(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            if let Ok(envelope) = Envelope::from_bytes(bytes) {
                let _ = envelope.task();
                let _ = envelope.result();
            }
        }
    }
}
