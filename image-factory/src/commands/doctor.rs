//! `doctor`: what registries can do, and what we may do there.

use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use jobfile::{JobFile, RepositoryLocation};
use proto::settings::Access;
use proto::{ImageRef, Tag};
use registry::{Check, Client, Error, Trust};

use crate::cli::args::{PatienceArgs, SettingsArgs};
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::text;

/// Ask registries what they can do and what we may do there: nothing is changed.
///
/// For each: reachable, TLS, where the credentials come from, right to pull and to push, and what it supports. That we
/// may not push is a failure where a file has its destination, and is only told of a reference, which may be a source.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLE)]
pub(crate) struct DoctorArgs {
    /// References, or job files, which stand for all of their sources and destinations with settings of their own.
    #[arg(required = true, value_name = "REF|FILE")]
    pub(crate) subjects: Vec<String>,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const DOCTOR_EXAMPLE: &str = "\
Examples:
  image-factory doctor registry.example.com/mirror/alpine docker.io/library/alpine
  image-factory doctor first.yaml";

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<Exit> {
    let settings = files::access(&args.settings)?;
    let groups =
        args.subjects.iter().map(|subject| Group::of(subject, &settings)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut out = text::stdout();
    let mut healthy = true;
    for group in groups {
        let client = Client::new(&group.access, args.patience.options())?;
        for Subject { image, role } in group.subjects {
            writeln!(out, "{}{}", image.repository, role.suffix())?;
            healthy &= match client.check(&image, role != Role::Source).await {
                Ok(check) => tell(&mut out, &image, role, &check)?,
                Err(error) => {
                    complain(&mut out, "reachable", role, &error)?;
                    false
                }
            };
        }
    }
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

/// What an argument stands for, with the settings that hold for it.
struct Group {
    access: Access,
    subjects: Vec<Subject>,
}

/// What is looked at.
struct Subject {
    image: ImageRef,
    role: Role,
}

/// What an image is asked about for.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// A job file reads there.
    Source,
    /// A job file writes there.
    Destination,
    /// A person wants to know all of it.
    Named,
}

impl Role {
    fn suffix(self) -> &'static str {
        match self {
            Self::Source => "  (source)",
            Self::Destination => "  (destination)",
            Self::Named => "",
        }
    }
}

impl Group {
    /// A file, which stands for its sources and destinations and has settings of its own, or a reference.
    fn of(text: &str, settings: &Access) -> anyhow::Result<Self> {
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
        let image = text.parse().map_err(|error| UsageError(format!("{error}, nor is there such a file")))?;
        Ok(Self { access: settings.clone(), subjects: vec![Subject { image, role: Role::Named }] })
    }

    fn of_file(file: JobFile) -> anyhow::Result<Self> {
        let mut group = Self { access: file.access, subjects: Vec::new() };
        for source in file.jobs.iter().flat_map(|job| &job.sources) {
            for line in &source.lines {
                let tag = line.rules.select(&[]).taken.first().map(|taken| taken.tag.clone());
                group.look_at(&source.location, tag.as_ref(), Role::Source)?;
                for destination in &line.destinations {
                    group.look_at(destination, tag.as_ref(), Role::Destination)?;
                }
            }
        }
        Ok(group)
    }

    /// One repository for each registry and account tells enough; layouts are no registries.
    fn look_at(&mut self, location: &RepositoryLocation, tag: Option<&Tag>, role: Role) -> anyhow::Result<()> {
        if let RepositoryLocation::Registry(repository) = location {
            let tag = tag.cloned().map_or_else(|| "latest".parse(), Ok)?;
            let is_known = |subject: &Subject| {
                let known = &subject.image.repository;
                subject.role == role
                    && known.host() == repository.host()
                    && self.access.settings(known) == self.access.settings(repository)
            };
            if !self.subjects.iter().any(is_known) {
                self.subjects.push(Subject { image: repository.tagged(tag), role });
            }
        }
        Ok(())
    }
}

/// Whether a person means a registry, where a reference would be read as an image of Docker Hub: `redis:7` is one, and
/// `registry.example.com:5000` is not.
fn is_host(text: &str) -> bool {
    let name = text.split([':', '@']).next().unwrap_or_default();
    !text.contains('/') && (name.contains(['.', '[']) || name == "localhost")
}

/// Prints what was found; says whether all is well.
fn tell(out: &mut impl Write, image: &ImageRef, role: Role, check: &Check) -> io::Result<bool> {
    writeln!(out, "  reachable    yes, {}", check.url)?;
    if let Some(tls) = &check.tls {
        let trust = match tls.trust {
            Trust::System => "trusted by this system",
            Trust::OwnCa => "trusted by the CA in `ca_file`",
            Trust::Pinned => "the certificate in `ca_file` itself",
            Trust::Unchecked => "not checked, as the settings say",
        };
        writeln!(out, "  TLS          {}, {trust}", tls.version)?;
    } else {
        writeln!(out, "  TLS          none: plain HTTP")?;
    }
    writeln!(out, "  login        {}", check.auth)?;
    match &check.credentials {
        Ok(Some(origin)) => writeln!(out, "  credentials  {origin}")?,
        Ok(None) => writeln!(out, "  credentials  none")?,
        Err(error) => {
            // All further questions would end at the same.
            complain(out, "credentials", role, error)?;
            return Ok(false);
        }
    }
    let mut healthy = true;
    match &check.pull {
        Ok(Some(head)) => writeln!(out, "  pull         yes, it shows {}", head.digest)?,
        Ok(None) => writeln!(out, "  pull         yes, though there is no `{}` yet", image.reference())?,
        Err(error) => {
            healthy = false;
            complain(out, "pull", role, error)?;
        }
    }
    match &check.push {
        Some(Ok(())) => writeln!(out, "  push         yes")?,
        Some(Err(error)) => {
            // A reference may be meant as a source.
            healthy &= role == Role::Named;
            complain(out, "push", role, error)?;
        }
        None => {}
    }
    writeln!(out, "  referrers    {}", referrers(check))?;
    Ok(healthy)
}

/// How what refers to images is kept, if that was seen.
fn referrers(check: &Check) -> &'static str {
    match (check.capabilities.referrers, &check.pull) {
        (Some(true), _) => "referrers API",
        (Some(false), _) => "no referrers API: signatures and SBOMs are kept under a tag instead",
        (None, Ok(_)) => "not asked: there is no image here yet",
        (None, Err(_)) => "not asked",
    }
}

fn complain(out: &mut impl Write, what: &str, role: Role, error: &Error) -> io::Result<()> {
    writeln!(out, "  {what:<12} no: {}", daemon::ErrorChain(error))?;
    match error.hint() {
        Some(hint) if role == Role::Named => writeln!(out, "  {:<12} mend: {}", "", text::mend_without_file(hint)),
        Some(hint) => writeln!(out, "  {:<12} mend: {hint}", ""),
        None => Ok(()),
    }
}
