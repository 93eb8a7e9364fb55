//! What the processes of a fleet are told: where queue, ledger and evidence are, each by a flag or an environment variable.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use backends::rabbit::{PREFIX, RabbitQueue, RabbitSettings, RabbitTls};
use backends::store::PostgresSettings;
use backends::{Evidence, Queue as _, RedisLedger, RedisSettings};
use clap::Args;
use daemon::{ErrorChain, Health, Metrics, Shutdown};

use crate::exit::UsageError;

/// Where the queue is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Queue: RabbitMQ 3.10 or later")]
pub(crate) struct QueueArgs {
    /// The broker: `amqp://HOST[:PORT][/VHOST]`, or `amqps://…` for TLS.
    #[arg(long, value_name = "URL", env = "IMAGE_FACTORY_QUEUE", hide_env_values = true)]
    queue: String,

    /// User at the broker, if the URL names none.
    #[arg(long, value_name = "NAME", env = "IMAGE_FACTORY_QUEUE_USER", requires = "queue_password_file")]
    queue_user: Option<String>,

    /// File with the user's password.
    #[arg(long, value_name = "FILE", env = "IMAGE_FACTORY_QUEUE_PASSWORD_FILE", requires = "queue_user")]
    queue_password_file: Option<PathBuf>,

    /// PEM file of the authority that signs the broker's certificate; without it the system's are trusted.
    #[arg(long, value_name = "FILE", env = "IMAGE_FACTORY_QUEUE_CA_FILE")]
    queue_ca_file: Option<PathBuf>,

    /// PEM file of our certificate, by which the broker knows us.
    #[arg(long, value_name = "FILE", env = "IMAGE_FACTORY_QUEUE_CERT_FILE", requires = "queue_key_file")]
    queue_cert_file: Option<PathBuf>,

    /// PEM file of its key.
    #[arg(long, value_name = "FILE", env = "IMAGE_FACTORY_QUEUE_KEY_FILE", requires = "queue_cert_file")]
    queue_key_file: Option<PathBuf>,

    /// How the names of our queues begin, so that several factories share a broker.
    #[arg(
        long, value_name = "PREFIX", env = "IMAGE_FACTORY_QUEUE_PREFIX", default_value = PREFIX)]
    queue_prefix: String,
}

impl QueueArgs {
    /// Begins to connect, as `name`; says also where.
    pub(crate) fn open(&self, name: &str) -> anyhow::Result<(Arc<RabbitQueue>, String)> {
        let usage = |error| UsageError(format!("--queue: {}", ErrorChain(&error)));
        let mut settings = RabbitSettings::new(&self.queue).map_err(usage)?.with_name(name);
        settings = settings.with_prefix(&self.queue_prefix).map_err(usage)?;
        if let (Some(user), Some(file)) = (&self.queue_user, &self.queue_password_file) {
            settings = settings.with_login(user, &secret(file)?);
        }
        if self.queue_ca_file.is_some() || self.queue_cert_file.is_some() {
            let client = self.queue_cert_file.clone().zip(self.queue_key_file.clone());
            settings = settings.with_tls(RabbitTls { ca: self.queue_ca_file.clone(), client }).map_err(usage)?;
        }
        let address = settings.address();
        Ok((Arc::new(RabbitQueue::new(settings)), address))
    }
}

/// Where the ledger is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ledger: Redis")]
pub(crate) struct LedgerArgs {
    /// The ledger, which may be lost at any time: `redis://HOST[:PORT][/DB]`, or `rediss://…` for TLS.
    #[arg(long, value_name = "URL", env = "IMAGE_FACTORY_LEDGER", hide_env_values = true)]
    ledger: String,

    /// File with the password.
    #[arg(long, value_name = "FILE", env = "IMAGE_FACTORY_LEDGER_PASSWORD_FILE")]
    ledger_password_file: Option<PathBuf>,

    /// PEM file of the authority that signs the server's certificate; without it the system's are trusted.
    #[arg(long, value_name = "FILE", env = "IMAGE_FACTORY_LEDGER_CA_FILE")]
    ledger_ca_file: Option<PathBuf>,

    /// How the names of our keys begin, so that several factories share a server.
    #[arg(
        long, value_name = "PREFIX", env = "IMAGE_FACTORY_LEDGER_PREFIX", default_value = PREFIX)]
    ledger_prefix: String,
}

impl LedgerArgs {
    /// The ledger, reached or not.
    pub(crate) fn open(&self) -> anyhow::Result<Arc<RedisLedger>> {
        let password = self.ledger_password_file.as_deref().map(secret).transpose()?;
        let settings = RedisSettings {
            password,
            ca_file: self.ledger_ca_file.clone(),
            prefix: self.ledger_prefix.clone(),
            ..RedisSettings::new(&self.ledger)
        };
        Ok(Arc::new(RedisLedger::new(settings)))
    }
}

/// Where evidence lies.
#[derive(Debug, Args)]
#[command(next_help_heading = "Evidence")]
pub(crate) struct EvidenceArgs {
    /// Where reports, and what runs work by, are kept: a folder that all processes share, or `s3://BUCKET/PREFIX`, `gs://…`, `az://…`.
    ///
    /// Credentials come from the environment, as each vendor names them: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`,
    /// `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`.
    #[arg(long, value_name = "PLACE", env = "IMAGE_FACTORY_EVIDENCE")]
    evidence: String,
}

impl EvidenceArgs {
    /// The place, reached or not.
    pub(crate) fn open(&self) -> anyhow::Result<(Evidence, String)> {
        let evidence = Evidence::open(&self.evidence, std::env::vars());
        let evidence = evidence.map_err(|error| UsageError(format!("--evidence: {}", ErrorChain(&error))))?;
        Ok((evidence, self.evidence.clone()))
    }
}

/// Where the store is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store: PostgreSQL")]
pub(crate) struct StoreArgs {
    /// The database: `postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE`; TLS by `?sslmode=verify-full&sslrootcert=FILE`.
    #[arg(long, value_name = "URL", env = "IMAGE_FACTORY_STORE", hide_env_values = true)]
    store: String,

    /// File with the user's password.
    #[arg(long, value_name = "FILE", env = "IMAGE_FACTORY_STORE_PASSWORD_FILE")]
    store_password_file: Option<PathBuf>,
}

impl StoreArgs {
    /// How to reach it.
    pub(crate) fn settings(&self) -> anyhow::Result<PostgresSettings> {
        let password = self.store_password_file.as_deref().map(secret).transpose()?;
        Ok(PostgresSettings { password, ..PostgresSettings::from(self.store.as_str()) })
    }
}

/// What a file holds, without the end of its line.
fn secret(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read secret from `{}`", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A name that no other process has, not even the same program after a restart: of the machine, and by chance.
pub(crate) fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "worker" } else { host.trim() };
    format!("{host}-{}-{:06x}", std::process::id(), fastrand::u32(..0x0100_0000))
}

/// What a process of a fleet answers about itself: ready while queue and evidence can be used.
pub(crate) fn health(
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
    (queue, queue_address): (&Arc<RabbitQueue>, &str),
    (evidence, place): (&Evidence, &str),
) -> Health {
    let (queue, evidence) = (queue.clone(), evidence.clone());
    let queue_state = move || {
        let health = queue.health();
        async move {
            match health {
                backends::Health::Ready => Ok(()),
                backends::Health::NotReady(why) => Err(why),
            }
        }
    };
    let evidence_state = move || {
        let evidence = evidence.clone();
        async move { evidence.health().await.map_err(|error| ErrorChain(&error).to_string()) }
    };
    let health = Health::new(metrics.clone(), shutdown);
    health.depends_on("queue", queue_address, queue_state).depends_on("evidence", place, evidence_state)
}
