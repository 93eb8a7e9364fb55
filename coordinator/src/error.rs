//! What can stop a coordinator.

/// The coordinator could not do its work; what is wrong with a single image is a result and never an error.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The Store did not answer as it must.
    #[error("use the store")]
    Store(#[from] backends::StoreError),
    /// The Queue did not answer as it must.
    #[error("use the queue")]
    Queue(#[from] backends::QueueError),
    /// The evidence store did not answer as it must.
    #[error("use evidence")]
    Evidence(#[from] backends::EvidenceError),
    /// A document in evidence could not be written or read.
    #[error("{what} a document in evidence")]
    Document {
        /// What was tried.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A job file that was read once cannot be read again.
    #[error("read the job file of run `{run}` as it was kept: {faults}")]
    Order {
        /// The run.
        run: proto::RunId,
        /// What is wrong with it.
        faults: String,
    },
    /// A registry client could not be made of a job file's settings.
    #[error("use the settings of the job file")]
    Settings(#[from] registry::Error),
    /// A message of ours could not be written.
    #[error("write a message")]
    Message(#[from] proto::envelope::EnvelopeError),
    /// The report could not be written.
    #[error("write report `{path}`")]
    Report {
        /// Where it was to go.
        path: String,
        /// What came back.
        #[source]
        source: std::io::Error,
    },
}

impl CoordinatorError {
    /// Whether trying again is of no use: another coordinator leads.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Store(backends::StoreError::NotLeader { .. }))
    }
}
