//! Questions about many rows at once, and changes of many: in chunks of one size, so that the text of a statement is
//! always the same.
//!
//! A statement costs more to send than to execute, so what is done to each task is done to all of a batch at once.

use std::fmt::Write;

use super::StoreError;
use super::db::{Arg, Tx};

/// Values, or rows, of a chunk. Any database takes so many, and more would save little.
pub(super) const CHUNK: usize = 100;

/// The placeholders of a chunk of values, of which the first is `$FIRST`.
pub(super) fn placeholders(first: usize) -> String {
    list(first..first + CHUNK)
}

/// The values of a chunk, filled up with nulls, which nothing equals.
pub(super) fn args(chunk: &[String]) -> impl Iterator<Item = Arg> {
    (0..CHUNK).map(|at| chunk.get(at).map(String::as_str).into())
}

/// A table of a chunk of rows, for [`execute`]: a statement reads it as `(ROWS) as new`, with the columns `column1` to
/// `columnN`. Those that fill a chunk up are null in all of them.
pub(super) fn rows(columns: usize) -> String {
    let row = |row| format!("({})", list(1 + row * columns..1 + (row + 1) * columns));
    format!("values {}", (0..CHUNK).map(row).collect::<Vec<_>>().join(", "))
}

/// Executes a statement that reads [`rows`], for as many chunks as there are; says how many rows it changed.
pub(super) async fn execute<const N: usize>(
    tx: &mut Tx,
    what: &'static str,
    sql: &'static str,
    rows: Vec<[Arg; N]>,
) -> Result<u64, StoreError> {
    let mut changed = 0;
    let mut rows = rows.into_iter().peekable();
    while let Some(first) = rows.peek() {
        let nulls = first.each_ref().map(Arg::null);
        let mut args = Vec::with_capacity(CHUNK * N);
        args.extend(rows.by_ref().take(CHUNK).flatten());
        while args.len() < CHUNK * N {
            args.extend(nulls.each_ref().map(Arg::null));
        }
        changed += tx.execute(what, sql, &args).await?;
    }
    Ok(changed)
}

fn list(numbers: std::ops::Range<usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        // Writing to a text cannot fail.
        let _ = write!(text, "{}${number}", if text.is_empty() { "" } else { ", " });
    }
    text
}
