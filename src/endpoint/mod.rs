//! The reference `/ws/health/` server and its faults on demand.
