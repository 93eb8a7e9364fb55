//! Rows of an answer, and how their columns are read.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;

/// A row of an answer.
pub(in crate::store) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(in crate::store) fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        let text = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        };
        text.map_err(|source| StoreError::Statement { what: column, source })
    }

    pub(in crate::store) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.opt_text(column)?.ok_or_else(|| missing(column))
    }

    /// A whole number, where it may be missing.
    pub(in crate::store) fn opt_number<N: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<N>, StoreError> {
        let number: Result<Option<i64>, _> = match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        };
        let number = number.map_err(|source| StoreError::Statement { what: column, source })?;
        let convert =
            |number| N::try_from(number).map_err(|_| StoreError::Corrupt { column, text: number.to_string() });
        number.map(convert).transpose()
    }

    pub(in crate::store) fn number<N: TryFrom<i64>>(&self, column: &'static str) -> Result<N, StoreError> {
        self.opt_number(column)?.ok_or_else(|| missing(column))
    }

    pub(in crate::store) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.number::<i64>(column)? != 0)
    }

    /// A value that is kept as its text form.
    pub(in crate::store) fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| StoreError::Corrupt { column, text })
    }

    /// The same, where it may be missing.
    pub(in crate::store) fn opt_parse<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let parse = |text: String| text.parse().map_err(|_| StoreError::Corrupt { column, text });
        self.opt_text(column)?.map(parse).transpose()
    }

    /// A value that is kept as JSON.
    pub(in crate::store) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|_| StoreError::Corrupt { column, text })
    }

    /// The same, where it may be missing.
    pub(in crate::store) fn opt_json<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let parse = |text: String| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt { column, text });
        self.opt_text(column)?.map(parse).transpose()
    }
}

/// Nothing, where there must be something.
fn missing(column: &'static str) -> StoreError {
    StoreError::Corrupt { column, text: String::new() }
}
