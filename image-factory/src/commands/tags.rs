//! `tags`: which tags of a repository rules take and drop, and why.

mod model;

use std::path::PathBuf;

use clap::Args;
use coordinator::survey;
use jobfile::{JobFile, RepositoryLocation, Rules};
use proto::settings::Access;
use registry::{Client, Tags as Listed};

use crate::cli::args::PatienceArgs;
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::find::{self, Asked, Found};
use crate::progress::say;
use crate::text;
use model::{Judged, Tags};

/// List the tags of a repository: which are taken, and which are left and why.
///
/// The rules are those given by `--rule`, else those of the job file. Without either, all tags are listed, one on a line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, allow_missing_positional = true)]
pub(crate) struct TagsArgs {
    /// A job file, for its rules and for its settings of registries.
    file: Option<PathBuf>,

    /// The repository, as at its source.
    #[arg(value_name = "REF")]
    asked: Asked,

    /// A rule to try, as in a job file; may be given several times.
    #[arg(long = "rule", value_name = "RULE", allow_hyphen_values = true)]
    rules: Vec<String>,

    /// Print each tag that is left, with its reason, instead of some for each reason.
    #[arg(long)]
    all: bool,

    /// Print it as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    patience: PatienceArgs,
}

/// Version of the JSON.
const VERSION: u32 = 1;

const EXAMPLE: &str = r#"Examples:
  image-factory tags docker.io/library/alpine
  image-factory tags docker.io/library/alpine --rule '>=3.18' --rule '!3.19.*'
  image-factory tags first.yaml docker.io/library/alpine --all"#;

pub(crate) async fn run(args: TagsArgs) -> anyhow::Result<Exit> {
    let location = &args.asked.location;
    if let Some(tag) = &args.asked.tag {
        return Err(UsageError(format!("`tags` is about all of a repository: leave out `:{tag}`")).into());
    }
    let file = args.file.as_deref().map(files::load).transpose()?;
    let wanted = match (&args.rules[..], &file) {
        ([], None) => Wanted::All,
        ([], Some(file)) => match lines_from(file, &args.asked) {
            Ok(lines) => Wanted::Lines(lines),
            Err(why) => return Ok(failed(&why)),
        },
        (texts, _) => Wanted::Rules(given(texts, file.as_ref())?),
    };
    let access = file.as_ref().map_or_else(Access::default, |file| file.access.clone());
    let client = Client::new(&access, args.patience.options())?;
    let listed = match survey::list(&client, location).await {
        Ok(listed) => listed,
        Err(error) => {
            let mend = error.hint().map(|hint| format!("\nmend: {hint}")).unwrap_or_default();
            return Ok(failed(&format!("list the tags of `{location}`: {}{mend}", daemon::ErrorChain(&error))));
        }
    };
    if let Some(warning) = survey::warning_of_invalid(location, &listed) {
        say(&format!("warning  {warning}"));
    }
    print(&args, location, &wanted, &listed)?;
    Ok(Exit::Done)
}

/// By what the tags are judged.
enum Wanted<'f> {
    All,
    Rules(Rules),
    /// Each by itself.
    Lines(Vec<Found<'f>>),
}

/// The rules of the command line, which may name tag sets of the file.
fn given(texts: &[String], file: Option<&JobFile>) -> anyhow::Result<Rules> {
    Rules::parse_all(texts, "--rule", file).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(|fault| format!("{}; {}", fault.message, fault.mend)).collect();
        UsageError(jobfile::printable(&format!("`--rule` cannot be used: {}", faults.join(" · ")))).into()
    })
}

/// The lines of which the repository is the source. The error says why there are none.
fn lines_from<'f>(file: &'f JobFile, asked: &Asked) -> Result<Vec<Found<'f>>, String> {
    let mut found = find::lines(file, &asked.location);
    let Some(first) = found.first() else {
        let (skipped, closest) = (find::skipped(file, &asked.location), find::closest(file, &asked.location));
        return Err(jobfile::printable(&find::not_found(asked, &skipped, &closest)));
    };
    let source = &first.source.location;
    found.retain(|found| find::is_same(&found.source.location, &asked.location));
    if found.is_empty() {
        return Err(format!("`{asked}` is a destination: name its source, `{source}`"));
    }
    Ok(found)
}

fn failed(why: &str) -> Exit {
    say(&format!("error: {why}"));
    Exit::Failed
}

fn print(args: &TagsArgs, location: &RepositoryLocation, wanted: &Wanted<'_>, listed: &Listed) -> anyhow::Result<()> {
    let lines = match wanted {
        Wanted::All => vec![Judged::all(listed)?],
        Wanted::Rules(rules) => vec![Judged::by_rules(rules, listed)],
        Wanted::Lines(lines) => lines.iter().map(|found| Judged::by_line(found, listed)).collect(),
    };
    let tags = Tags { version: VERSION, repository: location.to_string(), listed: listed.tags.len(), lines };
    let mut out = text::stdout();
    if args.json {
        text::write_json(&mut out, &tags)?;
    } else if matches!(wanted, Wanted::All) {
        tags.print_names(&mut out)?;
    } else {
        tags.print(&mut out, args.all)?;
    }
    Ok(())
}
