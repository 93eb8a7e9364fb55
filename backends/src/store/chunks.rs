//! Questions about many rows at once: in chunks of one size, so that the text of a statement is always the same.

use std::fmt::Write;

use super::db::Arg;

/// Values of a chunk. Any database takes so many, and more would save little.
pub(super) const CHUNK: usize = 100;

/// The placeholders of a chunk, of which the first is `$FIRST`.
pub(super) fn placeholders(first: usize) -> String {
    let mut text = format!("${first}");
    for number in first + 1..first + CHUNK {
        // Writing to a text cannot fail.
        let _ = write!(text, ", ${number}");
    }
    text
}

/// The values of a chunk, filled up with nulls, which nothing equals.
pub(super) fn args(chunk: &[String]) -> impl Iterator<Item = Arg> {
    (0..CHUNK).map(|at| chunk.get(at).map(String::as_str).into())
}
