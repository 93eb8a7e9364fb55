//! `doctor`: what registries can do, and what we may do there.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use jobfile::RepositoryLocation;
use proto::settings::Access;
use proto::{ImageRef, Repository, Tag};
use registry::{Capabilities, Check, Client, Error, Trust};

use crate::cli::DoctorArgs;
use crate::exit::{Exit, UsageError};
use crate::files;

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<Exit> {
    let mut subjects = Subjects { access: files::access(&args.settings)?, images: BTreeMap::new() };
    for text in &args.subjects {
        subjects.add(text)?;
    }
    let client = Client::new(&subjects.access, args.patience.options())?;
    let mut out = io::stdout().lock();
    let mut healthy = true;
    for (image, push) in subjects.images.values() {
        writeln!(out, "{}", image.repository)?;
        healthy &= match client.check(image, *push).await {
            Ok(check) => tell(&mut out, &check)?,
            Err(error) => {
                complain(&mut out, "reachable", &error)?;
                false
            }
        };
    }
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

/// What is looked at: images by repository, each with whether it is written to.
struct Subjects {
    access: Access,
    images: BTreeMap<Repository, (ImageRef, bool)>,
}

impl Subjects {
    /// A reference, or a file, which stands for its sources and destinations.
    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        if Path::new(text).is_file() {
            let file = files::load(Path::new(text))?;
            self.access = file.access;
            for images in file.images {
                let tag = images.rules.select(&[]).taken.first().map(|taken| taken.tag.clone());
                self.look_at(&images.source, tag.as_ref(), false)?;
                for destination in &images.destinations {
                    self.look_at(destination, tag.as_ref(), true)?;
                }
            }
            return Ok(());
        }
        let image: ImageRef = text.parse().map_err(|error| UsageError(format!("{error}, nor is there such a file")))?;
        // A person who asks for one wants to know all of it: nothing is left behind.
        self.images.insert(image.repository.clone(), (image, true));
        Ok(())
    }

    /// One repository for each registry and account tells enough; layouts are no registries.
    fn look_at(&mut self, location: &RepositoryLocation, tag: Option<&Tag>, push: bool) -> anyhow::Result<()> {
        if let RepositoryLocation::Registry(repository) = location {
            let tag = tag.cloned().map_or_else(|| "latest".parse(), Ok)?;
            let is_known = |(known, (_, pushed)): (&Repository, &(ImageRef, bool))| {
                *pushed == push
                    && known.host() == repository.host()
                    && self.access.settings(known) == self.access.settings(repository)
            };
            if !self.images.iter().any(is_known) {
                self.images.insert(repository.clone(), (repository.tagged(tag), push));
            }
        }
        Ok(())
    }
}

/// Prints what was found; says whether all is well.
fn tell(out: &mut impl Write, check: &Check) -> io::Result<bool> {
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
    let mut healthy = true;
    match &check.credentials {
        Ok(Some(origin)) => writeln!(out, "  credentials  {origin}")?,
        Ok(None) => writeln!(out, "  credentials  none")?,
        Err(error) => {
            healthy = false;
            complain(out, "credentials", error)?;
        }
    }
    match &check.pull {
        Ok(Some(head)) => writeln!(out, "  pull         yes, it shows {}", head.digest)?,
        Ok(None) => writeln!(out, "  pull         yes, but there is no such tag yet")?,
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
    writeln!(out, "  referrers    {}", abilities(&check.capabilities))?;
    Ok(healthy)
}

/// What the registry was seen to do; what was not asked is not claimed.
fn abilities(seen: &Capabilities) -> &'static str {
    match seen.referrers {
        Some(true) => "referrers API",
        Some(false) => "no referrers API: signatures and SBOMs are kept under a tag instead",
        None => "not asked: there is no image here yet",
    }
}

fn complain(out: &mut impl Write, what: &str, error: &Error) -> io::Result<()> {
    writeln!(out, "  {what:<12} no: {}", daemon::ErrorChain(error))?;
    match error.hint() {
        Some(hint) => writeln!(out, "  {:<12} mend: {hint}", ""),
        None => Ok(()),
    }
}
