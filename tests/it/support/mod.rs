//! Shared vocabulary of the tests.
