//! When to probe what.
