//! Phase `dns`: from a host name to its addresses.
//!
//! Every probe asks the resolver anew: a fresh visitor has no cache, the time is honest, and a changed record is seen at
//! the next probe. The hosts file is honoured.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;

use super::{Failure, classify};
use crate::config::IpVersion;
use crate::outcome::{Phase, Reason};

/// The system's resolver, for each way of choosing addresses. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    any: Option<TokioResolver>,
    v4: Option<TokioResolver>,
    v6: Option<TokioResolver>,
}

impl Resolver {
    /// Reads the system's resolver configuration. Without a usable one only addresses can be probed, and names end as
    /// `local_error`: a public resolver is never asked instead.
    pub fn system() -> Self {
        let system = read_system_conf()
            .inspect_err(|error| tracing::warn!(%error, "the system's resolver configuration can't be used"))
            .ok();
        let build = |ip_strategy| {
            let (config, mut options) = system.clone()?;
            options.ip_strategy = ip_strategy;
            options.cache_size = 0;
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options)
                .build()
                .inspect_err(|error| tracing::warn!(%error, "the resolver can't be set up"))
                .ok()
        };
        Resolver {
            any: build(LookupIpStrategy::Ipv4AndIpv6),
            v4: build(LookupIpStrategy::Ipv4Only),
            v6: build(LookupIpStrategy::Ipv6Only),
        }
    }

    /// The addresses of a name, IPv4 before IPv6; never empty.
    pub(super) async fn lookup(&self, host: &str, port: u16, version: IpVersion) -> Result<Vec<SocketAddr>, Failure> {
        let resolver = match version {
            IpVersion::Any => &self.any,
            IpVersion::V4 => &self.v4,
            IpVersion::V6 => &self.v6,
        };
        let Some(resolver) = resolver else {
            return Err(Failure::new(Reason::LocalError, Phase::Dns, "this host has no usable resolver configuration"));
        };
        let found = resolver.lookup_ip(host).await.map_err(|error| classify::dns(host, &error))?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6); // stable: the resolver's order stays within each family
        if addresses.is_empty() {
            return Err(Failure::new(Reason::DnsNotFound, Phase::Dns, format!("the name {host} has no address record")));
        }
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}
