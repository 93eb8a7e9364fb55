//! How to reach a broker, and what on it is ours.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

/// What queue names begin with, unless it is said otherwise.
pub const PREFIX: &str = "image-factory";

/// Names of queues have 255 bytes at most, and ours append to this.
const PREFIX_BYTES_MAX: usize = 200;

/// How to reach a broker, and what on it is ours.
#[derive(Debug, Clone)]
pub struct RabbitSettings {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) vhost: String,
    pub(super) user: String,
    pub(super) password: Password,
    /// None without TLS.
    pub(super) tls: Option<RabbitTls>,
    pub(super) prefix: String,
    pub(super) name: String,
    pub(super) times: RabbitTimes,
}

/// Whom to trust and who we are, as PEM files. They are read for each connection, so that renewed ones are used.
#[derive(Debug, Clone, Default)]
pub struct RabbitTls {
    /// Who vouches for the broker; the system's authorities if there is none.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, for a broker that wants one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct RabbitTimes {
    /// After twice this time without a sign of life a connection is given up: whole seconds, from 1 on.
    pub heartbeat: Duration,
    /// For a connection from the first byte to the last queue.
    pub connect: Duration,
    /// For an answer, and for a message from `publish` to the broker's confirm: after it, nobody knows.
    pub answer: Duration,
    /// The longest pause between two tries to connect; they begin with a tenth of a second.
    pub pause: Duration,
}

impl Default for RabbitTimes {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(30),
            pause: Duration::from_secs(10),
        }
    }
}

/// Why settings cannot be used. Says nothing of what stands in a URL, because a password may.
#[derive(Debug, thiserror::Error)]
pub enum RabbitSettingsError {
    /// Not a URL.
    #[error("read the broker's URL")]
    Url(#[source] url::ParseError),
    /// Not a URL of ours.
    #[error("the broker's URL {0}; expected `amqp://HOST[:PORT][/VHOST]`, or `amqps`")]
    Form(&'static str),
    /// TLS files beside a URL without TLS.
    #[error("certificates are given for a broker whose URL begins with `amqp`; expected `amqps`")]
    TlsUnused,
    /// A prefix that no name of a queue can have.
    #[error(
        "`{0}` cannot begin the names of queues; expected letters, digits, `.`, `_` and `-`, {PREFIX_BYTES_MAX} at most"
    )]
    Prefix(String),
}

impl RabbitSettings {
    /// Reads `amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]`. Without a user it is `guest`, whom a broker lets in from
    /// its own machine; without a vhost, or with an empty one, `/`.
    ///
    /// # Errors
    /// It is not such a URL.
    pub fn new(url: &str) -> Result<Self, RabbitSettingsError> {
        let form = RabbitSettingsError::Form;
        let url = Url::parse(url).map_err(RabbitSettingsError::Url)?;
        let tls = match url.scheme() {
            "amqp" => None,
            "amqps" => Some(RabbitTls::default()),
            _ => return Err(form("is of another kind")),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(form("has a `?` or `#`"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(form("names no host"))?;
        let vhost = decode(url.path().trim_start_matches('/'))?;
        let user = decode(url.username())?;
        Ok(Self {
            // An address of IPv6 has brackets only within a URL.
            host: decode(host.trim_matches(['[', ']']))?,
            port: url.port().unwrap_or(if tls.is_some() { 5671 } else { 5672 }),
            vhost: if vhost.is_empty() { "/".into() } else { vhost },
            user: if user.is_empty() { "guest".into() } else { user },
            password: Password(decode(url.password().unwrap_or("guest"))?),
            tls,
            prefix: PREFIX.into(),
            name: PREFIX.into(),
            times: RabbitTimes::default(),
        })
    }

    /// Who we are, in place of what the URL says.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        self.user = user.into();
        self.password = Password(password.into());
        self
    }

    /// Which certificates to use.
    ///
    /// # Errors
    /// The URL is one without TLS.
    pub fn with_tls(mut self, tls: RabbitTls) -> Result<Self, RabbitSettingsError> {
        *self.tls.as_mut().ok_or(RabbitSettingsError::TlsUnused)? = tls;
        Ok(self)
    }

    /// What the names of queues begin with: factories with different ones share a broker.
    ///
    /// # Errors
    /// No queue can be called so.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, RabbitSettingsError> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !prefix.chars().all(is_fit) {
            return Err(RabbitSettingsError::Prefix(prefix.into()));
        }
        self.prefix = prefix.into();
        Ok(self)
    }

    /// What the names of queues begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What the broker shows as the name of our connections, as in `worker at HOST`.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// How long things may take.
    #[must_use]
    pub fn with_times(mut self, times: RabbitTimes) -> Self {
        self.times = times;
        self
    }

    /// Where the broker is, without who we are: `amqp://HOST:PORT/VHOST`.
    pub fn address(&self) -> String {
        let s = if self.tls.is_some() { "s" } else { "" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("amqp{s}://{host}:{}/{}", self.port, self.vhost.trim_start_matches('/'))
    }
}

/// Shows itself to nobody.
#[derive(Clone)]
pub(super) struct Password(pub(super) String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn decode(text: &str) -> Result<String, RabbitSettingsError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| RabbitSettingsError::Form("has `%` before what is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> RabbitSettings {
        RabbitSettings::new(url).unwrap()
    }

    #[test]
    fn a_url_says_where_the_broker_is_and_what_it_leaves_out_is_usual() {
        let settings = read("amqps://me:se%63ret@broker.example.com:1234/a%2Fb");
        assert_eq!((&*settings.host, settings.port, &*settings.vhost), ("broker.example.com", 1234, "a/b"));
        assert_eq!((&*settings.user, &*settings.password.0), ("me", "secret"));
        assert_eq!(settings.address(), "amqps://broker.example.com:1234/a/b");
        for url in
            ["amqp://localhost", "amqp://localhost/", "amqp://localhost:5672/%2F", "amqp://guest:guest@localhost"]
        {
            let settings = read(url);
            assert_eq!((settings.port, &*settings.vhost, &*settings.user), (5672, "/", "guest"), "{url}");
            assert_eq!(settings.address(), "amqp://localhost:5672/");
        }
        let six = read("amqps://[::1]");
        assert_eq!((&*six.host, &*six.address()), ("::1", "amqps://[::1]:5671/"));
    }

    #[test]
    fn what_is_no_url_of_a_broker_is_refused_without_a_word_of_it() {
        for url in
            ["secret", "http://me:secret@host", "amqp://me:secret@host?x=1", "amqp:///v", "amqp://me:secret%FF@host"]
        {
            let error = RabbitSettings::new(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
        assert!(matches!(read("amqp://host").with_tls(RabbitTls::default()), Err(RabbitSettingsError::TlsUnused)));
        for prefix in ["", "a b", "a/b", &"x".repeat(PREFIX_BYTES_MAX + 1)] {
            assert!(matches!(read("amqp://host").with_prefix(prefix), Err(RabbitSettingsError::Prefix(_))), "{prefix}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = read("amqp://me:secret@host").with_login("me", "other-secret");
        assert!(!format!("{settings:?} {}", settings.address()).contains("secret"));
    }
}
