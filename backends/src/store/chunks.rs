//! Questions about many rows at once, and changes of many: in chunks of few sizes, so that the texts of a statement are
//! few, and known to the database.
//!
//! A statement costs more to send than to execute, so what is done to each task is done to all of a batch at once.

use std::fmt::Write;
use std::ops::Range;

use super::StoreError;
use super::db::{Arg, Tx};

/// Values, or rows, of a chunk: the smallest size that holds what is left. More would save nothing: SQLite looks for the
/// name of each placeholder among all of them.
const SIZES: [usize; 3] = [1, 5, 25];

const LARGEST: usize = SIZES[SIZES.len() - 1];

/// The texts of a statement for chunks of each size.
pub(super) struct Texts([String; SIZES.len()]);

impl Texts {
    /// The texts that are made for a size each, with [`placeholders`] or [`rows`].
    pub(super) fn new(make: impl Fn(usize) -> String) -> Self {
        Self(SIZES.map(make))
    }

    /// The size for what is left, and the text for it.
    fn of(&self, left: usize) -> (usize, &str) {
        let at = SIZES.iter().position(|size| *size >= left).unwrap_or(SIZES.len() - 1);
        (SIZES[at], &self.0[at])
    }

    /// Statements that ask for all `values` in [`placeholders`], with their arguments, after one that comes first.
    pub(super) fn ask(
        &'static self,
        first: Option<Arg>,
        values: &[String],
    ) -> impl Iterator<Item = (&'static str, Vec<Arg>)> {
        values.chunks(LARGEST).map(move |chunk| {
            let (size, text) = self.of(chunk.len());
            // What fills it up is null, which nothing equals.
            let values = (0..size).map(|at| chunk.get(at).map(String::as_str).into());
            (text, first.clone().into_iter().chain(values).collect())
        })
    }
}

/// The placeholders of a chunk of values, of which the first is `$FIRST`.
pub(super) fn placeholders(first: usize, size: usize) -> String {
    list(first..first + size)
}

/// A table of a chunk of rows, for [`execute`]: a statement reads it as `(ROWS) as new`, with the columns `column1` to
/// `columnN`. Those that fill a chunk up are null in all of them.
pub(super) fn rows(columns: usize, size: usize) -> String {
    let row = |row| format!("({})", list(1 + row * columns..1 + (row + 1) * columns));
    format!("values {}", (0..size).map(row).collect::<Vec<_>>().join(", "))
}

/// Executes a statement that reads [`rows`], for as many chunks as there are; says how many rows it changed.
pub(super) async fn execute<const N: usize>(
    tx: &mut Tx,
    what: &'static str,
    texts: &'static Texts,
    rows: Vec<[Arg; N]>,
) -> Result<u64, StoreError> {
    let mut changed = 0;
    for chunk in rows.chunks(LARGEST) {
        let (size, text) = texts.of(chunk.len());
        let mut args: Vec<Arg> = chunk.iter().flatten().cloned().collect();
        for _ in chunk.len()..size {
            args.extend(chunk[0].each_ref().map(Arg::null));
        }
        changed += tx.execute(what, text, &args).await?;
    }
    Ok(changed)
}

fn list(numbers: Range<usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        // Writing to a text cannot fail.
        let _ = write!(text, "{}${number}", if text.is_empty() { "" } else { ", " });
    }
    text
}
