//! What is wrong with a configuration, where, and what to do about it.

/// Every mistake found in one configuration; never empty.
#[derive(Clone, Debug, thiserror::Error)]
#[error("invalid configuration")]
pub struct Report {}
