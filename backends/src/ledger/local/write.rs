//! Writing into the file, and pruning it, so that it stays within its bounds.

use jiff::Timestamp;
use proto::Digest;
use serde_json::{Value, json};
use sqlx::SqliteExecutor;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::unsaved::Unsaved;

/// What a file holds at most, at any time.
struct Bounds {
    held: i64,
    repositories: i64,
    manifest_bytes: i64,
}

const BOUNDS: Bounds = Bounds { held: 5_000_000, repositories: 500_000, manifest_bytes: 1024 * 1024 * 1024 };

/// One part in so many is room for what comes between two prunings.
const PARTS: i64 = 16;

/// What was written since the last pruning. A new process prunes first.
#[derive(Default)]
pub(super) struct Written(Option<Amount>);

#[derive(Default)]
struct Amount {
    notes: i64,
    manifest_bytes: i64,
}

impl Written {
    fn add(&mut self, notes: usize, manifest_bytes: usize) {
        if let Some(amount) = &mut self.0 {
            amount.notes += i64::try_from(notes).unwrap_or(i64::MAX / 2);
            amount.manifest_bytes += i64::try_from(manifest_bytes).unwrap_or(i64::MAX / 2);
        }
    }

    fn is_much(&self) -> bool {
        self.0.as_ref().is_none_or(|amount| {
            amount.notes >= BOUNDS.repositories / PARTS || amount.manifest_bytes >= BOUNDS.manifest_bytes / PARTS
        })
    }
}

/// Writes all of it or nothing.
pub(super) async fn write(writer: &SqlitePool, unsaved: &Unsaved, written: &mut Written) -> Result<(), sqlx::Error> {
    let now = Timestamp::now().as_microsecond();
    let mut transaction = writer.begin_with("begin immediate").await?;
    write_notes(&mut transaction, unsaved, now).await?;
    for (digest, kept) in &unsaved.manifests {
        let sql = "insert into manifests (digest, media_type, raw, size, used) values (unhex($1), $2, $3, $4, $5) \
                   on conflict (digest) do update set media_type = excluded.media_type, raw = excluded.raw, \
                   size = excluded.size, used = excluded.used";
        let size = i64::try_from(kept.raw.len()).unwrap_or(i64::MAX);
        let row = sqlx::query(sql).bind(digest.hex()).bind(&kept.media_type).bind(&kept.raw[..]).bind(size).bind(now);
        row.execute(&mut *transaction).await?;
    }
    let used: Vec<_> = unsaved.used.iter().map(Digest::hex).collect();
    let sql = "update manifests set used = $2 where digest in (select unhex(value) from json_each($1))";
    run(&mut *transaction, sql, &json!(used), now).await?;
    for (registry, learned) in &unsaved.learned {
        let sql = "insert into registries (host, learned) values ($1, $2) \
                   on conflict (host) do update set learned = excluded.learned";
        sqlx::query(sql).bind(registry.as_str()).bind(learned).execute(&mut *transaction).await?;
    }
    let bytes = unsaved.manifests.values().map(|kept| kept.raw.len()).sum();
    written.add(unsaved.notes.len() + unsaved.repositories.len(), bytes);
    if written.is_much() {
        prune(&mut transaction, &BOUNDS).await?;
        *written = Written(Some(Amount::default()));
    }
    transaction.commit().await
}

async fn write_notes(connection: &mut SqliteConnection, unsaved: &Unsaved, now: i64) -> Result<(), sqlx::Error> {
    if unsaved.repositories.is_empty() {
        return Ok(());
    }
    let repositories: Vec<_> = unsaved.repositories.iter().map(|r| json!([r.host().as_str(), r.path()])).collect();
    let repositories = json!(repositories);
    let sql = "insert into registries (host) select distinct value ->> 0 from json_each($1) where $2 > 0 \
               on conflict (host) do nothing";
    run(&mut *connection, sql, &repositories, now).await?;
    let sql = "insert into repositories (registry, path, noted) \
               select registries.id, said.value ->> 1, $2 from json_each($1) as said \
               cross join registries on registries.host = said.value ->> 0 where true \
               on conflict (registry, path) do update set noted = excluded.noted";
    run(&mut *connection, sql, &repositories, now).await?;
    let rows = |wanted: bool| -> Value {
        let notes = unsaved.notes.iter().filter(|(_, (_, held))| *held == wanted);
        notes.map(|((r, digest), (place, _))| json!([r.host().as_str(), r.path(), digest.hex(), place])).collect()
    };
    let sql = "insert into held (registry, digest, repository, noted) \
               select registries.id, unhex(said.value ->> 2), repositories.id, $2 + (said.value ->> 3) \
               from json_each($1) as said \
               cross join registries on registries.host = said.value ->> 0 \
               cross join repositories on repositories.registry = registries.id \
               and repositories.path = said.value ->> 1 where true \
               on conflict (registry, digest, repository) do update set noted = excluded.noted";
    run(&mut *connection, sql, &rows(true), now).await?;
    run(&mut *connection, FORGET, &rows(false), now).await
}

const FORGET: &str = "delete from held where (registry, digest, repository) in \
                      (select registries.id, unhex(said.value ->> 2), repositories.id \
                      from json_each($1) as said \
                      cross join registries on registries.host = said.value ->> 0 \
                      cross join repositories on repositories.registry = registries.id \
                      and repositories.path = said.value ->> 1) and $2 > 0";

/// Runs a statement that takes rows ($1, JSON) and the time ($2); nothing for no rows.
async fn run(
    connection: impl SqliteExecutor<'_>,
    sql: &'static str,
    rows: &Value,
    now: i64,
) -> Result<(), sqlx::Error> {
    if rows.as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    sqlx::query(sql).bind(rows.to_string()).bind(now).execute(connection).await?;
    Ok(())
}

/// Makes room, so that what is written until the next pruning stays within the bounds.
async fn prune(connection: &mut SqliteConnection, bounds: &Bounds) -> Result<(), sqlx::Error> {
    let keep = |bound: i64| bound - bound / PARTS;
    // Statements that find nothing to delete have read one index.
    let statements = [
        (
            "delete from manifests where rowid in (select rowid from \
             (select rowid, sum(size) over (order by used desc, rowid desc) as total from manifests) where total > $1)",
            keep(bounds.manifest_bytes),
        ),
        (
            "delete from repositories where (select count(*) from repositories) > $1 and id not in \
             (select id from repositories order by noted desc limit $1)",
            keep(bounds.repositories),
        ),
        (
            "delete from held where (select count(*) from held) > $1 and \
             noted <= (select noted from held order by noted desc limit 1 offset $1)",
            keep(bounds.held),
        ),
    ];
    for (sql, bound) in statements {
        sqlx::query(sql).bind(bound).execute(&mut *connection).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::Repository;
    use sqlx::Row as _;
    use sqlx::sqlite::SqlitePoolOptions;

    use super::*;
    use crate::ledger::kept::Kept;

    fn repository(n: usize) -> Repository {
        Repository::new("registry.example.com".parse().unwrap(), &format!("app{n}")).unwrap()
    }

    async fn numbers(pool: &SqlitePool, sql: &'static str) -> Vec<i64> {
        sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_noted_and_used_longest_ago_goes_first() {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(include_str!("form.sql")).execute(&pool).await.unwrap();
        let mut written = Written::default();
        for n in 0..32 {
            let mut unsaved = Unsaved::default();
            unsaved.note(&repository(n), &[Digest::of(b"a"), Digest::of(b"b")], true);
            unsaved.note(&repository(0), &[Digest::of(b"a")], true);
            let raw = Bytes::from(vec![0; n + 1]);
            unsaved.manifests.insert(Digest::of(&raw), Kept { media_type: String::new(), raw });
            unsaved.use_manifest(&Digest::of(&[0]));
            write(&pool, &unsaved, &mut written).await.unwrap();
        }
        let bounds = Bounds { held: 16, repositories: 16, manifest_bytes: 64 };
        prune(&mut pool.acquire().await.unwrap(), &bounds).await.unwrap();
        let sizes = numbers(&pool, "select size from manifests order by size").await;
        assert_eq!(sizes, [1, 32], "the first was used with the last, and the last two measure more than 60");
        let repositories =
            numbers(&pool, "select cast(substr(path, 4) as integer) from repositories order by id").await;
        assert_eq!(repositories, [0].into_iter().chain(18..32).collect::<Vec<_>>());
        assert_eq!(numbers(&pool, "select count(*) from held").await, [15]);
        let newest = "select distinct cast(substr(path, 4) as integer) from held \
                      join repositories on repositories.id = held.repository order by 1";
        assert_eq!(numbers(&pool, newest).await, [0].into_iter().chain(25..32).collect::<Vec<_>>());
        let bounds = Bounds { held: 1_000, repositories: 1_000, manifest_bytes: 1_000 };
        prune(&mut pool.acquire().await.unwrap(), &bounds).await.unwrap();
        assert_eq!(numbers(&pool, "select count(*) from held").await, [15], "there was room");
    }

    #[tokio::test]
    async fn what_is_held_is_found_by_digest_and_never_by_reading_through_it() {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(include_str!("form.sql")).execute(&pool).await.unwrap();
        for sql in [FORGET, include_str!("holders.sql")] {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("explain query plan {sql}")));
            let plan = plan.fetch_all(&pool).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let through_held = |step: &&String| ["held", "here", "newer"].iter().any(|name| step.contains(name));
            let through_held: Vec<_> = steps.iter().filter(through_held).collect();
            assert!(!through_held.is_empty());
            assert!(through_held.iter().all(|step| step.contains("(registry=? AND digest=?")), "{steps:#?}");
        }
    }
}
