//! Tokens signed with RSA (`RS256`), checked with the public half of the keys that tests are given.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// The claims of `token` if it is signed with the private key in `pem`, and the algorithm is the one that is expected.
pub(super) fn verified(token: &str, pem: &str) -> Option<Value> {
    let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()? {
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return None,
    };
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.ok()?.public().as_ref().to_vec());
    let (signed, signature) = token.rsplit_once('.')?;
    public.verify(signed.as_bytes(), &BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let (header, claims) = signed.split_once('.')?;
    let read = |part: &str| serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    (read(header)?["alg"] == "RS256").then(|| read(claims))?
}

/// Whether `claims` hold now, and for no longer than `most` seconds.
pub(super) fn holds(claims: &Value, now: u64, most: u64) -> bool {
    let (issued, end) = (claims["iat"].as_u64().unwrap_or(u64::MAX), claims["exp"].as_u64().unwrap_or_default());
    issued <= now && now < end && end - issued <= most
}

/// A token with these two times that nobody can check, and that holds `secret`.
pub(super) fn opaque(secret: &str, issued: u64, end: u64) -> String {
    let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iat": issued, "exp": end, "jti": secret });
    format!("{}.{}.{secret}", encode(json!({ "alg": "RS256" })), encode(claims))
}
