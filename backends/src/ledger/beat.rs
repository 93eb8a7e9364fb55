//! What a worker says of itself every few seconds.

use proto::{Attempt, Stage, TaskId};
use serde::{Deserialize, Serialize};

/// A worker that lives: how much it takes on, and what it does right now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beat {
    /// Its name, which no other worker has.
    pub worker: String,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Whether it takes no more.
    pub drains: bool,
    /// The attempts under way, oldest first.
    pub running: Vec<Underway>,
    /// Bytes of blobs sent since it began.
    pub bytes_written: u64,
    /// Bytes of blobs that needed no sending since it began.
    pub bytes_saved: u64,
}

/// An attempt under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underway {
    /// The task.
    pub task: TaskId,
    /// Which attempt of it.
    pub attempt: Attempt,
    /// The image, for people.
    #[serde(default)]
    pub source: String,
    /// Where it is; none if that has no name that this version knows.
    #[serde(default, deserialize_with = "known")]
    pub stage: Option<Stage>,
    /// Bytes of blobs that were sent or needed no sending.
    #[serde(default)]
    pub bytes_done: u64,
    /// Bytes of blobs in all, as far as known.
    #[serde(default)]
    pub bytes_expected: u64,
}

/// A newer worker may be in a stage of which nobody heard before.
fn known<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Option<Stage>, D::Error> {
    let name = serde_json::Value::deserialize(text)?;
    Ok(serde_json::from_value(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_of_another_version_is_read_as_far_as_it_is_known() {
        let task = TaskId::new();
        let text = format!(
            r#"{{"worker":"w","slots":3,"mood":"good","running":[{{"task":"{task}","attempt":2,"stage":"sculpt","x":1}}]}}"#
        );
        let running = Underway {
            task,
            attempt: Attempt(2),
            source: String::new(),
            stage: None,
            bytes_done: 0,
            bytes_expected: 0,
        };
        let expected = Beat { worker: "w".into(), slots: 3, running: vec![running], ..Beat::default() };
        assert_eq!(serde_json::from_str::<Beat>(&text).unwrap(), expected);
    }
}
