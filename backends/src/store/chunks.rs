//! Questions about many rows at once, and changes of many: in chunks of few sizes, so that the texts of a statement are
//! few, and known to the database.
//!
//! A statement costs more to send than to execute, so what is done to each task is done to all of a batch at once.

use std::fmt::Write;
use std::ops::Range;
use std::sync::OnceLock;

use super::StoreError;
use super::db::{Arg, Db, Row, Tx};

/// Values, or rows, of a chunk: the smallest size that holds what is left. More would save nothing: SQLite looks for the
/// name of each placeholder among all of them.
const SIZES: [usize; 3] = [1, 5, 25];

const LARGEST: usize = SIZES[SIZES.len() - 1];

/// What stands in a statement in the place of a chunk.
const PLACE: &str = "CHUNK";

/// The texts of a statement for chunks of each size, made when they are first wanted.
struct Texts {
    sql: &'static str,
    texts: OnceLock<[String; SIZES.len()]>,
}

impl Texts {
    const fn new(sql: &'static str) -> Self {
        Self { sql, texts: OnceLock::new() }
    }

    /// The size for what is left, and the text for it; `chunk` writes a chunk of a size.
    fn of(&self, left: usize, chunk: impl Fn(usize) -> String) -> (usize, &str) {
        let texts = self.texts.get_or_init(|| SIZES.map(|size| self.sql.replace(PLACE, &chunk(size))));
        let at = SIZES.iter().position(|size| *size >= left).unwrap_or(SIZES.len() - 1);
        (SIZES[at], &texts[at])
    }
}

/// A statement that asks for many values: `... in (CHUNK)`. One other value may come first, as `$1`.
pub(super) struct Question(Texts);

impl Question {
    pub(super) const fn new(sql: &'static str) -> Self {
        Self(Texts::new(sql))
    }

    /// Statements that ask for all `values`, with their arguments.
    fn ask(&'static self, first: Option<Arg>, values: &[String]) -> impl Iterator<Item = (&'static str, Vec<Arg>)> {
        let begin = 1 + usize::from(first.is_some());
        values.chunks(LARGEST).map(move |chunk| {
            let (size, text) = self.0.of(chunk.len(), |size| list(begin..begin + size));
            // What fills it up is null, which nothing equals.
            let values = (0..size).map(|at| chunk.get(at).map(String::as_str).into());
            (text, first.clone().into_iter().chain(values).collect())
        })
    }
}

impl Tx {
    /// Rows about `values`, as this transaction sees them.
    pub(super) async fn ask(
        &mut self,
        what: &'static str,
        question: &'static Question,
        first: Option<Arg>,
        values: &[String],
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for (sql, args) in question.ask(first, values) {
            rows.extend(self.rows(what, sql, &args).await?);
        }
        Ok(rows)
    }
}

impl Db {
    /// Rows about `values`, outside of any transaction.
    pub(super) async fn ask(
        &self,
        what: &'static str,
        question: &'static Question,
        values: &[String],
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for (sql, args) in question.ask(None, values) {
            rows.extend(self.rows(what, sql, &args).await?);
        }
        Ok(rows)
    }
}

/// A statement that changes by many rows of `N` values: it reads them as `(CHUNK) as new`, with the columns `column1` to
/// `columnN`. Rows that fill a chunk up are null in all of them.
pub(super) struct Change<const N: usize>(Texts);

impl<const N: usize> Change<N> {
    pub(super) const fn new(sql: &'static str) -> Self {
        Self(Texts::new(sql))
    }

    /// Executes it for all `rows`; says how many it changed.
    pub(super) async fn execute(
        &'static self,
        tx: &mut Tx,
        what: &'static str,
        rows: Vec<[Arg; N]>,
    ) -> Result<u64, StoreError> {
        let mut changed = 0;
        for chunk in rows.chunks(LARGEST) {
            let (size, text) = self.0.of(chunk.len(), table::<N>);
            let mut args: Vec<Arg> = chunk.iter().flatten().cloned().collect();
            for _ in chunk.len()..size {
                args.extend(chunk[0].each_ref().map(Arg::null));
            }
            changed += tx.execute(what, text, &args).await?;
        }
        Ok(changed)
    }
}

/// A table of so many rows of `N` placeholders.
fn table<const N: usize>(size: usize) -> String {
    let row = |row| format!("({})", list(1 + row * N..1 + (row + 1) * N));
    format!("values {}", (0..size).map(row).collect::<Vec<_>>().join(", "))
}

fn list(numbers: Range<usize>) -> String {
    let mut text = String::new();
    for number in numbers {
        // Writing to a text cannot fail.
        let _ = write!(text, "{}${number}", if text.is_empty() { "" } else { ", " });
    }
    text
}
