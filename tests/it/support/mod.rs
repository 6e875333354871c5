//! Shared vocabulary of the tests.

pub mod stage;
pub mod alert;
