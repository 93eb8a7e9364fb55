//! The least of a client for registries: nothing is asked before, nothing is tried again.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode};

use super::plan::{Blob, Manifest, Mount};

/// Speaks to one registry, over connections that stay open.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: reqwest::Url,
}

impl Client {
    /// A client for the registry at `url`, which may show a certificate that `ca_pem` has signed.
    pub(crate) fn new(url: &str, ca_pem: Option<&str>) -> Result<Self> {
        // A second installation is refused, and the first is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().http1_only().no_proxy().retry(reqwest::retry::never());
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let trusted = Certificate::from_pem_bundle(ca_pem.unwrap_or_default().as_bytes())?;
        let http = builder.tls_certs_only(trusted).build().context("make a client")?;
        Ok(Self { http, url: url.parse().with_context(|| format!("read the URL `{url}`"))? })
    }

    /// POST and PUT (distribution-spec, end-4a and end-6).
    pub(crate) async fn upload(&self, blob: &Blob) -> Result<()> {
        let path = format!("/v2/{}/blobs/uploads/", blob.repository);
        let opened = expect(self.ask(Method::POST, &path)?.header(CONTENT_LENGTH, 0), StatusCode::ACCEPTED).await?;
        let location = opened.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let mut location = self.url.join(location.context("an upload has no location")?)?;
        location.query_pairs_mut().append_pair("digest", &blob.digest);
        let put = self.http.put(location).header(CONTENT_TYPE, "application/octet-stream");
        expect(put.body(blob.bytes.clone()), StatusCode::CREATED).await.map(drop)
    }

    /// Makes a blob of one repository readable in another (end-11).
    pub(crate) async fn mount(&self, mount: &Mount) -> Result<()> {
        let Mount { repository, from, digest } = mount;
        let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={from}");
        expect(self.ask(Method::POST, &path)?.header(CONTENT_LENGTH, 0), StatusCode::CREATED).await.map(drop)
    }

    /// PUT (end-7).
    pub(crate) async fn put(&self, manifest: &Manifest) -> Result<()> {
        let Manifest { repository, reference, media_type, bytes } = manifest;
        let put = self.ask(Method::PUT, &format!("/v2/{repository}/manifests/{reference}"))?;
        expect(put.header(CONTENT_TYPE, media_type).body(bytes.clone()), StatusCode::CREATED).await.map(drop)
    }

    /// Reads a manifest to its end (end-3).
    pub(crate) async fn get_manifest(&self, manifest: &Manifest) -> Result<()> {
        let path = format!("/v2/{}/manifests/{}", manifest.repository, manifest.reference);
        self.read(&path, &manifest.media_type, &manifest.bytes).await
    }

    /// Reads a blob to its end (end-2).
    pub(crate) async fn get_blob(&self, blob: &Blob) -> Result<()> {
        self.read(&format!("/v2/{}/blobs/{}", blob.repository, blob.digest), "*/*", &blob.bytes).await
    }

    /// The bytes are counted, not compared: that would take time which no one needs to take.
    async fn read(&self, path: &str, accept: &str, expected: &Bytes) -> Result<()> {
        let mut response = expect(self.ask(Method::GET, path)?.header(ACCEPT, accept), StatusCode::OK).await?;
        let mut read = 0;
        while let Some(chunk) = response.chunk().await? {
            read += chunk.len();
        }
        ensure!(read == expected.len(), "`{path}` has {read} bytes instead of {}", expected.len());
        Ok(())
    }

    fn ask(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        Ok(self.http.request(method, self.url.join(path)?))
    }
}

async fn expect(request: RequestBuilder, status: StatusCode) -> Result<Response> {
    let response = request.send().await.map_err(reqwest::Error::without_url)?;
    if response.status() == status {
        return Ok(response);
    }
    let (asked, came) = (response.url().path().to_owned(), response.status());
    bail!("`{asked}` was answered {came} instead of {status}: {}", response.text().await.unwrap_or_default());
}
