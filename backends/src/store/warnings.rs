//! What is worth a look in a run and is no failure.

use proto::RunId;

use super::db::Tx;
use super::{Store, StoreError};

impl Store {
    /// Adds a warning to a run; the same words a second time are passed over.
    ///
    /// # Errors
    /// The database failed, or the run is unknown.
    pub async fn add_warning(&self, run: RunId, warning: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        add_warning(&mut tx, run, warning).await?;
        tx.commit().await
    }

    /// The warnings of a run, in the order of their words.
    ///
    /// # Errors
    /// The database failed.
    pub async fn warnings(&self, run: RunId) -> Result<Vec<String>, StoreError> {
        let sql = "select warning from warnings where run = $1 order by warning";
        let rows = self.db.rows("list warnings", sql, &[run.into()]).await?;
        rows.iter().map(|row| row.text("warning")).collect()
    }
}

pub(super) async fn add_warning(tx: &mut Tx, run: RunId, warning: &str) -> Result<(), StoreError> {
    let sql = "insert into warnings (run, warning) values ($1, $2) on conflict do nothing";
    tx.execute("add a warning", sql, &[run.into(), warning.into()]).await?;
    Ok(())
}
