//! Points at which a test lets the process die: one before and one after each effect of the factory.
//!
//! In a program built without the feature `crash-points` there is nothing of this.

macro_rules! effects {
    ($($name:ident = $text:literal: $meaning:literal,)+) => {
        /// What the factory changes outside of its own memory, and what it asks to be sure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Effect {
            $(#[doc = $meaning] $name,)+
        }

        impl Effect {
            /// All effects, in the order in which a run comes to them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its part of a point's name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

effects! {
    RunInterrupt = "run_interrupt": "The Store closes what a run that was cut off left open.",
    RunCreate = "run_create": "The Store begins a run.",
    TasksAdd = "tasks_add": "The Store takes tasks of a run.",
    RunExpanded = "run_expanded": "The Store notes that a run has all its tasks.",
    TasksTake = "tasks_take": "The Store hands out what is due.",
    TaskPublish = "task_publish": "The Queue takes a task.",
    TasksMark = "tasks_mark": "The Store notes what the Queue holds.",
    BlobUpload = "blob_upload": "The destination takes a blob that was seen nowhere near.",
    BlobPiece = "blob_piece": "A piece of a blob leaves.",
    BlobMount = "blob_mount": "The destination takes a blob that another of its repositories has.",
    ChildPut = "child_put": "The destination takes a manifest that is part of an image.",
    ReferrerPut = "referrer_put": "The destination takes a manifest that refers to another one.",
    SidecarPut = "sidecar_put": "The destination takes a manifest under one of cosign's tags.",
    TagPut = "tag_put": "The destination takes an image under its tag.",
    TagReadBack = "tag_read_back": "The destination says what the tag shows.",
    ResultPublish = "result_publish": "The Queue takes a result.",
    TaskAck = "task_ack": "The Queue forgets a task.",
    ResultsRecord = "results_record": "The Store takes results.",
    ResultAck = "result_ack": "The Queue forgets a result.",
    RunFinish = "run_finish": "The Store ends a run.",
    ReportRename = "report_rename": "A report gets its name.",
    ReportNote = "report_note": "The Store notes where a report is.",
    ReportCopy = "report_copy": "A report is copied to where a person wants it.",
}

#[cfg(feature = "crash-points")]
pub use armed::{POINT_VARIABLE, after, around, before};

#[cfg(not(feature = "crash-points"))]
pub use absent::{after, around, before};

#[cfg(not(feature = "crash-points"))]
mod absent {
    use super::Effect;

    /// The point before an effect.
    #[inline(always)]
    pub fn before(_: Effect) {}

    /// The point after an effect.
    #[inline(always)]
    pub fn after(_: Effect) {}

    /// Does `work`, whose effect this is, between its two points.
    #[inline(always)]
    pub fn around<F: Future>(_: Effect, work: F) -> F {
        work
    }
}

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Effect;

    /// Environment variable that names the point at which the process dies, and which time: `tag_put_after:3` means the
    /// third time that it comes there.
    pub const POINT_VARIABLE: &str = "IMAGE_FACTORY_CRASH_POINT";

    /// The point that is deadly, and how often it is still passed.
    static DEADLY: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
        let value = std::env::var(POINT_VARIABLE).ok()?;
        let (point, time) = value.split_once(':')?;
        Some((point.to_owned(), AtomicU32::new(time.parse().ok()?)))
    });

    /// The point before an effect.
    pub fn before(effect: Effect) {
        pass(effect, "before");
    }

    /// The point after an effect.
    pub fn after(effect: Effect) {
        pass(effect, "after");
    }

    /// Does `work`, whose effect this is, between its two points.
    pub fn around<F: Future>(effect: Effect, work: F) -> impl Future<Output = F::Output> {
        // In a box, because a future that holds another one is as large as both.
        let work = Box::pin(work);
        async move {
            before(effect);
            let done = work.await;
            after(effect);
            done
        }
    }

    fn pass(effect: Effect, moment: &str) {
        let Some((point, left)) = &*DEADLY else { return };
        let is_here = point.strip_suffix(moment).and_then(|rest| rest.strip_suffix('_')) == Some(effect.as_str());
        if is_here && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // As `kill -9` from outside: nothing is written, closed or told any more.
            let killed = kill_process(getpid(), Signal::KILL);
            unreachable!("the process outlived its own end: {killed:?}");
        }
    }
}
