//! One connection to the broker, made within a bounded time, and ended from outside if need be.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::{fs, io};

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::cause;
use super::settings::{RabbitSettings, RabbitTls};

/// The socket of a connection once more. The client waits for ever for the rest of a handshake, and for an answer to its
/// goodbye; without its socket it ends.
#[derive(Clone, Default)]
pub(super) struct Cord(Arc<OnceLock<TcpStream>>);

impl Cord {
    fn attach(&self, socket: impl AsFd) -> io::Result<()> {
        let _ = self.0.set(socket.as_fd().try_clone_to_owned()?.into());
        Ok(())
    }

    /// Ends the connection at once, with all that is under way on it.
    pub(super) fn cut(&self) {
        if let Some(socket) = self.0.get() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Connects and says hello. The cord is attached as soon as there is a socket, however this ends.
///
/// # Errors
/// Says what failed and why.
pub(super) async fn connect(settings: &RabbitSettings, role: &str, cord: &Cord) -> Result<Connection, String> {
    let (settings, cord) = (settings.clone(), cord.clone());
    let name = format!("{} ({role})", settings.name);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime().map_err(|error| cause(&error))?;
    let uri = uri(&settings);
    let connected = Connection::connector(
        uri,
        runtime,
        async move |uri, runtime| {
            let reached = async {
                let host = &uri.authority.host;
                let addresses: Vec<_> = lookup_host((host.as_str(), uri.authority.port)).await?.collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(socket) = &stream {
                    cord.attach(socket.get_ref())?;
                }
                match &settings.tls {
                    Some(tls) => stream.into_rustls(&connector(tls)?, host).await,
                    None => Ok(stream),
                }
            };
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
            let reached = timeout(settings.times.connect, reached).await.map_err(late);
            reached.flatten().map_err(lapin::Error::from)
        },
        properties,
    );
    connected.await.map_err(|error| cause(&error))
}

fn uri(settings: &RabbitSettings) -> AMQPUri {
    AMQPUri {
        scheme: if settings.tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: settings.user.clone(), password: settings.password.0.clone() },
            host: settings.host.clone(),
            port: settings.port,
        },
        vhost: settings.vhost.clone(),
        query: AMQPQueryString {
            heartbeat: Some(settings.times.heartbeat.as_secs().clamp(1, u16::MAX.into()) as u16),
            ..AMQPQueryString::default()
        },
    }
}

/// An own authority stands in place of the system's: whoever names one trusts nobody else.
fn connector(tls: &RabbitTls) -> io::Result<RustlsConnector> {
    let config = RustlsConnectorConfig::default();
    let config = match &tls.ca {
        Some(file) => config.with_parsable_certificates(certificates(file)?),
        None => config.with_native_certs()?,
    };
    let Some((certificate, key)) = &tls.client else { return config.connector_with_no_client_auth() };
    let bad_key = |_| io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is no PEM private key", key.display()));
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(bad_key)?;
    config.connector_with_single_cert(certificates(certificate)?, private)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    let message = || format!("`{}` holds no PEM certificate", file.display());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, message()))
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    fs::read(file).map_err(|error| io::Error::new(error.kind(), format!("read `{}`: {error}", file.display())))
}
