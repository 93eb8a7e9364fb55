//! Which of several coordinators leads: one at a time, for a term.

use std::fmt;
use std::time::Duration;

use super::db::Tx;
use super::{Store, StoreError};

/// The time for which one coordinator leads; the next one that does has the next number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u32);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Store {
    /// Takes the lead for `lasts` from now on by the database's clock, unless another `holder` has it. None if one has.
    /// Who has it already keeps its term, so that one whose answer was lost asks again.
    ///
    /// The holder counts `lasts` on its own clock, from before it asked, and stops in good time. `holder` is a name that no
    /// other process has, not even the same program after a restart.
    ///
    /// # Errors
    /// The database failed; the lead may have been taken.
    pub async fn take_leadership(&self, holder: &str, lasts: Duration) -> Result<Option<Term>, StoreError> {
        let mut tx = self.db.begin().await?;
        let now = tx.clock().await?;
        let until = now.checked_add(lasts).unwrap_or(now);
        let sql = "update leadership set term = term + (case when holder = $1 then 0 else 1 end), holder = $1, expires_at = $2
             where holder = $1 or expires_at <= $3
             returning term";
        let row = tx.row("take the lead", sql, &[holder.into(), until.into(), now.into()]).await?;
        tx.commit().await?;
        row.map(|row| Ok(Term(row.number("term")?))).transpose()
    }

    /// Keeps the lead for `lasts` from now on. False if another one has taken it meanwhile, or it was given up: then it is
    /// lost for good.
    ///
    /// # Errors
    /// The database failed; the lead may have been kept.
    pub async fn renew_leadership(&self, term: Term, holder: &str, lasts: Duration) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let now = tx.clock().await?;
        let until = now.checked_add(lasts).unwrap_or(now);
        let sql = "update leadership set expires_at = $3 where term = $1 and holder = $2";
        let renewed = tx.execute("keep the lead", sql, &[term.0.into(), holder.into(), until.into()]).await?;
        tx.commit().await?;
        Ok(renewed == 1)
    }

    /// Gives up the lead, so that the next one need not wait. False if it was lost before.
    ///
    /// # Errors
    /// The database failed; the lead may have been given up, and it ends with its time anyhow.
    pub async fn resign_leadership(&self, term: Term, holder: &str) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let now = tx.clock().await?;
        let sql = "update leadership set holder = '', expires_at = $3 where term = $1 and holder = $2";
        let resigned = tx.execute("give up the lead", sql, &[term.0.into(), holder.into(), now.into()]).await?;
        tx.commit().await?;
        Ok(resigned == 1)
    }

    /// The same Store for what the leader of this term does: once the term has ended, verbs that write fail with
    /// [`StoreError::NotLeader`] and change nothing, however long ago the caller looked. Verbs that read go on.
    pub fn led_by(&self, term: Term) -> Self {
        Self { term: Some(term), ..self.clone() }
    }

    /// Begins a transaction, in which our term has not ended and cannot end.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let mut tx = self.db.begin().await?;
        if let Some(term) = self.term {
            // Whoever takes the lead waits for us, or we have waited for it.
            let sql = "select holder from leadership where term = $1";
            let row = tx.row("look who leads", sql, &[term.0.into()]).await?;
            row.ok_or(StoreError::NotLeader(term))?;
        }
        Ok(tx)
    }
}
