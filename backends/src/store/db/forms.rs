//! The form of the tables, and how older ones are brought to it.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// The form of the tables: the number of the last migration.
pub(super) const FORM: i64 = 4;

/// What leads from each form to the next one, the same for both databases.
const MIGRATIONS: [(i64, &str, &str); 4] = [
    (1, "first", include_str!("../migrations/1_first.sql")),
    (2, "listings", include_str!("../migrations/2_listings.sql")),
    (3, "turns", include_str!("../migrations/3_turns.sql")),
    (FORM, "fleet", include_str!("../migrations/4_fleet.sql")),
];

pub(super) fn of_sqlite() -> Migrator {
    migrator(SqlStr::from_static)
}

/// `first` stands before each migration, in its transaction.
pub(super) fn of_postgres(first: &str) -> Migrator {
    // Rows come in the order of the bytes of their names, as in SQLite and in Rust, whatever order the database was made
    // with.
    migrator(|sql| AssertSqlSafe(format!("{first};\n{}", sql.replace(" text", " text collate \"C\""))).into_sql_str())
}

fn migrator(text: impl Fn(&'static str) -> SqlStr) -> Migrator {
    let migration = |(form, name, sql): (i64, &'static str, _)| {
        Migration::new(form, name.into(), MigrationType::Simple, text(sql), false)
    };
    Migrator::with_migrations(MIGRATIONS.map(migration).into())
}
