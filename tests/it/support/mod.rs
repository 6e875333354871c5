//! Shared vocabulary of the tests.

pub mod notify;
