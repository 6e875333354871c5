//! Shared vocabulary of the tests.

pub mod alert;
