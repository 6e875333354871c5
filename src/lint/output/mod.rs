//! A report as text for people, JSON, SARIF, or workflow annotations.

pub mod github;
pub mod human;
pub mod json;
pub mod sarif;
