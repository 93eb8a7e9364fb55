//! What `doctor` looks at: the references that a person names, and those of job files.

use std::path::Path;

use jobfile::{JobFile, Line, Place, RepositoryLocation};
use proto::settings::Access;
use proto::{ImageRef, LayoutRef, Location, Repository, Tag};

use crate::exit::UsageError;
use crate::files;

/// What an argument stands for, with the settings that hold for it.
pub(super) struct Group {
    pub(super) access: Access,
    pub(super) subjects: Vec<Subject>,
    pub(super) layouts: Vec<OnDisk>,
}

/// A registry that is looked at, by one of its repositories.
pub(super) struct Subject {
    pub(super) read: Read,
    pub(super) role: Role,
    /// What else is read there, with the same settings.
    pub(super) others: Vec<Read>,
}

/// A repository, and what of it is asked for.
pub(super) struct Read {
    pub(super) repository: Repository,
    /// None where rules select from all tags.
    pub(super) image: Option<ImageRef>,
    /// The line of the file that wants it.
    pub(super) place: Option<Place>,
}

/// Images on disk.
pub(super) enum OnDisk {
    /// A layout folder, and perhaps an image there.
    Folder(LayoutRef),
    /// A tar of a layout.
    Archive(LayoutRef),
    /// A repository in a layout folder, a source by the line at this place.
    Source(RepositoryLocation, Place),
}

/// What a repository is asked about for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Role {
    /// A job file reads there.
    Source,
    /// A job file writes there.
    Destination,
    /// A person wants to know all of it.
    Named,
}

impl Subject {
    /// How the lines about it begin.
    pub(super) fn title(&self) -> String {
        let Read { repository, place, .. } = &self.read;
        match (self.role, place) {
            (Role::Source, Some(place)) => format!("{repository}  (source, {place})"),
            (Role::Source, None) => format!("{repository}  (source)"),
            (Role::Destination, _) => format!("{repository}  (destination)"),
            (Role::Named, _) => repository.to_string(),
        }
    }
}

impl Group {
    /// A file, which stands for its sources and destinations and has settings of its own, or a reference.
    pub(super) fn of(text: &str, settings: &Access) -> anyhow::Result<Self> {
        if Path::new(text).is_file() {
            return Self::of_file(files::load(Path::new(text))?);
        }
        if text.ends_with(".yaml") || text.ends_with(".yml") {
            return Err(UsageError(format!("there is no file `{text}`")).into());
        }
        if is_host(text) {
            let message = format!("`{text}` is a registry: name a repository there, as in `{text}/team/app`");
            return Err(UsageError(message).into());
        }
        let location = text.parse().map_err(|error| UsageError(format!("{error}, nor is there such a file")))?;
        let mut group = Self { access: settings.clone(), subjects: Vec::new(), layouts: Vec::new() };
        match location {
            Location::Registry(image) => {
                let read = Read { repository: image.repository.clone(), image: Some(image), place: None };
                group.subjects.push(Subject { read, role: Role::Named, others: Vec::new() });
            }
            Location::Layout(layout) => group.layouts.push(OnDisk::Folder(layout)),
            Location::Archive(layout) => group.layouts.push(OnDisk::Archive(layout)),
        }
        Ok(group)
    }

    fn of_file(file: JobFile) -> anyhow::Result<Self> {
        let mut group = Self { access: file.access, subjects: Vec::new(), layouts: Vec::new() };
        for source in file.jobs.iter().flat_map(|job| &job.sources) {
            for line in &source.lines {
                group.note_source(&source.location, line);
                for destination in &line.destinations {
                    group.note_destination(destination, line)?;
                }
            }
        }
        Ok(group)
    }

    fn note_source(&mut self, location: &RepositoryLocation, line: &Line) {
        match location {
            RepositoryLocation::Registry(repository) => {
                let taken = line.rules.select(&[]).taken.into_iter().next();
                let image = taken.map(|taken| ImageRef { digest: taken.digest, ..repository.tagged(taken.tag) });
                let read = Read { repository: repository.clone(), image, place: Some(line.place.clone()) };
                self.note(read, Role::Source);
            }
            RepositoryLocation::Layout { .. } => {
                self.layouts.push(OnDisk::Source(location.clone(), line.place.clone()));
            }
        }
    }

    /// A layout as destination comes into being with its first image.
    fn note_destination(&mut self, location: &RepositoryLocation, line: &Line) -> anyhow::Result<()> {
        if let RepositoryLocation::Registry(repository) = location {
            let taken = line.rules.select(&[]).taken.into_iter().next();
            let tag: Tag = taken.map_or_else(|| "latest".parse(), |taken| Ok(taken.tag))?;
            let image = Some(repository.tagged(tag));
            self.note(Read { repository: repository.clone(), image, place: None }, Role::Destination);
        }
        Ok(())
    }

    /// One repository for each registry and account tells enough of it; that the other sources are there is asked too.
    fn note(&mut self, read: Read, role: Role) {
        let is_known = |subject: &&mut Subject| {
            let known = &subject.read.repository;
            subject.role == role
                && known.host() == read.repository.host()
                && self.access.settings(known) == self.access.settings(&read.repository)
        };
        match self.subjects.iter_mut().find(is_known) {
            Some(subject) if role == Role::Source => {
                let known = std::iter::once(&subject.read).chain(&subject.others);
                let is_asked = |known: &Read| known.repository == read.repository && known.image == read.image;
                if !known.into_iter().any(is_asked) {
                    subject.others.push(read);
                }
            }
            Some(_) => {}
            None => self.subjects.push(Subject { read, role, others: Vec::new() }),
        }
    }
}

impl OnDisk {
    /// How the lines about it begin.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Folder(layout) => format!("oci:{layout}"),
            Self::Archive(layout) => format!("oci-archive:{layout}"),
            Self::Source(location, place) => format!("{location}  (source, {place})"),
        }
    }
}

/// Whether a person means a registry, where a reference would be read as an image of Docker Hub: `redis:7` is one, and
/// `registry.example.com:5000` is not.
fn is_host(text: &str) -> bool {
    let name = text.split([':', '@']).next().unwrap_or_default();
    !text.contains('/') && (name.contains(['.', '[']) || name == "localhost")
}
