//! Job files as an artifact of a registry: each layer is a file, as `oras push` makes them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use jobfile::{FILE_BYTES_MAX, FILES_BYTES_MAX, FILES_MAX, printable};
use proto::manifest::Content;
use proto::{Descriptor, Digest, ImageRef, Reference, Repository};
use registry::Client;

use super::CatalogueError;

/// What a layer's file is called, with its folders (image-spec, annotations.md).
const TITLE: &str = "org.opencontainers.image.title";

/// Says of a layer that it is the tar of a folder (oras).
const IS_FOLDER: &str = "io.deis.oras.content.unpack";

/// The digest that lies under the name now. One request, which registries do not count as a pull.
pub(super) async fn digest(client: &Client, image: &ImageRef) -> Result<Digest, CatalogueError> {
    let head = client.head_manifest(&image.repository, &image.reference()).await?;
    head.map(|head| head.digest).ok_or(CatalogueError::NoArtifact)
}

/// The files of an artifact.
pub(super) async fn files(
    client: &Client,
    repository: &Repository,
    digest: &Digest,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, CatalogueError> {
    let manifest = client.manifest(repository, &Reference::Digest(digest.clone())).await?;
    let Content::Image { layers, .. } = &manifest.content else {
        return Err(refused("it is an index; push the files under this tag alone"));
    };
    let mut files = BTreeMap::new();
    for (path, layer) in titled(layers)? {
        let bytes = client.read_blob(repository, layer).await?.bytes(FILE_BYTES_MAX as u64).await?;
        files.insert(path, bytes.into());
    }
    Ok(files)
}

/// The layers that are files, each with its path.
fn titled(layers: &[Descriptor]) -> Result<BTreeMap<PathBuf, &Descriptor>, CatalogueError> {
    let mut files: BTreeMap<PathBuf, &Descriptor> = BTreeMap::new();
    for layer in layers {
        let Some(title) = layer.annotations.get(TITLE) else { continue };
        let path = path_of(title).ok_or_else(|| {
            refused(format!("a layer has the title `{}`, which is no path of a file", printable(title)))
        })?;
        if layer.annotations.get(IS_FOLDER).is_some_and(|value| value == "true") {
            return Err(refused(format!("`{title}` is a folder; push its files, as in `oras push … {title}/*.yaml`")));
        }
        if files.insert(path, layer).is_some() {
            return Err(refused(format!("two layers have the title `{title}`")));
        }
    }
    let is_below = |(file, below): (&PathBuf, &PathBuf)| below.starts_with(file);
    if files.keys().zip(files.keys().skip(1)).any(is_below) {
        return Err(refused("the title of a layer is the folder of another"));
    }
    if files.len() > FILES_MAX {
        return Err(refused(format!("it has more than {FILES_MAX} files")));
    }
    if files.values().any(|layer| layer.size > FILE_BYTES_MAX as u64) {
        return Err(refused(format!("one of its files has more than {FILE_BYTES_MAX} bytes")));
    }
    let sizes = files.values().map(|layer| layer.size);
    if sizes.fold(0, u64::saturating_add) > FILES_BYTES_MAX as u64 {
        return Err(refused(format!("its files have more than {FILES_BYTES_MAX} bytes")));
    }
    if files.is_empty() {
        return Err(refused(format!("no layer has a title; push files, whose names become `{TITLE}`")));
    }
    Ok(files)
}

/// A path within the artifact, written the one way in which it can be.
fn path_of(title: &str) -> Option<PathBuf> {
    let path = Path::new(title);
    let is_inside = path.components().all(|component| matches!(component, Component::Normal(_)));
    let is_plain = !title.chars().any(|c| c.is_control() || c == '\\');
    let path: PathBuf = path.components().collect();
    (is_inside && is_plain && path.to_str() == Some(title) && !title.is_empty()).then_some(path)
}

fn refused(why: impl Into<String>) -> CatalogueError {
    CatalogueError::Refused(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(title: Option<&str>, size: u64) -> Descriptor {
        let mut layer = Descriptor::new("application/yaml", Digest::of(b""), size);
        layer.annotations.extend(title.map(|title| (TITLE.to_owned(), title.to_owned())));
        layer
    }

    fn refusal(layers: &[Descriptor]) -> String {
        titled(layers).unwrap_err().to_string()
    }

    #[test]
    fn titles_are_paths_within_the_artifact() {
        let layers = [layer(Some("factory.yaml"), 1), layer(Some("teams/a.yaml"), 1), layer(None, u64::MAX)];
        let files = titled(&layers).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), [Path::new("factory.yaml"), Path::new("teams/a.yaml")]);
        for title in [
            "",
            "/etc/passwd",
            "../a.yaml",
            "a/../../b.yaml",
            "a/..",
            "./a.yaml",
            "a//b",
            "a/",
            "..",
            "a\\b",
            "a\nb",
            "a\0",
        ] {
            assert!(refusal(&[layer(Some(title), 1)]).contains("which is no path of a file"), "{title:?}");
        }
    }

    #[test]
    fn what_is_no_set_of_files_or_a_large_one_is_refused() {
        assert!(refusal(&[layer(Some("a"), 1), layer(Some("a"), 1)]).contains("two layers have the title `a`"));
        assert!(refusal(&[layer(Some("a/b"), 1), layer(Some("a"), 1)]).contains("is the folder of another"));
        assert!(refusal(&[layer(None, 1)]).contains("no layer has a title"));
        let mut folder = layer(Some("teams"), 1);
        folder.annotations.insert(IS_FOLDER.to_owned(), "true".to_owned());
        assert!(refusal(&[folder]).contains("`teams` is a folder"));
        let most = FILE_BYTES_MAX as u64;
        assert!(refusal(&[layer(Some("a"), most + 1)]).contains("more than 4194304 bytes"));
        let five: Vec<_> = ["a", "b", "c", "d", "e"].map(|title| layer(Some(title), most)).into();
        assert!(refusal(&five).contains("more than 16777216 bytes"));
        let many: Vec<_> = (0..=FILES_MAX).map(|n| layer(Some(&n.to_string()), 1)).collect();
        assert!(refusal(&many).contains("more than 1000 files"));
    }
}
