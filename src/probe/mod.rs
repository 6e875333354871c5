//! One probe of one target, under one deadline.
