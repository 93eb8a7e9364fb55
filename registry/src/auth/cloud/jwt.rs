//! Tokens signed with RSA and SHA-256 (RFC 7519, `RS256` of RFC 7518), as Google and GitHub take them from a key's owner.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::error::{Error, Kind};

/// Signs `claims` with the key in `pem`, which is named by `named`; `key_id` tells the other side which key it is.
///
/// # Errors
/// `Unauthorized`: the text is not a private RSA key. It is not quoted.
pub(super) fn signed(claims: &Value, key_id: Option<&str>, pem: &str, named: &str) -> Result<String, Error> {
    let failed = |why| {
        Error::new(Kind::Unauthorized, format!("sign with {named}"))
            .because(why)
            .hinting("it must be the private RSA key, of 2048 bits or more, as the vendor gave it to you (PEM)")
    };
    // The errors below are left out: they could quote the key.
    let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        Ok(PrivateKeyDer::Pkcs8(der)) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(failed("it is not a private key in PEM")),
    };
    let key = key.map_err(|_| failed("it is not an RSA key that can be used"))?;
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(key_id) = key_id {
        header["kid"] = key_id.into();
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| failed("it could not be used"))?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The claims of a token that somebody else signed, unchecked: good only to learn when it ends.
pub(super) fn claims(token: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}
