//! Words of other tools: who types one hears which of ours is meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of other tools, each with a sentence on ours.
const WORDS: &[(&[&str], &str)] = &[
    (
        &["sync"],
        "what `skopeo sync` does, `image-factory run FILE` does with a job file, or `image-factory copy` for one image",
    ),
    (&["once"], "what `regsync once` does, `image-factory run FILE` does"),
    (
        &["server", "serve", "daemon"],
        "there is no schedule of our own as in `regsync server`: let cron or a timer start `image-factory run FILE`",
    ),
    (
        &["mirror", "replicate", "replication"],
        "what a replication rule of Harbor or `oc mirror` does, `image-factory run FILE` does",
    ),
    (
        &["cp", "pull", "push"],
        "`image-factory copy SOURCE DESTINATION` goes from registry to registry, and to and from `oci:FOLDER`",
    ),
    (&["save", "export"], "`image-factory copy REF oci-archive:FILE` writes an image into a file"),
    (&["load"], "`image-factory copy oci-archive:FILE REF` brings an image from a file to a registry"),
    (&["ls", "list", "list-tags"], "`image-factory tags REF` lists the tags of a repository, as `crane ls` does"),
    (&["catalog"], "repositories are named in a job file; `image-factory tags REF` lists the tags of one"),
    (
        &["digest", "inspect", "manifest"],
        "`image-factory doctor REF` tells the digest of an image, and `image-factory show FILE REF` what a file makes of it",
    ),
    (&["validate", "lint", "verify-config"], "`image-factory check FILE` checks a job file without asking anybody"),
    (
        &["diff", "dry-run"],
        "what `terraform plan` is to a file there, `image-factory plan FILE` is here: what would move, and nothing moves",
    ),
    (&["apply"], "`image-factory run FILE` does what a file says, and `image-factory plan FILE` tells before"),
    (
        &["login", "logout"],
        "credentials are those of `docker login`, or those that the file names; `image-factory doctor REF` tells which are used",
    ),
    (&["version"], "it is `image-factory --version`"),
];

/// The error for a command of another tool, if `error` is about one.
pub(super) fn explained(command: &mut clap::Command, error: &clap::Error) -> Option<clap::Error> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let (_, sentence) = WORDS.iter().find(|(words, _)| words.contains(&word.as_str()))?;
    Some(command.error(ErrorKind::InvalidSubcommand, format!("`{word}` is no command: {sentence}")))
}

/// The error without credentials that were written into a reference: it repeats what was typed.
pub(super) fn without_secrets(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if let Some(ContextValue::String(typed)) = error.get(kind) {
            let masked = proto::image::without_credentials(typed).into_owned();
            error.insert(kind, ContextValue::String(masked));
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn no_word_of_other_tools_is_a_command_and_what_they_are_told_is_one() {
        let program = Cli::command();
        let is_command = |name: &str| name == "--version" || program.find_subcommand(name).is_some();
        for (words, sentence) in WORDS {
            for word in *words {
                assert!(!is_command(word), "`{word}` is explained, and is a command");
            }
            let named = sentence.split("image-factory ").skip(1).filter_map(|rest| rest.split([' ', '`']).next());
            for name in named {
                assert!(is_command(name), "{words:?} are told `{name}`, which is no command");
            }
        }
    }
}
