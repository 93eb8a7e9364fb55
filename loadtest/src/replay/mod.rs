//! The replay limit: what registry and network allow. No copy is faster than the fewest requests that any client could
//! send, with the bytes at hand, and no source is read faster than everything in it once.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Runtime;

mod client;
mod plan;

pub(crate) use client::Client;
pub(crate) use plan::Plan;

/// Sends requests, so many at once.
pub(crate) struct Replay {
    runtime: Runtime,
    client: Client,
    at_once: usize,
}

impl Replay {
    /// Towards the registry at `url`, which may show a certificate that is signed by what `ca_file` has.
    pub(crate) fn new(url: &str, ca_file: Option<&Path>, at_once: usize) -> Result<Self> {
        let pem =
            ca_file.map(|path| std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display())));
        let client = Client::new(url, pem.transpose()?.as_deref())?;
        Ok(Self { runtime: Runtime::new().context("start a runtime")?, client, at_once })
    }

    /// Puts everything into the registry; the seconds that it took.
    pub(crate) fn put(&self, plan: &Plan) -> Result<f64> {
        let began = Instant::now();
        self.runtime.block_on(async {
            self.each(&plan.blobs, async |client, blob| client.upload(blob).await).await?;
            self.each(&plan.mounts, async |client, mount| client.mount(mount).await).await?;
            for manifests in &plan.manifests {
                self.each(manifests, async |client, manifest| client.put(manifest).await).await?;
            }
            anyhow::Ok(())
        })?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// Reads every manifest and every unique blob once; the seconds that it took.
    pub(crate) fn read(&self, plan: &Plan) -> Result<f64> {
        let began = Instant::now();
        self.runtime.block_on(async {
            for manifests in &plan.manifests {
                self.each(manifests, async |client, manifest| client.get_manifest(manifest).await).await?;
            }
            self.each(&plan.blobs, async |client, blob| client.get_blob(blob).await).await
        })?;
        Ok(began.elapsed().as_secs_f64())
    }

    async fn each<'a, T: 'a>(
        &'a self,
        items: &'a [T],
        send: impl AsyncFn(&'a Client, &'a T) -> Result<()>,
    ) -> Result<()> {
        let sent = stream::iter(items).map(|item| send(&self.client, item));
        sent.buffer_unordered(self.at_once).try_collect().await
    }
}
