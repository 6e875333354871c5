//! Shared vocabulary of the tests.

pub mod http;
