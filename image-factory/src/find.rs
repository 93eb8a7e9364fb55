//! Finds what a job file says of an image or a repository that a person names.

use std::str::FromStr;

use jobfile::{Job, JobFile, Line, RepositoryLocation, Source};
use proto::{ImageRef, Location, Repository, Tag};

/// How many repositories are offered where none is found.
const OFFERED: usize = 3;

/// A repository that a person asks about, or an image in it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) location: RepositoryLocation,
    pub(crate) tag: Option<Tag>,
}

/// What a line of the file says.
pub(crate) struct Found<'f> {
    /// The job that it is part of, if that has a name.
    pub(crate) job: Option<&'f str>,
    pub(crate) source: &'f Source,
    pub(crate) line: &'f Line,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, name) = match text.parse::<Location>().map_err(|error| error.to_string())? {
            Location::Registry(_) => (None, text.to_owned()),
            Location::Layout(layout) => {
                let name = layout.name.ok_or("name the repository too, as in `oci:FOLDER:docker.io/library/alpine`")?;
                (Some(layout.path), name)
            }
            Location::Archive(_) => return Err("a tar is part of no job file, and has no list of tags".to_owned()),
        };
        // Without a tag, as a repository: an image would be `latest`.
        let (repository, tag) = match name.parse::<Repository>() {
            Ok(repository) => (repository, None),
            Err(_) => match name.parse::<ImageRef>().map_err(|error| error.to_string())? {
                ImageRef { digest: Some(_), .. } => {
                    return Err("leave out `@` and the digest: rules are for tags".to_owned());
                }
                ImageRef { repository, tag, .. } => (repository, tag),
            },
        };
        let location = match path {
            Some(path) => RepositoryLocation::Layout { path, repository },
            None => RepositoryLocation::Registry(repository),
        };
        Ok(Self { location, tag })
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}:{tag}", self.location),
            None => self.location.fmt(f),
        }
    }
}

/// The lines of which `location` is the source, or a destination; in the order of the file.
pub(crate) fn lines<'f>(file: &'f JobFile, location: &RepositoryLocation) -> Vec<Found<'f>> {
    let is_about = |(_, source, line): &(&Job, &Source, &Line)| {
        is_same(&source.location, location)
            || line.destinations.iter().any(|destination| is_same(destination, location))
    };
    let found = all_lines(file).filter(is_about);
    found.map(|(job, source, line)| Found { job: job.name.as_deref(), source, line }).collect()
}

/// The repositories of the file whose names are closest to `location`, the closest first.
pub(crate) fn closest(file: &JobFile, location: &RepositoryLocation) -> Vec<String> {
    let wanted = location.repository().to_string();
    let name = last_part(&wanted);
    let known =
        all_lines(file).flat_map(|(_, source, line)| std::iter::once(&source.location).chain(&line.destinations));
    let ranked = known.filter_map(|other| {
        let text = other.repository().to_string();
        let of_name = strsim::damerau_levenshtein(last_part(&text), name);
        let is_close = of_name <= 1 + name.len() / 4;
        is_close.then(|| (of_name, strsim::damerau_levenshtein(&text, &wanted), other.to_string()))
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort();
    ranked.dedup();
    ranked.into_iter().take(OFFERED).map(|(_, _, text)| text).collect()
}

/// Where the file says to skip a repository.
pub(crate) fn skipped(file: &JobFile, location: &RepositoryLocation) -> Vec<String> {
    let skipped = file.skipped.iter().filter(|(skipped, _)| is_same(skipped, location));
    skipped.map(|(_, place)| place.to_string()).collect()
}

/// Says that the file mirrors nothing of `asked`: it skips it, or does not know it, and then what may be meant.
pub(crate) fn not_found(asked: &Asked, skipped: &[String], closest: &[String]) -> String {
    let asked = &asked.location;
    if !skipped.is_empty() {
        return format!("`{asked}` is skipped at {}", skipped.join(" and "));
    }
    match closest {
        [] => format!("`{asked}` is neither source nor destination of the file, nor is anything close to it"),
        [close @ .., last] => {
            let close: String = close.iter().map(|close| format!("`{close}`, ")).collect();
            format!("`{asked}` is neither source nor destination of the file; close to it: {close}`{last}`")
        }
    }
}

fn all_lines(file: &JobFile) -> impl Iterator<Item = (&Job, &Source, &Line)> {
    file.jobs.iter().flat_map(|job| {
        job.sources.iter().flat_map(move |source| source.lines.iter().map(move |line| (job, source, line)))
    })
}

/// Whether both are one place, however the folder of a layout was written.
pub(crate) fn is_same(one: &RepositoryLocation, other: &RepositoryLocation) -> bool {
    let (
        RepositoryLocation::Layout { path: one_path, repository: one },
        RepositoryLocation::Layout { path, repository },
    ) = (one, other)
    else {
        return one == other;
    };
    let absolute = |path| std::path::absolute(path).ok();
    one == repository && absolute(one_path) == absolute(path)
}

fn last_part(repository: &str) -> &str {
    repository.rsplit('/').next().unwrap_or(repository)
}
