//! Decides which requests go through a proxy: by the file's `network`, else by the environment; loopback never does.

use std::fmt;
use std::net::IpAddr;

use proto::Host;
use proto::settings::Network;
use reqwest::Url;

use crate::error::{Error, Kind};
use crate::options::Env;

/// A proxy, and what named it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) url: Url,
    name: String,
}

impl fmt::Display for Proxy {
    /// As in `` `proxy.example:3128` of `HTTPS_PROXY` ``, without its credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        write!(f, "`{host}:{port}` of `{}`", self.name)
    }
}

/// Which proxy is used for what.
#[derive(Clone)]
pub(crate) struct Proxies {
    https: Option<Proxy>,
    http: Option<Proxy>,
    direct: Vec<String>,
}

impl Proxies {
    /// The proxies of `network`, or those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`,
    /// also in lower case).
    ///
    /// # Errors
    /// The proxy is no URL; the text, which may hold a password, is not quoted.
    pub(crate) fn new(network: &Network, env: &Env) -> Result<Self, Error> {
        let variable =
            |name: &str| env.get(&name.to_lowercase()).or_else(|| env.get(name)).map(|value| (name.to_owned(), value));
        let list = |text: String| text.split(',').map(|entry| entry.trim().to_owned()).collect::<Vec<_>>();
        if let Some(proxy) = &network.proxy {
            let url = Some(parse("network.proxy", proxy)?);
            return Ok(Self { https: url.clone(), http: url, direct: network.direct.clone() });
        }
        let read = |name: &str| match variable(name).or_else(|| variable("ALL_PROXY")) {
            Some((name, value)) => parse(&name, &value).map(Some),
            None => Ok(None),
        };
        let mut direct = network.direct.clone();
        direct.extend(variable("NO_PROXY").map(|(_, value)| list(value)).unwrap_or_default());
        Ok(Self { https: read("HTTPS_PROXY")?, http: read("HTTP_PROXY")?, direct })
    }

    /// No proxy at all.
    pub(crate) fn none() -> Self {
        Self { https: None, http: None, direct: Vec::new() }
    }

    /// All that are used for something.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Proxy> {
        self.https.iter().chain(&self.http)
    }

    /// The proxy for a request to `url`, if any.
    pub(crate) fn proxy_for(&self, url: &Url) -> Option<&Proxy> {
        let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_or_known_default();
        if is_loopback(url) || self.direct.iter().any(|entry| covers(entry, host, port)) {
            return None;
        }
        if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }
    }
}

/// Whether `url` leads to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    url.host_str().and_then(|host| host.parse::<Host>().ok()).is_some_and(|host| host.is_loopback())
}

fn parse(name: &str, text: &str) -> Result<Proxy, Error> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let valid = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let url = Url::parse(&with_scheme).ok().filter(valid);
    url.map(|url| Proxy { url, name: name.to_owned() }).ok_or_else(|| {
        Error::new(Kind::Refused, format!("read the proxy from `{name}`"))
            .because("expected `http://host:port`")
            .hinting("mend the proxy's URL")
    })
}

/// Whether a host is named by `entry`: `*`, `host[:port]`, `.domain`, an address, or a network as `10.0.0.0/8`. A
/// name also stands for what is below it, as everywhere with `NO_PROXY`.
fn covers(entry: &str, host: &str, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return in_network(network, bits, host);
    }
    if let (Ok(entry), Ok(host)) = (entry.trim_matches(['[', ']']).parse::<IpAddr>(), host.parse::<IpAddr>()) {
        return entry == host;
    }
    let name = match entry.rsplit_once(':') {
        Some((name, wanted)) if wanted.parse::<u16>().is_ok() => {
            if wanted.parse().ok() != port {
                return false;
            }
            name
        }
        _ => entry,
    };
    let name = name.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    !name.is_empty() && host.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn in_network(network: &str, bits: &str, host: &str) -> bool {
    fn prefix_equal(a: &[u8], b: &[u8], bits: usize) -> bool {
        let (whole, rest) = (bits / 8, bits % 8);
        let mask = !(0xffu16 >> rest) as u8;
        bits <= a.len() * 8 && a[..whole] == b[..whole] && (rest == 0 || a[whole] & mask == b[whole] & mask)
    }
    let Ok(bits) = bits.parse::<usize>() else { return false };
    match (network.parse(), host.parse()) {
        (Ok(IpAddr::V4(network)), Ok(IpAddr::V4(host))) => prefix_equal(&network.octets(), &host.octets(), bits),
        (Ok(IpAddr::V6(network)), Ok(IpAddr::V6(host))) => prefix_equal(&network.octets(), &host.octets(), bits),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn env(variables: &'static [(&str, &str)]) -> Env {
        Env::from_fn(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn chosen(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.proxy_for(&Url::parse(url).unwrap()).map(|proxy| proxy.url.host_str().unwrap().to_owned())
    }

    #[test]
    fn the_files_proxy_is_used_but_for_what_is_direct_and_for_loopback() {
        let network = Network {
            proxy: Some("http://user:pw@proxy.example:3128".into()),
            direct: vec![".bank.example".into(), "10.0.0.0/8".into(), "2001:db8::/32".into(), "host:5000".into()],
            ca_file: None,
        };
        let proxies = Proxies::new(&network, &env(&[("HTTPS_PROXY", "http://other:1")])).unwrap();
        for url in ["https://quay.io/", "http://11.0.0.1/", "https://notbank.example/", "https://host:5001/"] {
            assert_eq!(chosen(&proxies, url).as_deref(), Some("proxy.example"), "{url}");
        }
        for url in [
            "https://harbor.bank.example/",
            "https://10.1.2.3/",
            "https://[2001:db8::1]/",
            "https://host:5000/",
            "http://127.0.0.1:5000/",
            "https://localhost/",
            "https://[::1]:5000/",
            "http://a.localhost:1/",
        ] {
            assert_eq!(chosen(&proxies, url), None, "{url}");
        }
    }

    #[test]
    fn the_environment_is_asked_where_the_file_is_silent() {
        let proxies = |variables| Proxies::new(&Network::default(), &env(variables)).unwrap();
        let split =
            proxies(&[("https_proxy", "secure:1"), ("HTTP_PROXY", "http://plain:1"), ("NO_PROXY", "a.example, b")]);
        assert_eq!(chosen(&split, "https://quay.io/").as_deref(), Some("secure"));
        assert_eq!(chosen(&split, "http://quay.io/").as_deref(), Some("plain"));
        assert_eq!(chosen(&split, "http://x.a.example/"), None);
        assert_eq!(chosen(&proxies(&[("ALL_PROXY", "all:1")]), "https://quay.io/").as_deref(), Some("all"));
        assert_eq!(chosen(&proxies(&[]), "https://quay.io/"), None);
        let told = proxies(&[("HTTPS_PROXY", "http://me:hush@proxy:3128")]);
        let told = told.proxy_for(&Url::parse("https://quay.io/").unwrap()).unwrap().to_string();
        assert_eq!(told, "`proxy:3128` of `HTTPS_PROXY`");
    }

    #[test]
    fn a_wrong_proxy_is_named_by_its_variable_and_not_quoted() {
        let error = Proxies::new(&Network::default(), &env(&[("HTTPS_PROXY", "ftp://me:hush@x")])).err().unwrap();
        assert!(error.to_string().contains("`HTTPS_PROXY`") && !format!("{error:?}").contains("hush"), "{error:?}");
    }

    proptest! {
        #[test]
        fn no_entry_makes_the_match_panic(entry in "\\PC{0,30}", bits in 0usize..200) {
            covers(&entry, "10.0.0.1", Some(443));
            covers(&format!("10.0.0.0/{bits}"), "10.0.0.1", None);
            covers(&format!("::/{bits}"), "::1", None);
        }
    }
}
