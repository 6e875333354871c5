//! Wires the stages together, owns their state, drains at the end.
