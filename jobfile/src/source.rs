//! Where images come from: the keys of `images`, below `from` where a group has one.

use std::path::{Path, PathBuf};

use proto::{Digest, Host, ImageRef, Repository, Tag};

use crate::template::{RepositoryLocation, layout_folder};

/// What is wrong, and how to mend it.
pub(crate) type Refusal = (String, String);

/// What a group's `from` means.
pub(crate) enum From {
    /// What the keys begin with.
    Prefix(String),
    /// One image.
    Image { location: RepositoryLocation, tag: Tag, digest: Option<Digest> },
}

impl From {
    /// Reads `from`, which may name one image if the group `has_images` of no other kind.
    pub(crate) fn read(folder: &Path, text: &str, has_images: bool) -> Result<Self, Refusal> {
        let (layout, name) = split(folder, text)?;
        let is_repository = name.parse::<Repository>().is_ok();
        if let (false, Ok(ImageRef { repository, tag, digest })) = (is_repository, name.parse()) {
            let Some(tag) = tag else {
                let message = format!("`{text}` has no tag, which is its name at the destination");
                return Err((message, "write the tag before `@`".to_owned()));
            };
            if !has_images {
                let location = location(layout, repository);
                return Ok(Self::Image { location, tag, digest });
            }
            // `alpine:3` may be a registry too, as in `localhost:5000`.
            if name.parse::<Host>().is_err() {
                let message = format!("`from` is the image `{text}`, and has nothing below it");
                return Err((message, "leave out its tag, or `images`".to_owned()));
            }
        }
        if !is_repository && name.parse::<Host>().is_err() {
            let error = name.parse::<Repository>().err().map(|error| error.to_string()).unwrap_or_default();
            return Err((error, "write what repositories begin with, as in `quay.io/prometheus`".to_owned()));
        }
        Ok(Self::Prefix(text.to_owned()))
    }
}

/// The repository that a key of `images` names, below `from` if there is one.
pub(crate) fn repository(folder: &Path, from: Option<&str>, key: &str) -> Result<RepositoryLocation, Refusal> {
    if key.contains(['*', '?', '{']) {
        let message = format!("`{key}` is a pattern, and a key of `images` is one repository");
        return Err((message, "write each repository on a line".to_owned()));
    }
    let whole = from.map(|from| format!("{from}/{key}"));
    let text = whole.as_deref().unwrap_or(key);
    let (layout, name) = split(folder, text)?;
    let error = match name.parse::<Repository>() {
        Ok(repository) => return Ok(location(layout, repository)),
        Err(error) => error.to_string(),
    };
    if name.parse::<ImageRef>().is_err() {
        let mend =
            if from.is_some() { "write the path below `from`" } else { "write it as in `docker.io/library/alpine`" };
        return Err((error, mend.to_owned()));
    }
    let (path, pin) = key.split_once('@').map_or((key, String::new()), |(path, digest)| (path, format!("@{digest}")));
    let (path, tag) = path.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((path, "TAG"));
    let message = format!("`{key}` is an image, and a key of `images` is a repository");
    Err((message, format!("write `{path}: \"{tag}{pin}\"`")))
}

/// The folder of a layout if one is named, and the rest.
fn split<'t>(folder: &Path, text: &'t str) -> Result<(Option<PathBuf>, &'t str), Refusal> {
    if text.starts_with("oci-archive:") {
        let mend = "copy it into a layout folder, and write `oci:PATH:REPOSITORY`";
        return Err((format!("`{text}` is a tar, which is no source of a job"), mend.to_owned()));
    }
    if text.contains("://") {
        return Err((format!("`{text}` is a URL"), "leave out the scheme".to_owned()));
    }
    match text.strip_prefix("oci:").map(|rest| rest.split_once(':')) {
        None => Ok((None, text)),
        Some(Some((path, name))) if !path.is_empty() => match layout_folder(folder, path) {
            Ok(path) => Ok((Some(path), name)),
            Err((message, mend)) => Err((format!("`{text}` is no source: {message}"), mend.to_owned())),
        },
        Some(_) => {
            let mend = "write `oci:PATH:REPOSITORY`, as in `oci:mirror:docker.io/library/alpine`";
            Err((format!("`{text}` does not say which repository of the layout is meant"), mend.to_owned()))
        }
    }
}

fn location(layout: Option<PathBuf>, repository: Repository) -> RepositoryLocation {
    match layout {
        None => RepositoryLocation::Registry(repository),
        Some(path) => RepositoryLocation::Layout { path, repository },
    }
}
