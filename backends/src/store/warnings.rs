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
        let mut tx = self.begin().await?;
        add_warning(&mut tx, run, warning).await?;
        tx.commit().await
    }

    /// The warnings of a run, in the order of their words; then the destination tags of which a late result of this
    /// run said something else than the record did, in the order of their names.
    ///
    /// # Errors
    /// The database failed.
    pub async fn warnings(&self, run: RunId) -> Result<Vec<String>, StoreError> {
        let sql = "select warning from warnings where run = $1 order by warning";
        let rows = self.db.rows("list warnings", sql, &[run.into()]).await?;
        let mut warnings = rows.iter().map(|row| row.text("warning")).collect::<Result<Vec<_>, _>>()?;
        let sql = "select * from audits_due where run = $1 order by target, named_digest";
        for row in &self.db.rows("list audits that are due", sql, &[run.into()]).await? {
            let (target, recorded) = (row.text("target")?, row.text("recorded_digest")?);
            let named = row.text("named_digest")?;
            warnings
                .push(format!("`{target}` was recorded as {recorded}, and a late result named {named}: look at it"));
        }
        Ok(warnings)
    }
}

pub(super) async fn add_warning(tx: &mut Tx, run: RunId, warning: &str) -> Result<(), StoreError> {
    let sql = "insert into warnings (run, warning) values ($1, $2) on conflict do nothing";
    tx.execute("add a warning", sql, &[run.into(), warning.into()]).await?;
    Ok(())
}
