//! Who may call the fleet's API: tokens, of which only the digest is kept.

use jiff::Timestamp;
use proto::Digest;

use super::db::Row;
use super::{Store, StoreError};

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look.
    Read,
    /// To look, and to start, stop and decide.
    Write,
}

/// A token to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its public name, unlike that of any other.
    pub id: String,
    /// What it is for, in a person's words.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the token, which is too long to be guessed, and of which nothing else is kept.
    pub digest: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

/// A token, without what its digest was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public name.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When somebody last called with it, as far as that was noted.
    pub last_used_at: Option<Timestamp>,
    /// From when on it allows nothing.
    pub revoked_at: Option<Timestamp>,
}

impl Role {
    /// The name in store, settings and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Read, Self::Write].into_iter().find(|role| role.as_str() == name)
    }
}

impl Store {
    /// Keeps a token; false if one of this id is kept already, which stays as it is.
    ///
    /// # Errors
    /// The database failed, or there is a token of this digest under another id.
    pub async fn create_token(&self, token: &NewToken) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "insert into tokens (id, name, role, sha256, created_at, created_by)
             values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing";
        let args = [
            token.id.as_str().into(),
            token.name.as_str().into(),
            token.role.as_str().into(),
            token.digest.as_str().into(),
            token.created_at.into(),
            token.created_by.as_str().into(),
        ];
        let created = tx.execute("keep a token", sql, &args).await?;
        tx.commit().await?;
        Ok(created == 1)
    }

    /// All tokens, revoked ones too, in the order in which they were made.
    ///
    /// # Errors
    /// The database failed.
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let sql = "select * from tokens where project = 'default' order by created_at, id";
        self.db.rows("list tokens", sql, &[]).await?.iter().map(read_token).collect()
    }

    /// The token of this digest, unless it was revoked.
    ///
    /// # Errors
    /// The database failed.
    pub async fn find_token(&self, digest: &Digest) -> Result<Option<Token>, StoreError> {
        let sql = "select * from tokens where project = 'default' and sha256 = $1 and revoked_at is null";
        let rows = self.db.rows("find a token", sql, &[digest.as_str().into()]).await?;
        rows.first().map(read_token).transpose()
    }

    /// Notes that somebody called with a token. A write for each call would be too many: the caller notes it now and then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn note_token_used(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update tokens set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)";
        tx.execute("note that a token was used", sql, &[id.into(), now.into()]).await?;
        tx.commit().await
    }

    /// From now on a token allows nothing. False if there is none, or it was revoked before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoke_token(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update tokens set revoked_at = $2 where id = $1 and revoked_at is null";
        let revoked = tx.execute("revoke a token", sql, &[id.into(), now.into()]).await?;
        tx.commit().await?;
        Ok(revoked == 1)
    }
}

fn read_token(row: &Row) -> Result<Token, StoreError> {
    let role = row.text("role")?;
    Ok(Token {
        id: row.text("id")?,
        name: row.text("name")?,
        role: Role::from_name(&role).ok_or(StoreError::Corrupt { column: "role", text: role })?,
        created_at: row.parse("created_at")?,
        created_by: row.text("created_by")?,
        last_used_at: row.opt_parse("last_used_at")?,
        revoked_at: row.opt_parse("revoked_at")?,
    })
}
