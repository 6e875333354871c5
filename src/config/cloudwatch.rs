//! Where and how often metrics go to CloudWatch.

use std::time::Duration;

/// Metrics for CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudWatch {
    pub namespace: String,
    /// The length of one period, and how often metrics are sent.
    pub every: Duration,
    pub route: CloudWatchRoute,
}

/// The way that metrics take to CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudWatchRoute {
    /// The API, signed with the credentials of this host.
    Api {
        /// As the host says unless configured.
        region: Option<String>,
        /// The region's public one unless configured.
        endpoint: Option<url::Url>,
    },
    /// Lines in the embedded metric format to an agent at this `host:port`, over TCP.
    Emf(String),
}
