//! Whether this host itself is online, by witnesses that always answer: a failure of the prober's own network is never
//! blamed on a target.
//!
//! Nobody is asked while all is well. When a probe fails in a way that a dead network explains, all witnesses are called
//! at once; if not one answers, the probe says nothing of its target. However many targets fail together, they ask once.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use super::{Resolver, Shared, classify};
use crate::config::{IpVersion, Witness};
use crate::outcome::{Outcome, Reason};

/// How long a witness may take to answer; a lost SYN is sent again after 1 s (RFC 6298 section 2).
const PATIENCE: Duration = Duration::from_secs(2);
/// How long "online" holds without asking again: short, since what fails in the meantime is blamed on its target.
const ONLINE_HOLDS: Duration = Duration::from_secs(1);
/// How long "offline" holds without asking again, and how often it is asked whether it is over.
const OFFLINE_HOLDS: Duration = Duration::from_secs(5);

/// Asks the witnesses, and remembers what they said for a moment.
pub struct Connectivity {
    /// Replaced as a whole by a reload.
    panel: RwLock<Arc<Panel>>,
    /// Locked while the witnesses are asked, so that everybody else waits for the same answer.
    known: Mutex<Known>,
    online: watch::Sender<bool>,
}

/// The witnesses, and what finds their addresses.
struct Panel {
    witnesses: Vec<Witness>,
    resolver: Resolver,
}

/// What the witnesses said last.
struct Known {
    /// Who said it; others are asked anew.
    panel: Arc<Panel>,
    asked: Option<Instant>,
    online: bool,
    /// When this host was seen to be online again.
    back: Option<Instant>,
}

impl Connectivity {
    /// Without a witness, every host is taken to be online.
    pub fn new(witnesses: &[Witness], shared: &Shared) -> Self {
        let panel = Arc::new(Panel { witnesses: witnesses.to_vec(), resolver: shared.resolver.clone() });
        Connectivity {
            known: Mutex::new(Known { panel: panel.clone(), asked: None, online: true, back: None }),
            panel: RwLock::new(panel),
            online: watch::Sender::new(true),
        }
    }

    /// From now on these are asked. What is known stays while they are the same.
    pub fn reconfigure(&self, witnesses: &[Witness], shared: &Shared) {
        let mut panel = self.panel.write().unwrap_or_else(PoisonError::into_inner);
        if panel.witnesses != witnesses {
            *panel = Arc::new(Panel { witnesses: witnesses.to_vec(), resolver: shared.resolver.clone() });
        }
    }

    fn panel(&self) -> Arc<Panel> {
        self.panel.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The outcome of a probe that began then, or, if it failed while this host was offline, an inconclusive one with
    /// the same evidence. Takes no longer than a witness may take to answer.
    pub async fn judge(&self, outcome: Outcome, began: Instant) -> Outcome {
        let panel = self.panel();
        if panel.witnesses.is_empty() || !may_be_the_network(&outcome) || self.online_since(began).await {
            return outcome;
        }
        let nobody = match panel.witnesses.as_slice() {
            [one] => format!("the witness {one} does not answer"),
            many => format!("none of the {} witnesses answers", many.len()),
        };
        let detail = format!("this host is offline: {nobody} (the probe ended with {}: {})", outcome.reason, outcome.detail);
        Outcome { reason: Reason::LocalError, detail, ..outcome }
    }

    /// Tells whether this host is online, now and at each change, until dropped. While it is offline, the witnesses are asked
    /// again and again: there may be no target left that fails and asks.
    pub async fn watch(&self, mut tell: impl FnMut(bool)) {
        let mut told = self.online.subscribe();
        loop {
            let online = *told.borrow_and_update();
            tell(online);
            tokio::select! {
                _ = told.changed() => {} // never closed: the other end is in `self`
                () = sleep(OFFLINE_HOLDS), if !online => {
                    self.online_since(Instant::now()).await;
                }
            }
        }
    }

    /// Whether this host is online, and has been from then on as far as is known.
    async fn online_since(&self, began: Instant) -> bool {
        let mut known = self.known.lock().await;
        let holds = if known.online { ONLINE_HOLDS } else { OFFLINE_HOLDS };
        let panel = self.panel();
        if !Arc::ptr_eq(&known.panel, &panel) || known.asked.is_none_or(|asked| asked.elapsed() >= holds) {
            let asked = Instant::now();
            let online = panel.witnesses.is_empty() || panel.somebody_answers().await;
            match (known.online, online) {
                (true, false) => tracing::warn!(witnesses = panel.witnesses.len(), "offline: no witness answers"),
                (false, true) => {
                    tracing::info!("online again: a witness answers");
                    known.back = Some(Instant::now());
                }
                _ => {}
            }
            (known.panel, known.asked, known.online) = (panel, Some(asked), online);
            self.online.send_if_modified(|before| std::mem::replace(before, online) != online);
        }
        known.online && known.back.is_none_or(|back| began >= back)
    }
}

impl Panel {
    async fn somebody_answers(&self) -> bool {
        let mut asked: FuturesUnordered<_> =
            self.witnesses.iter().map(|witness| timeout(PATIENCE, self.answers(witness))).collect();
        while let Some(answer) = asked.next().await {
            if answer == Ok(true) {
                return true;
            }
        }
        false
    }

    /// Whether a witness answers, be it with a refusal: that came over the network as well.
    async fn answers(&self, witness: &Witness) -> bool {
        let addresses = match &witness.host {
            url::Host::Ipv4(ip) => vec![SocketAddr::new(IpAddr::V4(*ip), witness.port)],
            url::Host::Ipv6(ip) => vec![SocketAddr::new(IpAddr::V6(*ip), witness.port)],
            url::Host::Domain(name) => self.resolver.lookup(name, witness.port, IpVersion::Any).await.unwrap_or_default(),
        };
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(_) => return true,
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => return true,
                Err(_) => {}
            }
        }
        false
    }
}

/// Whether a dead network on this side would explain the failure. It does not where the peer must have been reached: by a
/// status, a certificate, a message, a close frame.
fn may_be_the_network(outcome: &Outcome) -> bool {
    use Reason as R;
    match outcome.reason {
        R::DnsNotFound | R::DnsTimeout | R::DnsFailed => true,
        R::ConnectRefused | R::ConnectTimeout | R::ConnectUnreachable | R::ConnectReset => true,
        R::TlsFailed => [classify::TLS_ENDED, classify::TLS_RESET].iter().any(|cut| outcome.detail.starts_with(cut)),
        R::TlsTimeout | R::UpgradeTimeout | R::UpgradeClosed | R::MessageTimeout | R::CloseTimeout | R::CloseAbnormal => true,
        R::MessageMissing | R::SessionCut => outcome.close.is_none(),
        R::TlsExpired | R::TlsNotYetValid | R::TlsUntrusted | R::TlsNameMismatch => false,
        R::UpgradeRedirected | R::UpgradeRejected | R::UpgradeServerError | R::UpgradeIgnored | R::UpgradeInvalid => false,
        R::MessageMismatch | R::MessageTooBig | R::ProtocolError | R::CloseCode | R::TooSlow => false,
        R::Ok | R::LocalError => false,
    }
}
