//! `schema`: the JSON Schemas of what this program reads and writes.

use clap::{Args, ValueEnum};

use crate::exit::Exit;
use crate::text;

/// Print a JSON Schema, for editors and for programs that read our documents.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct SchemaArgs {
    /// Of which document.
    #[arg(value_enum, default_value_t = Document::Job)]
    document: Document,
}

const EXAMPLE: &str = "\
Example: completion and faults of a job file in an editor
  image-factory schema job > factory.schema.json
and in its first line, for editors with the YAML language server
  # yaml-language-server: $schema=factory.schema.json";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Document {
    /// The job file, and files that it includes.
    Job,
    /// `report.json`, which a run leaves behind.
    Report,
}

pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<Exit> {
    let schema = match args.document {
        Document::Job => jobfile::schema(),
        Document::Report => coordinator::report::schema(),
    };
    let mut out = text::stdout();
    text::write_json(&mut out, &schema)?;
    Ok(Exit::Done)
}
