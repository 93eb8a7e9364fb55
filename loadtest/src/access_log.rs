//! What a `docker-registry` was asked, as its access log has it.
//!
//! A line tells the bytes of an answer, but not those of a request: these are the sizes of what was stored.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sandbox::log::kind;

use crate::server::Counts;

/// The log of a registry that `deploy/serve.sh` has started.
pub(crate) struct AccessLog {
    file: PathBuf,
    /// Where the registry stores, in the layout of distribution.
    stored: PathBuf,
    /// How much of the log was read.
    position: u64,
}

impl AccessLog {
    /// The log in the folder of `deploy/serve.sh`.
    pub(crate) fn of(folder: &Path) -> Self {
        Self { file: folder.join("log"), stored: folder.join("data/docker/registry/v2"), position: 0 }
    }

    /// What came since this was last called.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        let context = || format!("read `{}`", self.file.display());
        let mut file = File::open(&self.file).with_context(context)?;
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.position)).with_context(context)?;
        self.position += file.read_to_string(&mut text).with_context(context)? as u64;
        let mut counts = Counts::default();
        for line in text.lines().filter_map(Line::parse) {
            self.add(&mut counts, &line);
        }
        Ok(counts)
    }

    fn add(&self, counts: &mut Counts, line: &Line<'_>) {
        let kind = kind(line.path);
        let is_blob = kind.starts_with("blobs");
        *counts.requests.entry(format!("{} {kind}", line.method)).or_default() += 1;
        // The answer to a HEAD is counted by the registry, and not sent.
        let out = if line.method == "HEAD" { 0 } else { line.bytes };
        let is_stored = line.method == "PUT" && line.status == 201;
        let bytes_in = if is_stored { self.size(line).unwrap_or_default() } else { 0 };
        counts.bytes_out += out;
        counts.bytes_in += bytes_in;
        if is_blob {
            counts.blob_bytes_out += out;
            counts.blob_bytes_in += bytes_in;
        }
    }

    /// The size of what a PUT has stored.
    fn size(&self, line: &Line<'_>) -> Option<u64> {
        let by_digest = line.query.rsplit_once("digest=").map(|(_, digest)| digest.replace("%3A", ":"));
        let digest = by_digest.or_else(|| {
            let (repository, reference) = line.path.strip_prefix("/v2/")?.split_once("/manifests/")?;
            let link = format!("repositories/{repository}/_manifests/tags/{reference}/current/link");
            let is_digest = reference.contains(':');
            if is_digest { Some(reference.to_owned()) } else { fs::read_to_string(self.stored.join(link)).ok() }
        })?;
        let (algorithm, hex) = digest.trim().split_once(':')?;
        let stored = format!("blobs/{algorithm}/{}/{hex}/data", hex.get(..2)?);
        Some(fs::metadata(self.stored.join(stored)).ok()?.len())
    }
}

/// A line of the log, in the Combined Log Format of web servers.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    status: u16,
    /// Of the answer's body.
    bytes: u64,
}

impl<'a> Line<'a> {
    /// `127.0.0.1 - - [27/Nov/2026:07:37:47 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "curl/7.88.1"`
    fn parse(line: &'a str) -> Option<Self> {
        let (_, request) = line.split_once("] \"")?;
        let mut words = request.split(' ');
        let (method, uri, _, status, bytes) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        Some(Self { method, path, query, status: status.parse().ok()?, bytes: bytes.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &str, status: u16, bytes: u64) -> String {
        format!("127.0.0.1 - - [27/Nov/2026:07:37:47 +0000] \"{request} HTTP/1.1\" {status} {bytes} \"\" \"a b/1\"\n")
    }

    #[test]
    fn requests_are_counted_by_kind_and_bytes_by_direction_and_each_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let stored = folder.path().join("data/docker/registry/v2");
        let blob = |hex: &str, size: usize| {
            let path = stored.join(format!("blobs/sha256/{}/{hex}", &hex[..2]));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("data"), vec![0; size]).unwrap();
        };
        blob("aa11", 100);
        blob("bb22", 20);
        let tag = stored.join("repositories/a/b/_manifests/tags/1/current");
        fs::create_dir_all(&tag).unwrap();
        fs::write(tag.join("link"), "sha256:bb22").unwrap();
        let lines = [
            "time=\"2026-11-27T07:37:47Z\" level=error msg=\"unknown\"\n".to_owned(),
            asked("GET /v2/a/b/blobs/sha256:cc", 200, 7),
            asked("HEAD /v2/a/b/manifests/1", 200, 900),
            asked("POST /v2/a/b/blobs/uploads/", 202, 0),
            asked("PUT /v2/a/b/blobs/uploads/u?_state=x&digest=sha256%3Aaa11", 201, 0),
            asked("PUT /v2/a/b/blobs/uploads/u?_state=x&digest=sha256:aa11", 400, 3),
            asked("PUT /v2/a/b/manifests/1", 201, 0),
            asked("PUT /v2/a/b/manifests/sha256:bb22", 201, 0),
        ];
        fs::write(folder.path().join("log"), lines.concat()).unwrap();
        let mut log = AccessLog::of(folder.path());
        let counts = log.counts().unwrap();
        assert_eq!((counts.bytes_in, counts.blob_bytes_in), (140, 100));
        assert_eq!((counts.bytes_out, counts.blob_bytes_out), (10, 10));
        let requests: Vec<_> = counts.requests.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let expected = "GET blobs 1, HEAD manifests 1, POST blobs/uploads 1, PUT blobs/uploads 2, PUT manifests 2";
        assert_eq!(requests.join(", "), expected);
        assert_eq!(log.counts().unwrap(), Counts::default());
    }
}
