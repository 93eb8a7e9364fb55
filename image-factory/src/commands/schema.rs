//! `schema`: the JSON Schemas of what this program reads and writes.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use crate::exit::Exit;
use crate::text;

/// Print a JSON Schema, for editors and for programs that read our documents.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct SchemaArgs {
    /// Of what.
    #[arg(value_enum)]
    document: Document,
}

const EXAMPLE: &str = "\
Example:
  image-factory schema report > report.schema.json";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Document {
    /// `report.json`, which a run leaves behind.
    Report,
}

pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<Exit> {
    let schema = match args.document {
        Document::Report => coordinator::report::schema(),
    };
    let mut out = text::stdout();
    serde_json::to_writer_pretty(&mut out, &schema).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(Exit::Done)
}
