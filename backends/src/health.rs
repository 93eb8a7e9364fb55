//! Whether a backend can be used now, for readiness and for display.

/// Whether a backend can be used now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ready,
    /// It cannot: a sentence that names its address and the cause, and no secret.
    NotReady(String),
}

impl Health {
    /// Whether it can be used.
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}
