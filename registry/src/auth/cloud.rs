//! What runs in a cloud has an identity there, which stands for credentials.

pub(crate) mod aws;
