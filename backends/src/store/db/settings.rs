//! Where a PostgreSQL is, and who we are there.

use std::fmt;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::store::StoreError;

/// Parameters that a URL may have: of others it is unknown what they mean, and whether they are secret.
const PARAMETERS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "application_name"];

/// Where a PostgreSQL database is, and who we are there.
#[derive(Clone)]
pub struct PostgresSettings {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, user and password left out if they are given apart; with `sslmode`
    /// (`prefer` if it is not named, `verify-full` to be sure of who answers), `sslrootcert`, `sslcert` and `sslkey` as
    /// parameters.
    pub url: String,
    /// The user, instead of the URL's.
    pub user: Option<String>,
    /// The password, instead of the URL's.
    pub password: Option<String>,
}

impl PostgresSettings {
    pub(super) fn options(&self) -> Result<PgConnectOptions, StoreError> {
        let url = Url::parse(&self.url).map_err(|error| StoreError::Address(error.into()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(StoreError::Address(format!("it begins with `{}:`", url.scheme()).into()));
        }
        if let Some((name, _)) = url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&name.as_ref())) {
            return Err(StoreError::Address(format!("the parameter `{name}` is not known").into()));
        }
        let options = PgConnectOptions::from_url(&url).map_err(|error| StoreError::Address(error.into()))?;
        let options = match &self.user {
            Some(user) => options.username(user),
            None => options,
        };
        Ok(match &self.password {
            Some(password) => options.password(password),
            None => options,
        })
    }
}

impl From<&str> for PostgresSettings {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), user: None, password: None }
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresSettings").field(&self.address()).finish()
    }
}

impl PostgresSettings {
    /// Where the database is, as `host:port/database`, without who we are; what is wrong with the URL, if it is none.
    pub fn address(&self) -> String {
        self.options().map_or_else(|error| error.to_string(), |options| address(&options))
    }
}

/// Where it is, without who we are: `host:port/database`.
pub(super) fn address(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> PostgresSettings {
        PostgresSettings::from(url)
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let mut settings = settings("postgres://robot:s3cret@db.example.com:5433/factory?sslmode=require");
        assert_eq!(format!("{settings:?}"), r#"PostgresSettings("db.example.com:5433/factory")"#);
        settings.password = Some("0ther".to_owned());
        assert_eq!(format!("{settings:?}"), r#"PostgresSettings("db.example.com:5433/factory")"#);
        settings.url = "mysql://robot:s3cret@db.example.com/factory".to_owned();
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_a_word_of_what_is_secret() {
        for url in [
            "robot:s3cret@db.example.com/factory",
            "mysql://robot:s3cret@db.example.com/factory",
            "postgres://robot:s3cret@db.example.com:port/factory",
            "postgres://robot:s3cret@db.example.com/factory?passwd=s3cret",
            "postgres://robot:s3cret@db.example.com/factory?sslmode=perhaps",
        ] {
            let error = settings(url).options().unwrap_err();
            let told = format!("{error} {error:?} {:?}", std::error::Error::source(&error).map(ToString::to_string));
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn user_and_password_may_be_given_apart() {
        let settings = PostgresSettings {
            user: Some("robot".to_owned()),
            password: Some("s3cret".to_owned()),
            ..settings("postgres://db.example.com/factory")
        };
        let options = settings.options().unwrap();
        assert_eq!((options.get_username(), options.get_host()), ("robot", "db.example.com"));
        let url = options.to_url_lossy();
        assert_eq!(url.password(), Some("s3cret"));
    }
}
