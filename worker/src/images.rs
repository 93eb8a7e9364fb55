//! What is read of an image, once for each content that its destinations want.

use std::collections::BTreeMap;

use proto::outcome::End;
use proto::task::Mirror;
use proto::{Content, Stage};
use tokio::sync::OnceCell;

use crate::context::TaskContext;
use crate::source::Source;
use crate::stage::run_stage;
use crate::stages::fetch::{self, Image};

/// The images of a task, each read by the first destination that needs it.
pub(crate) struct Images<'t>(BTreeMap<&'t Content, OnceCell<Result<Image, End>>>);

impl<'t> Images<'t> {
    /// Those that `task` may need; none is read yet.
    pub(crate) fn of(task: &'t Mirror) -> Self {
        Self(task.destinations.iter().map(|destination| (&destination.content, OnceCell::new())).collect())
    }

    /// The image with `content`, which one of the task's destinations wants.
    pub(crate) async fn read(&self, cx: &TaskContext, source: &Source<'_>, content: &Content) -> Result<&Image, End> {
        let fetched = || run_stage(cx, Stage::Fetch, fetch::run(cx, source, content));
        self.0[content].get_or_init(fetched).await.as_ref().map_err(End::clone)
    }
}
