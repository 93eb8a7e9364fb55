//! `completions`: lets a shell complete our commands and options.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::text;

/// Print the script that lets a shell complete commands and options.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLE: &str = "\
Examples:
  image-factory completions bash > ~/.local/share/bash-completion/completions/image-factory
  image-factory completions fish > ~/.config/fish/completions/image-factory.fish
  image-factory completions zsh > ~/.zfunc/_image-factory    (a folder that is in `fpath`)";

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "image-factory", &mut script);
    text::stdout().write_all(&script)?;
    Ok(Exit::Done)
}
