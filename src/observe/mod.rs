//! What was seen: metrics and recent history.
