//! From the tags of a source to tasks. Pure.

use backends::store::NewTask;
use jobfile::Images;
use proto::{Tag, TaskId};

/// What one line of the file means, now that the tags of its source are known.
#[derive(Debug, Default)]
pub struct Expansion {
    /// One task for each tag that is taken.
    pub tasks: Vec<NewTask>,
    /// What is worth a look: rules that found nothing.
    pub warnings: Vec<String>,
}

/// Applies the rules of a line to the tags that its source has.
pub fn expand(images: &Images, listed: &[Tag]) -> Expansion {
    let selection = images.rules.select(listed);
    let task = |taken: &jobfile::Taken| NewTask {
        id: TaskId::new(),
        source: images.source_of(taken),
        cosign_tags: Vec::new(),
        destinations: images.targets(&taken.tag),
    };
    let warning = |rule: &String| format!("{}: no tag matches `{rule}`", images.source);
    Expansion {
        tasks: selection.taken.iter().map(task).collect(),
        warnings: selection.idle.iter().map(warning).collect(),
    }
}
