//! What must never be shown: the secrets sent to one registry, and their masking in texts that come back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;

use crate::auth::Credentials;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Shorter ones are no secrets, and masking them would garble every text.
const CHARS_MIN: usize = 4;

/// Secrets remembered: the credentials, and the tokens of some hours. Those used last stay.
const KEPT_MAX: usize = 1024;

/// The secrets sent to one registry. Clones share them. Has no `Debug`.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<VecDeque<String>>>);

impl Secrets {
    /// Remembers credentials in all forms in which they are sent.
    pub(crate) fn note_credentials(&self, credentials: &Credentials) {
        match credentials {
            Credentials::Password { username, password } => self.note_password(username, password),
            Credentials::IdentityToken(token) => self.note(token),
        }
    }

    /// Remembers the credentials in the URL of a proxy.
    pub(crate) fn note_proxy(&self, proxy: &Url) {
        if let Some(password) = proxy.password() {
            self.note_password(proxy.username(), password);
            let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
            self.note_password(&decoded(proxy.username()), &decoded(password));
        }
    }

    fn note_password(&self, username: &str, password: &str) {
        self.note(password);
        self.note(&STANDARD.encode(format!("{username}:{password}")));
    }

    /// Remembers one text, also as it is written in a form or a query.
    pub(crate) fn note(&self, secret: &str) {
        if secret.chars().count() < CHARS_MIN {
            return;
        }
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|known| *known != secret && *known != encoded);
        kept.extend([secret.to_owned()].into_iter().chain((encoded != secret).then_some(encoded)));
        let surplus = kept.len().saturating_sub(KEPT_MAX);
        kept.drain(..surplus);
    }

    /// `text` with `***` for each secret in it, the longest first: one may be a part of another.
    pub(crate) fn mask(&self, text: &str) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<&str> = kept.iter().map(String::as_str).filter(|secret| text.contains(secret)).collect();
        found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        found.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_in_every_form_in_which_it_is_sent() {
        let secrets = Secrets::default();
        let (username, password) = ("robot".to_owned(), "hush & more".to_owned());
        secrets.note_credentials(&Credentials::Password { username, password });
        secrets.note_credentials(&Credentials::IdentityToken("refresh-me".into()));
        let encoded = STANDARD.encode("robot:hush & more");
        let told = format!("robot:hush & more, Basic {encoded}, p=hush+%26+more, refresh-me, hush");
        assert_eq!(secrets.mask(&told), "robot:***, Basic ***, p=***, ***, hush");
    }

    #[test]
    fn the_password_of_a_proxy_is_masked_and_a_short_text_is_not() {
        let secrets = Secrets::default();
        secrets.note_proxy(&Url::parse("http://me:hush%21@proxy:1").unwrap());
        secrets.note("abc");
        assert_eq!(secrets.mask("hush! hush%21 abc"), "*** *** abc");
    }

    #[test]
    fn what_is_in_use_is_not_forgotten_for_the_tokens_of_a_night() {
        let secrets = Secrets::default();
        for n in 0..2 * KEPT_MAX {
            secrets.note("password");
            secrets.note(&format!("token-{n}"));
        }
        assert_eq!(secrets.mask("password token-7"), "*** token-7");
    }
}
