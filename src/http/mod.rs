//! Metrics, API and status page over HTTP.
