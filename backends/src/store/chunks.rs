//! Questions about many rows at once, and changes of many: in chunks of few sizes, so that the texts of a statement are
//! few, and known to the database.
//!
//! A statement costs more to send than to execute, so what is done to each task is done to all of a batch at once.

use std::sync::OnceLock;

use super::StoreError;
use super::db::{Arg, Db, Placeholders, Row, Tx};

/// Values, or rows, of a chunk.
const SIZES: [usize; 4] = [1, 5, 25, 125];

/// What stands in a statement in the place of a chunk.
const PLACE: &str = "CHUNK";

/// The texts of a statement for chunks of each size, made when they are first wanted.
struct Texts {
    sql: &'static str,
    bare: OnceLock<[String; SIZES.len()]>,
    numbered: OnceLock<[String; SIZES.len()]>,
}

impl Texts {
    const fn new(sql: &'static str) -> Self {
        Self { sql, bare: OnceLock::new(), numbered: OnceLock::new() }
    }

    fn of(&'static self, placeholders: Placeholders, chunk: impl Fn(usize) -> String) -> &'static [String] {
        let bare = |size| self.sql.replace(PLACE, &chunk(size));
        match placeholders {
            Placeholders::Bare => self.bare.get_or_init(|| SIZES.map(bare)),
            Placeholders::Numbered => self.numbered.get_or_init(|| SIZES.map(|size| numbered(&bare(size)))),
        }
    }

    /// `all` in chunks, each with its size and the text for that; `chunk` writes a chunk of a size.
    fn chunks<'a, T>(
        &'static self,
        placeholders: Placeholders,
        mut all: &'a [T],
        chunk: impl Fn(usize) -> String,
    ) -> impl Iterator<Item = (&'a [T], usize, &'static str)> {
        let texts = self.of(placeholders, chunk);
        std::iter::from_fn(move || {
            if all.is_empty() {
                return None;
            }
            let at = size_at(all.len());
            let (chunk, rest) = all.split_at(SIZES[at].min(all.len()));
            all = rest;
            Some((chunk, SIZES[at], texts[at].as_str()))
        })
    }
}

/// The size for the next chunk of what is `left`: the largest of which that fills half or more.
fn size_at(left: usize) -> usize {
    SIZES.iter().rposition(|size| 2 * left > *size).unwrap_or_default()
}

/// A statement that asks for many values: `... in (CHUNK)`. One other value may come after them, as `?`.
pub(super) struct Question(Texts);

impl Question {
    pub(super) const fn new(sql: &'static str) -> Self {
        Self(Texts::new(sql))
    }

    /// Statements that ask for all `values`, with their arguments.
    fn ask(
        &'static self,
        placeholders: Placeholders,
        values: &[String],
        last: Option<Arg>,
    ) -> impl Iterator<Item = (&'static str, Vec<Arg>)> {
        self.0.chunks(placeholders, values, list).map(move |(chunk, size, text)| {
            // What fills it up is null, which nothing equals.
            let values = (0..size).map(|at| chunk.get(at).map(String::as_str).into());
            (text, values.chain(last.clone()).collect())
        })
    }
}

impl Tx {
    /// Rows about `values`, as this transaction sees them.
    pub(super) async fn ask(
        &mut self,
        what: &'static str,
        question: &'static Question,
        values: &[String],
        last: Option<Arg>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        for (sql, args) in question.ask(self.placeholders(), values, last) {
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
        for (sql, args) in question.ask(self.placeholders(), values, None) {
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
        for (chunk, size, text) in self.0.chunks(tx.placeholders(), &rows, table::<N>) {
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
    let row = format!("({})", list(N));
    format!("values {}", vec![row; size].join(", "))
}

fn list(size: usize) -> String {
    vec!["?"; size].join(", ")
}

/// The same statement with a number for each `?`, in their order.
fn numbered(sql: &str) -> String {
    let mut parts = sql.split('?');
    let first = parts.next().unwrap_or_default().to_owned();
    (1..).zip(parts).fold(first, |text, (number, part)| format!("{text}${number}{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_their_order() {
        assert_eq!(numbered("in (?, ?) and run = ?"), "in ($1, $2) and run = $3");
        assert_eq!(numbered("select 1"), "select 1");
    }

    #[test]
    fn no_more_than_half_of_a_chunk_is_filled_up() {
        let sizes = |mut left: usize| {
            let mut sizes = Vec::new();
            while left > 0 {
                sizes.push(SIZES[size_at(left)]);
                left = left.saturating_sub(sizes[sizes.len() - 1]);
            }
            sizes
        };
        assert_eq!(sizes(2), [1, 1]);
        assert_eq!(sizes(24), [25]);
        assert_eq!(sizes(30), [25, 5]);
        assert_eq!(sizes(128), [125, 5]);
        assert_eq!(sizes(200), [125, 125]);
    }
}
