//! Phase `dns`: from a host name to its addresses.
//!
//! Every probe asks the resolver anew: a fresh visitor has no cache, the time is honest, and a changed record is seen at
//! the next probe. The hosts file is honoured. A packet that gets no answer is sent again after a third of a second
//! (hickory's floor) or what the server usually takes, so that one lost packet does not fail a probe.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::time::Instant;

use super::{Failure, classify, connect};
use crate::config::IpVersion;
use crate::outcome::{Phase, Reason};

/// A changed configuration is seen after this long at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const HOSTS: &str = "/etc/hosts";

/// The resolver that a resolver configuration file names, which is read again when it or the hosts file has changed.
/// Cheap to clone; clones share what they have read.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    path: PathBuf,
    port: u16,
    state: Mutex<State>,
}

struct State {
    looked: Instant,
    seen: Stamps,
    /// `None`: there has not been a usable configuration yet.
    asked: Option<Arc<Asked>>,
}

/// When the two files were last changed, and how large they are.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// The same servers, for each way of choosing addresses.
struct Asked {
    any: TokioResolver,
    v4: TokioResolver,
    v6: TokioResolver,
    servers: Vec<SocketAddr>,
}

impl Resolver {
    /// The system's resolver.
    pub fn system() -> Self {
        Resolver::of(Path::new("/etc/resolv.conf"), 53)
    }

    /// The resolver that this file names, in the form of resolv.conf(5), on this port. Without a usable file only addresses
    /// can be probed, and names end as `local_error`: a public resolver is never asked instead.
    pub fn of(path: &Path, port: u16) -> Self {
        let seen = stamps(path);
        let state = State { looked: Instant::now(), seen, asked: read(path, port).map(Arc::new) };
        Resolver(Arc::new(Inner { path: path.to_owned(), port, state: Mutex::new(state) }))
    }

    /// The addresses of a name, IPv4 before IPv6; never empty.
    pub(super) async fn lookup(&self, host: &str, port: u16, version: IpVersion) -> Result<Vec<SocketAddr>, Failure> {
        let Some(asked) = self.current().await else {
            return Err(Failure::new(Reason::LocalError, Phase::Dns, "this host has no usable resolver configuration"));
        };
        let resolver = match version {
            IpVersion::Any => &asked.any,
            IpVersion::V4 => &asked.v4,
            IpVersion::V6 => &asked.v6,
        };
        // the host of a URL is ASCII by now; names with an underscore exist, though IDNA does not know them
        let name = Name::from_ascii(host).map_err(|error| {
            Failure::new(Reason::DnsNotFound, Phase::Dns, format!("the name {host} can't exist in DNS: {error}"))
        })?;
        let found = resolver.lookup_ip(name).await.map_err(|error| {
            let any_route = || asked.servers.iter().any(|server| connect::has_route(*server));
            classify::dns(host, &error, any_route)
        })?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6); // stable: the resolver's order stays within each family
        if addresses.is_empty() {
            return Err(Failure::new(Reason::DnsNotFound, Phase::Dns, format!("the name {host} has no address record")));
        }
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }

    async fn current(&self) -> Option<Arc<Asked>> {
        let due = {
            let mut state = self.state();
            let due = state.looked.elapsed() >= LOOK_AGAIN;
            if due {
                state.looked = Instant::now(); // the others go on with what there is
            }
            due
        };
        if due {
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.look_again()).await; // ends only with the runtime
        }
        self.state().asked.clone()
    }

    /// Reads the files again if they have changed. What can't be used leaves the resolver as it was: somebody may be
    /// writing the file just now.
    fn look_again(&self) {
        let now = stamps(&self.0.path);
        if std::mem::replace(&mut self.state().seen, now) == now {
            return;
        }
        if let Some(asked) = read(&self.0.path, self.0.port) {
            tracing::info!(path = %self.0.path.display(), "the resolver configuration has changed and was read again");
            self.state().asked = Some(Arc::new(asked));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(path: &Path) -> Stamps {
    [path, Path::new(HOSTS)].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// Reads the configuration; `None`, and a warning, when it can't be used.
fn read(path: &Path, port: u16) -> Option<Asked> {
    let unusable = |error: &dyn std::fmt::Display| {
        tracing::warn!(path = %path.display(), %error, "the resolver configuration can't be used");
    };
    let text = std::fs::read(path).inspect_err(|error| unusable(error)).ok()?;
    let (mut config, mut options) = parse_resolv_conf(text).inspect_err(|error| unusable(error)).ok()?;
    config.name_servers.iter_mut().flat_map(|server| &mut server.connections).for_each(|connection| connection.port = port);
    options.cache_size = 0;
    let servers = config.name_servers.iter().map(|server| SocketAddr::new(server.ip, port)).collect();
    let mut build = |ip_strategy| {
        options.ip_strategy = ip_strategy;
        let builder = TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default());
        builder.with_options(options.clone()).build().inspect_err(|error| unusable(error)).ok()
    };
    Some(Asked {
        any: build(LookupIpStrategy::Ipv4AndIpv6)?,
        v4: build(LookupIpStrategy::Ipv4Only)?,
        v6: build(LookupIpStrategy::Ipv6Only)?,
        servers,
    })
}
