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
