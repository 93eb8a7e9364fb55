//! `to`: where the images of a repository go.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use proto::{Digest, Host, ImageRef, LayoutRef, Location, Repository, Tag};

use crate::fault::{Place, RuleId};
use crate::files::normal;
use crate::tree::Node;
use crate::walk::{Walk, is_path_part};

/// Where a repository lies: at a registry, or within an OCI layout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepositoryLocation {
    /// At its registry.
    Registry(Repository),
    /// In a layout folder, whose images have full references as their names.
    Layout {
        /// The folder.
        path: PathBuf,
        /// The repository that the names there begin with.
        repository: Repository,
    },
}

impl RepositoryLocation {
    /// The name of the repository, wherever it lies.
    pub fn repository(&self) -> &Repository {
        match self {
            Self::Registry(repository) | Self::Layout { repository, .. } => repository,
        }
    }

    /// The same place, whether its registry is written with the port that it has anyway or without.
    pub(crate) fn without_usual_port(&self) -> Cow<'_, Self> {
        let Self::Registry(repository) = self else { return Cow::Borrowed(self) };
        let host = repository.host().as_str().strip_suffix(":443").and_then(|host| host.parse().ok());
        let plain = host.and_then(|host| Repository::new(host, repository.path()).ok());
        plain.map_or(Cow::Borrowed(self), |repository| Cow::Owned(Self::Registry(repository)))
    }

    /// The image under `tag` here, pinned to `digest` if there is one.
    pub fn image(&self, tag: &Tag, digest: Option<&Digest>) -> Location {
        let image = ImageRef { digest: digest.cloned(), ..self.repository().tagged(tag.clone()) };
        match self {
            Self::Registry(_) => Location::Registry(image),
            Self::Layout { path, .. } => {
                Location::Layout(LayoutRef { path: path.clone(), name: Some(image.to_string()) })
            }
        }
    }
}

impl std::fmt::Display for RepositoryLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(repository) => repository.fmt(f),
            Self::Layout { path, repository } => write!(f, "oci:{}:{repository}", path.display()),
        }
    }
}

/// Where images go, with fields that each repository fills.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) place: Place,
    /// As written.
    pub(crate) text: String,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Registry, and the path with its fields.
    Registry(Host, String),
    Layout(PathBuf),
}

const FIELDS: [&str; 6] = ["registry", "host", "path", "name", "group", "owner"];

/// What fills the fields of a template besides the source.
#[derive(Clone, Copy)]
pub(crate) struct Filling<'f> {
    /// The `name` of the source's registry, if it was given one.
    pub(crate) registry: Option<&'f str>,
    pub(crate) group: Option<&'f str>,
    pub(crate) owner: Option<&'f str>,
}

impl Template {
    /// Whether a value of `to` is a template, and no name.
    pub(crate) fn is_template(text: &str) -> bool {
        text.contains(['/', ':', '{', '}'])
    }

    /// Reads a template; `what` names it in faults.
    pub(crate) fn read(walk: &mut Walk, node: &Node, what: &str) -> Option<Self> {
        let text = walk.text(node, what)?;
        let target = target(walk, text).map_err(|(message, mend)| {
            walk.fault(node.position, RuleId::Destination, format!("`{text}` is no destination: {message}"), mend);
        });
        Some(Self { place: walk.place(node.position), text: text.to_owned(), target: target.ok()? })
    }

    /// Where the images of `source` go. The error says why they cannot.
    pub(crate) fn expand(&self, source: &Repository, filling: Filling) -> Result<RepositoryLocation, String> {
        let (host, path) = match &self.target {
            Target::Layout(path) => {
                return Ok(RepositoryLocation::Layout { path: path.clone(), repository: source.clone() });
            }
            Target::Registry(host, path) => (host, path),
        };
        let host_part = path_part(source.host());
        let values = [
            Some(filling.registry.unwrap_or(&host_part)),
            Some(&*host_part),
            Some(source.path()),
            source.path().rsplit('/').next(),
            filling.group,
            filling.owner,
        ];
        let mut expanded = path.clone();
        for (field, value) in FIELDS.iter().zip(values) {
            let written = format!("{{{field}}}");
            match value {
                Some(value) if *field == "owner" && expanded.contains(&written) && !is_path_part(value) => {
                    return Err(format!("its owner `{value}` is no part of a path"));
                }
                Some(value) => expanded = expanded.replace(&written, value),
                None if expanded.contains(&written) => return Err(format!("it has no {field}")),
                None => {}
            }
        }
        // Read as a reference will be where it is used: at Docker Hub `alpine` is `library/alpine`.
        let repository = format!("{host}/{expanded}").parse::<Repository>().map_err(|error| error.to_string())?;
        Ok(RepositoryLocation::Registry(repository))
    }
}

fn target(walk: &Walk, text: &str) -> Result<Target, (&'static str, &'static str)> {
    if text.starts_with("oci-archive:") {
        return Err(("a tar cannot take images one by one", "write a layout folder, `oci:PATH`"));
    }
    if let Some(path) = text.strip_prefix("oci:") {
        return match path {
            "" => Err(("it names no folder", "write `oci:PATH`")),
            _ if path.contains(':') => Err(("images in a layout are named by their sources", "write `oci:PATH` alone")),
            _ if path.contains(['{', '}']) => Err(("the path of a layout has no fields", "write `oci:PATH`")),
            _ => layout_folder(&walk.folder, path).map(Target::Layout),
        };
    }
    let example = "write it as in `registry.example.com/mirror/{path}`";
    if text.contains("://") {
        return Err(("a repository has no URL scheme", "leave it out"));
    }
    if text.contains("${") {
        return Err(("variables have no meaning in the file", example));
    }
    let (host, path) = text.split_once('/').ok_or(("it names no path", example))?;
    if !host.contains(['.', ':', '[']) && host != "localhost" {
        return Err(("it does not begin with a registry", "write the registry too, Docker Hub as `docker.io/…`"));
    }
    let host = host.parse().map_err(|_| ("its registry cannot be read", example))?;
    if path.contains([':', '@']) {
        return Err(("it names a tag or digest, and tags stay as they are", "write the repository alone"));
    }
    let mut rest = path;
    while let Some((_, field)) = rest.split_once('{') {
        let (field, after) = field.split_once('}').ok_or(("a `{` has no `}`", example))?;
        if !FIELDS.contains(&field) {
            return Err((
                "it has an unknown field",
                "fields are `{registry}`, `{host}`, `{path}`, `{name}`, `{group}` and `{owner}`",
            ));
        }
        rest = after;
    }
    Ok(Target::Registry(host, path.to_owned()))
}

/// The folder of a layout. Locations cross the wire as text, in which a `:` ends the path: one that could not be read
/// back is refused, with how to mend it.
pub(crate) fn layout_folder(folder: &Path, path: &str) -> Result<PathBuf, (&'static str, &'static str)> {
    // Placements and collisions are told by text, so one folder has one.
    let whole = normal(&folder.join(path));
    match whole.to_str() {
        Some("") => Ok(PathBuf::from(".")),
        Some(text) if !text.contains(':') => Ok(whole),
        Some(_) => Err(("the path of the folder has a `:`", "move the job file, or write another path")),
        None => Err(("the path of the folder is not UTF-8", "move the job file, or write another path")),
    }
}

/// A registry's host as one part of a path: `:` becomes `_`, which is in no host, so no two hosts become one; an IPv6
/// address is written out, because `__` may not begin a path.
fn path_part(host: &Host) -> String {
    let port = host.port().map(|port| format!("_{port}")).unwrap_or_default();
    match host.name().parse::<Ipv6Addr>() {
        Ok(address) => address.segments().map(|segment| format!("{segment:x}")).join("_") + &port,
        Err(_) => format!("{}{port}", host.name()),
    }
}
