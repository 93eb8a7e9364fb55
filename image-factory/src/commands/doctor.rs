//! `doctor`: what registries can do, and what we may do there.

mod subjects;

use std::io::{self, Write};

use clap::Args;
use coordinator::survey;
use futures_util::{StreamExt, stream};
use jobfile::printable;
use proto::Tag;
use registry::{Check, Client, Error, Layout, ManifestHead, Trust};

use crate::cli::args::{PatienceArgs, SettingsArgs};
use crate::exit::Exit;
use crate::files;
use crate::text;
use subjects::{Group, OnDisk, Read, Role, Subject};

/// Repositories asked for at once.
const CONCURRENCY: usize = 8;

/// Ask registries what they can do and what we may do there: nothing is changed.
///
/// For each: reachable, TLS, where the credentials come from, right to pull and to push, and what it supports. That we
/// may not push is a failure where a file has its destination, and is only told of a reference, which may be a source.
/// Each source of a file must be there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct DoctorArgs {
    /// References, or job files, which stand for all of their sources and destinations with settings of their own.
    #[arg(required = true, value_name = "REF|FILE")]
    pub(crate) subjects: Vec<String>,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const EXAMPLE: &str = "\
Examples:
  image-factory doctor registry.example.com/mirror/alpine docker.io/library/alpine
  image-factory doctor first.yaml
  image-factory doctor oci:./images";

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<Exit> {
    let settings = files::access(&args.settings)?;
    let groups =
        args.subjects.iter().map(|subject| Group::of(subject, &settings)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut out = text::stdout();
    let mut healthy = true;
    for group in groups {
        let client = Client::new(&group.access, args.patience.options())?;
        for subject in &group.subjects {
            writeln!(out, "{}", printable(&subject.title()))?;
            healthy &= look_at(&mut out, &client, subject).await?;
        }
        for layout in &group.layouts {
            writeln!(out, "{}", printable(&layout.title()))?;
            healthy &= look_on_disk(&mut out, &client, layout).await?;
        }
    }
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

/// Prints what is found at a registry; says whether all is well.
async fn look_at(out: &mut impl Write, client: &Client, subject: &Subject) -> anyhow::Result<bool> {
    let Read { repository, image, .. } = &subject.read;
    let listed = match image {
        Some(_) => None,
        // The rules name no tag, so none need be there: `latest` is as good as any.
        None => Some(client.tags(repository).await.map(|listed| listed.tags)),
    };
    let first = listed.iter().flatten().flatten().next();
    let image = match (image, first) {
        (Some(image), _) => image.clone(),
        (None, Some(tag)) => repository.tagged(tag.clone()),
        (None, None) => repository.tagged("latest".parse()?),
    };
    let check = match client.check(&image, subject.role != Role::Source).await {
        Ok(check) => check,
        Err(error) => {
            complain(out, "reachable", subject.role, &error)?;
            return Ok(false);
        }
    };
    tell_connection(out, &check)?;
    if let Err(error) = &check.credentials {
        // All further questions would end at the same.
        complain(out, "credentials", subject.role, error)?;
        return Ok(false);
    }
    let mut healthy = match (&listed, &check.pull) {
        (Some(Err(error)), _) | (_, Err(error)) => {
            complain(out, "pull", subject.role, error)?;
            false
        }
        (Some(Ok(tags)), Ok(head)) => {
            writeln!(out, "  pull         {}", of_tags(tags, head.as_ref()))?;
            true
        }
        (None, Ok(Some(head))) => {
            writeln!(out, "  pull         yes, it shows {}", head.digest)?;
            true
        }
        (None, Ok(None)) if subject.role == Role::Source => {
            writeln!(out, "  pull         no: there is no `{}`", image.reference())?;
            false
        }
        (None, Ok(None)) => {
            writeln!(out, "  pull         yes, though there is no `{}` yet", image.reference())?;
            true
        }
    };
    match &check.push {
        Some(Ok(())) => writeln!(out, "  push         yes")?,
        Some(Err(error)) => {
            // A reference may be meant as a source.
            healthy &= subject.role == Role::Named;
            complain(out, "push", subject.role, error)?;
        }
        None => {}
    }
    if let Some(listing) = check.capabilities.listing {
        writeln!(out, "  tags         listed by {}", listing.as_str())?;
    }
    // What the answers until here told.
    if let Ok(Some(pulls)) = client.budget(repository).await.map(|budget| budget.pulls) {
        writeln!(out, "  pulls        {pulls}")?;
    }
    let is_there = matches!(listed, None | Some(Ok(_)));
    writeln!(out, "  referrers    {}", if is_there { referrers(&check) } else { "not asked" })?;
    Ok(look_at_others(out, client, &subject.others).await? && healthy)
}

/// What a source shows whose tags are selected by rules.
fn of_tags(tags: &[Tag], head: Option<&ManifestHead>) -> String {
    match (tags.first(), head) {
        (None, _) => "yes, though it has no tags".to_owned(),
        (Some(_), None) => format!("yes, it has {}", text::count(tags.len() as u64, "tag")),
        (Some(first), Some(head)) => {
            format!("yes, it has {}; `{first}` shows {}", text::count(tags.len() as u64, "tag"), head.digest)
        }
    }
}

/// Prints which of the other sources cannot be read.
async fn look_at_others(out: &mut impl Write, client: &Client, others: &[Read]) -> io::Result<bool> {
    let asked = others.iter().map(|read| async move { (read, why_unreadable(client, read).await) });
    let mut answers = stream::iter(asked).buffered(CONCURRENCY);
    let mut readable = 0;
    let mut unreadable = 0;
    while let Some((read, why)) = answers.next().await {
        let Some(why) = why else {
            readable += 1;
            continue;
        };
        unreadable += 1;
        let place = read.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        writeln!(out, "  source       no: {}{}: {why}", read.repository, printable(&place))?;
    }
    if readable > 0 {
        writeln!(out, "  sources      {readable} more can be read")?;
    }
    Ok(unreadable == 0)
}

/// None if it can be read.
async fn why_unreadable(client: &Client, read: &Read) -> Option<String> {
    let answer = match &read.image {
        None => client.tags(&read.repository).await.map(drop),
        Some(image) => match client.head_manifest(&read.repository, &image.reference()).await {
            Ok(None) => return Some(format!("there is no `{}`", image.reference())),
            answer => answer.map(drop),
        },
    };
    answer.err().map(|error| daemon::ErrorChain(&error).to_string())
}

/// Prints whether images on disk can be read.
async fn look_on_disk(out: &mut impl Write, client: &Client, layout: &OnDisk) -> io::Result<bool> {
    let found = match layout {
        OnDisk::Source(location, _) => survey::list(client, location).await.map(|tags| match tags.tags.len() {
            0 => Err("there are no images of this repository".to_owned()),
            number => Ok(text::count(number as u64, "tag")),
        }),
        OnDisk::Folder(wanted) => look_into(Layout::open_folder(&wanted.path).await, wanted.name.as_deref()).await,
        OnDisk::Archive(wanted) => look_into(Layout::open_archive(&wanted.path).await, wanted.name.as_deref()).await,
    };
    match &found {
        Ok(Ok(content)) => writeln!(out, "  readable     yes, {content}; a layout on disk needs no login")?,
        Ok(Err(why)) => writeln!(out, "  readable     no: {}", printable(why))?,
        Err(error) => complain(out, "readable", Role::Named, error)?,
    }
    Ok(matches!(found, Ok(Ok(_))))
}

/// What a layout holds; the inner error says that it does not have what is wanted.
async fn look_into(layout: Result<Layout, Error>, name: Option<&str>) -> Result<Result<String, String>, Error> {
    let layout = layout?;
    if let Some(name) = name {
        let found = layout.resolve(Some(name)).await?;
        let missing = || format!("there is no image `{name}`");
        return Ok(found.map(|found| format!("it shows {}", found.digest)).ok_or_else(missing));
    }
    Ok(Ok(text::count(layout.names().await?.len() as u64, "named image")))
}

/// Prints how the registry was reached.
fn tell_connection(out: &mut impl Write, check: &Check) -> io::Result<()> {
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
        Ok(Some(origin)) => writeln!(out, "  credentials  {origin}"),
        Ok(None) => writeln!(out, "  credentials  none"),
        Err(_) => Ok(()),
    }
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
