//! Requests beside the probe: the follow-up to a failure, and the companion GET. Never for a verdict.
//!
//! Each goes over a connection of its own, made as the probe makes it, with the same bounds on what is read. A target's
//! credentials, configured headers and client certificate go to its own scheme, host and port and nowhere else: a
//! `Location` may point anywhere.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::findings::Findings;
use super::redact::{REDACTED, Redactor};
use super::{Failure, Probe, SetupError, proxy, tls, upgrade};
use crate::config::{HttpCheck, Secret, Target, TargetUrl, TlsOptions};
use crate::outcome::{FollowUp, Outcome, PageOutcome, Reason, Reply, TargetName, Verdict, leads_back};

/// In less, no answer is to be expected, and none says nothing.
const SHORTEST: Duration = Duration::from_millis(20);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Any HTTP answer to a plain GET.
    Page,
    /// A proper 101.
    Upgrade,
}

impl Probe {
    /// Asks again beside a failure, all requests at once, for at most this long: at the address that failed, wherever the
    /// target itself is asked. `None` where the target does not want it (`diagnose: false`), or where nothing would be learned:
    /// only a handshake that was not answered with 101 is asked about, and only with some time left.
    pub async fn follow_up(&self, outcome: &Outcome, within: Duration) -> Option<FollowUp> {
        let status = outcome.http.as_ref().map(|http| http.status);
        let unanswered = matches!(outcome.reason, Reason::UpgradeTimeout | Reason::UpgradeClosed);
        let about_the_upgrade = status.map_or(unanswered, |status| status != 101);
        if !self.target.diagnose || outcome.verdict() != Verdict::Failed || !about_the_upgrade || within < SHORTEST {
            return None;
        }
        let location = outcome.redirect_code().and(outcome.http.as_ref()).and_then(|http| http.location.as_deref());
        let redirect = location.filter(|location| !location.trim().is_empty());
        let to_itself = redirect.is_some_and(|location| self.is_own_path(location));
        let root = if to_itself && self.target.url.path() != "/" { self.elsewhere("/") } else { None };
        let location = redirect.filter(|_| !to_itself).and_then(|location| self.elsewhere(location));
        let origin = if status == Some(403) { self.fitting_origin() } else { None };
        let deadline = Instant::now() + within;
        let ask = async |whom: Option<Probe>, wish| {
            let whom = whom?;
            let address = outcome.address.filter(|_| whom.target.url.same_origin(&self.target.url));
            whom.ask(wish, address, deadline).await
        };
        let (plain_get, mut at_location, with_origin, site_root) = tokio::join!(
            ask(Some(self.asking(self.target.clone())), Wish::Page),
            ask(location, Wish::Upgrade),
            ask(origin.as_ref().map(|origin| self.with_origin(origin)), Wish::Upgrade),
            ask(root, Wish::Page),
        );
        // A redirect must not make the monitor read out pages that only this host can reach.
        if let Some(http) = at_location.as_mut().and_then(|reply| reply.http.as_mut()) {
            http.body = None;
        }
        Some(FollowUp { asked_at: self.shared.clock.now(), plain_get, at_location, with_origin, origin, site_root })
    }

    /// The `Location` leads to the target's own URL, whatever the queries are.
    fn is_own_path(&self, location: &str) -> bool {
        let path_alone = |mut url: Url| {
            url.set_query(None);
            url
        };
        let asked = self.target.url.as_url();
        let to = asked.join(location.trim()).map(path_alone);
        to.is_ok_and(|to| leads_back(&path_alone(asked.clone()), to.as_str()))
    }

    /// The same target, asked at the URL that a `Location` leads to.
    fn elsewhere(&self, location: &str) -> Option<Probe> {
        let own = &self.target.url;
        let location = location.trim();
        // What was taken out of it as a secret is not known here, and is nobody else's business.
        if location.split(['?', '#']).next().is_none_or(|path| path.contains(REDACTED)) {
            return None;
        }
        let mut to = own.as_url().join(location).ok()?;
        let secret = own.as_url().query().is_some() || location.contains(REDACTED);
        if secret {
            let same = TargetUrl::of_http(&to)?.same_origin(own);
            to.set_query(own.as_url().query().filter(|_| same));
        }
        self.asking_at(TargetUrl::of_http(&to)?).ok()
    }

    /// The Origin that a page of the target's host sends (RFC 6454 section 6.2); `None` when the target has one of its own.
    fn fitting_origin(&self) -> Option<String> {
        let header = |wanted| self.target.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        if header(http::header::ORIGIN).is_some() {
            return None;
        }
        let scheme = if self.target.url.is_tls() { "https" } else { "http" };
        let host = header(http::header::HOST).map_or_else(|| self.target.url.authority(), |host| host.expose().to_owned());
        Some(format!("{scheme}://{host}"))
    }

    /// The same target with this Origin.
    fn with_origin(&self, origin: &str) -> Probe {
        let mut target = Target::clone(&self.target);
        target.headers.push((http::header::ORIGIN, Secret::inline(origin)));
        self.asking(Arc::new(target))
    }

    /// The same target at another URL: with its secrets if that is its own place, otherwise without any.
    fn asking_at(&self, url: TargetUrl) -> Result<Probe, SetupError> {
        let mut target = Target::clone(&self.target);
        if url.same_origin(&target.url) {
            target.url = url;
            return Ok(self.asking(Arc::new(target)));
        }
        let harmless = [http::header::ORIGIN, http::header::USER_AGENT];
        target.headers.retain(|(name, _)| harmless.contains(name));
        target.authorization = None;
        let tls = match (&self.tls, url.is_tls()) {
            (_, false) => None,
            (Some(tls), true) => Some(tls.for_stranger(&url.host())?),
            (None, true) => Some(tls::Tls::new(&TlsOptions::default(), &url.host(), &self.shared.roots)?),
        };
        target.url = url;
        Ok(Probe { tls: tls.map(Arc::new), ..self.asking(Arc::new(target)) })
    }

    /// This probe for a changed target. What is secret stays what it was.
    fn asking(&self, target: Arc<Target>) -> Probe {
        Probe {
            public_url: self.redactor.apply(&target.url.public()),
            request: upgrade::Request::new(&target),
            redactor: self.redactor.clone(),
            tunnel: target.proxy.as_ref().map(|proxy| proxy::Tunnel::new(proxy, &target.url)),
            tls: self.tls.clone(),
            shared: self.shared.clone(),
            target,
        }
    }

    /// Makes one request, until the deadline, to this address or wherever the name leads. `None` when this host is at fault, so
    /// that nothing is known of the peer.
    async fn ask(&self, wish: Wish, address: Option<SocketAddr>, deadline: Instant) -> Option<Reply> {
        let started = Instant::now();
        let mut findings = Findings::new(started);
        let exchange = Box::pin(self.exchange(wish, address, &mut findings));
        let failure = match timeout_at(deadline, exchange).await {
            Ok(Err(failure)) if failure.reason == Reason::LocalError => return None,
            Ok(result) => result.err().map(|failure| self.redactor.apply_to_quotes(&failure.detail)),
            // the head came in time, the body is missing
            Err(_) if findings.http.is_some() && wish == Wish::Page => None,
            Err(_) => Some(match &findings.http {
                Some(http) => http.status_line(),
                None => format!("no answer within {} ms", started.elapsed().as_millis()),
            }),
        };
        let url = match wish {
            Wish::Upgrade => self.public_url.clone(),
            Wish::Page => self.public_url.replacen("ws", "http", 1),
        };
        Some(Reply { url, self_redirect: self.was_led_back(&findings), http: findings.http, failure })
    }

    async fn exchange(&self, wish: Wish, address: Option<SocketAddr>, findings: &mut Findings) -> Result<(), Failure> {
        let addresses = match address {
            Some(address) if self.tunnel.is_none() => vec![address],
            _ => self.addresses(findings).await?,
        };
        let mut stream = self.dial(&addresses, findings).await?;
        match wish {
            Wish::Page => upgrade::plain_get(&mut stream, &self.target, &self.redactor, findings).await,
            Wish::Upgrade => {
                upgrade::upgrade(&mut stream, &self.request, &self.target.subprotocols, &self.redactor, findings).await?;
                // goes as it came: with a close frame, whose echo nobody waits for
                let _ = stream.write_all(&goodbye()).await;
                let _ = stream.flush().await;
                Ok(())
            }
        }
    }

    /// Both sides have lost the same secrets, so that they compare as before.
    fn was_led_back(&self, findings: &Findings) -> bool {
        let redirect = findings.http.as_ref().filter(|http| (300..400).contains(&http.status));
        let asked = Url::parse(&self.redactor.apply(self.target.url.as_url().as_str()));
        match (redirect.and_then(|http| http.location.as_deref()), asked) {
            (Some(location), Ok(asked)) => leads_back(&asked, location),
            _ => false,
        }
    }
}

/// A close frame of a client, code 1000 (RFC 6455 sections 5.2 and 5.5.1).
fn goodbye() -> [u8; 8] {
    let mut mask = [0u8; 4];
    fastrand::fill(&mut mask);
    let [a, b, c, d] = mask;
    let [high, low] = 1000u16.to_be_bytes();
    [0x88, 0x82, a, b, c, d, high ^ a, low ^ b]
}

/// The companion of a target, ready to be asked: a plain GET, redirects not followed.
pub struct PageProbe {
    probe: Probe,
    every: Duration,
}

impl PageProbe {
    /// The companion of this target; `None` when it has none.
    ///
    /// # Errors
    /// Its host can't be used.
    pub fn of(probe: &Probe) -> Result<Option<Self>, SetupError> {
        let Some(HttpCheck { url, every }) = &probe.target.http else { return Ok(None) };
        let Some(url) = TargetUrl::of_http(url) else { return Ok(None) };
        let mut page = probe.asking_at(url)?;
        page.redactor = Redactor::new(&page.target).and(&probe.redactor);
        Ok(Some(PageProbe { probe: page, every: *every }))
    }

    /// The target whose companion this is.
    pub fn target(&self) -> &TargetName {
        &self.probe.target.name
    }

    /// From the start of one GET to the start of the next.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Asks once. Ends within the target's timeout, whatever the peer does. `None` when this host is at fault, so that nothing
    /// is known of the page.
    pub async fn run(&self) -> Option<PageOutcome> {
        let (started_at, started) = (self.probe.shared.clock.now(), Instant::now());
        let reply = self.probe.ask(Wish::Page, None, started + self.probe.target.timeout).await?;
        Some(PageOutcome { target: self.target().clone(), started_at, took: started.elapsed(), reply })
    }
}
