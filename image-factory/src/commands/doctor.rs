//! `doctor`: what registries can do, and what we may do there.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use jobfile::RepositoryLocation;
use proto::settings::Access;
use proto::{ImageRef, Repository, Tag};
use registry::{Check, Client, Error, Trust};

use crate::cli::DoctorArgs;
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::text;

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<Exit> {
    let mut subjects = Subjects { access: files::access(&args.settings)?, images: BTreeMap::new() };
    for text in &args.subjects {
        subjects.add(text)?;
    }
    let client = Client::new(&subjects.access, args.patience.options())?;
    let mut out = text::stdout();
    let mut healthy = true;
    for Subject { image, role } in subjects.images.values() {
        writeln!(out, "{}{}", image.repository, role.suffix())?;
        healthy &= match client.check(image, *role != Role::Source).await {
            Ok(check) => tell(&mut out, image, &check)?,
            Err(error) => {
                complain(&mut out, "reachable", &error)?;
                false
            }
        };
    }
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

/// What is looked at.
struct Subjects {
    access: Access,
    images: BTreeMap<Repository, Subject>,
}

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

impl Subjects {
    /// A reference, or a file, which stands for its sources and destinations.
    fn add(&mut self, subject: &str) -> anyhow::Result<()> {
        if Path::new(subject).is_file() {
            let file = files::load(Path::new(subject))?;
            self.access = file.access;
            for images in file.images {
                let tag = images.rules.select(&[]).taken.first().map(|taken| taken.tag.clone());
                self.look_at(&images.source, tag.as_ref(), Role::Source)?;
                for destination in &images.destinations {
                    self.look_at(destination, tag.as_ref(), Role::Destination)?;
                }
            }
            return Ok(());
        }
        if subject.ends_with(".yaml") || subject.ends_with(".yml") {
            return Err(UsageError(format!("there is no file `{subject}`")).into());
        }
        let image: ImageRef =
            subject.parse().map_err(|error| UsageError(format!("{error}, nor is there such a file")))?;
        self.images.insert(image.repository.clone(), Subject { image, role: Role::Named });
        Ok(())
    }

    /// One repository for each registry and account tells enough; layouts are no registries.
    fn look_at(&mut self, location: &RepositoryLocation, tag: Option<&Tag>, role: Role) -> anyhow::Result<()> {
        if let RepositoryLocation::Registry(repository) = location {
            let tag = tag.cloned().map_or_else(|| "latest".parse(), Ok)?;
            let is_known = |(known, subject): (&Repository, &Subject)| {
                subject.role == role
                    && known.host() == repository.host()
                    && self.access.settings(known) == self.access.settings(repository)
            };
            if !self.images.iter().any(is_known) {
                self.images.insert(repository.clone(), Subject { image: repository.tagged(tag), role });
            }
        }
        Ok(())
    }
}

/// Prints what was found; says whether all is well.
fn tell(out: &mut impl Write, image: &ImageRef, check: &Check) -> io::Result<bool> {
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
            complain(out, "credentials", error)?;
            return Ok(false);
        }
    }
    let mut healthy = true;
    match &check.pull {
        Ok(Some(head)) => writeln!(out, "  pull         yes, it shows {}", head.digest)?,
        Ok(None) => writeln!(out, "  pull         yes, though there is no `{}` yet", image.reference())?,
        Err(error) => {
            healthy = false;
            complain(out, "pull", error)?;
        }
    }
    match &check.push {
        Some(Ok(())) => writeln!(out, "  push         yes")?,
        Some(Err(error)) => {
            healthy = false;
            complain(out, "push", error)?;
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

fn complain(out: &mut impl Write, what: &str, error: &Error) -> io::Result<()> {
    writeln!(out, "  {what:<12} no: {}", daemon::ErrorChain(error))?;
    match error.hint() {
        Some(hint) => writeln!(out, "  {:<12} mend: {hint}", ""),
        None => Ok(()),
    }
}
