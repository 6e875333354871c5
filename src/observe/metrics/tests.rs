//! What `/metrics` says of outcomes, alerts and deliveries.

use super::super::fixtures::{config, name, outcome, shows, target, value};
use super::super::target_metrics::AlertLevel;
use super::*;
use crate::config::{Proxy, Secret};
use crate::outcome::Reason;

fn one_target() -> (Arc<Metrics>, Arc<TargetMetrics>) {
    let metrics = Metrics::new(&config(vec![target("prod", "ws://prod.example/?token=x")]), "1.2.3");
    let handle = metrics.target(&name("prod")).unwrap();
    (metrics, handle)
}

#[test]
fn before_the_first_probe_counters_are_zero_and_gauges_absent() {
    let (metrics, _) = one_target();
    shows(&metrics, r#"wsprobe_probes_total{target="prod"}"#, "0");
    shows(&metrics, r#"wsprobe_probe_failures_total{target="prod",reason="upgrade_redirected"}"#, "0");
    shows(&metrics, r#"wsprobe_redirects_total{target="prod",code="308"}"#, "0");
    shows(&metrics, r#"wsprobe_probes_skipped_total{reason="overrun"}"#, "0");
    shows(&metrics, r#"wsprobe_alert_state{target="prod",rule="down",severity="critical"}"#, "0");
    for absent in ["wsprobe_up", "wsprobe_last_probe_timestamp_seconds", "wsprobe_upgrade_status_code"] {
        assert_eq!(value(&metrics, &format!(r#"{absent}{{target="prod"}}"#)), None, "{absent}");
    }
}

#[test]
fn only_reasons_that_the_target_can_have_are_shown_in_advance() {
    let (metrics, handle) = one_target();
    let tls = r#"wsprobe_probe_failures_total{target="prod",reason="tls_failed"}"#;
    assert_eq!(value(&metrics, tls), None);
    for never in ["ok", "local_error"] {
        let series = format!(r#"wsprobe_probe_failures_total{{target="prod",reason="{never}"}}"#);
        assert_eq!(value(&metrics, &series), None);
    }
    handle.record(&outcome("prod", 1, Reason::TlsFailed));
    shows(&metrics, tls, "1");
}

#[test]
fn behind_a_proxy_it_is_the_proxys_name_that_is_looked_up() {
    let proxy = |host| Proxy { url: Secret::inline("http://p"), host, port: 3128, credentials: None };
    let mut by_name = target("by-name", "ws://10.0.0.1/");
    by_name.proxy = Some(proxy(url::Host::Domain("proxy.example".to_owned())));
    let mut by_address = target("by-address", "ws://prod.example/");
    by_address.proxy = Some(proxy(url::Host::Ipv4([10, 0, 0, 2].into())));
    let metrics = Metrics::new(&config(vec![by_name, by_address]), "1");
    let dns = |target| format!(r#"wsprobe_probe_failures_total{{target="{target}",reason="dns_not_found"}}"#);
    shows(&metrics, &dns("by-name"), "0");
    assert_eq!(value(&metrics, &dns("by-address")), None);
}

#[test]
fn an_inconclusive_probe_keeps_up_and_counts_apart() {
    let (metrics, handle) = one_target();
    for (reason, up) in [(Reason::Ok, "1"), (Reason::LocalError, "1"), (Reason::ConnectRefused, "0"), (Reason::LocalError, "0")] {
        handle.record(&outcome("prod", 5, reason));
        shows(&metrics, r#"wsprobe_up{target="prod"}"#, up);
    }
    shows(&metrics, r#"wsprobe_probes_total{target="prod"}"#, "4");
    shows(&metrics, r#"wsprobe_probes_inconclusive_total{target="prod"}"#, "2");
    shows(&metrics, r#"wsprobe_probe_duration_seconds_count{target="prod"}"#, "2");
    shows(&metrics, r#"wsprobe_phase_duration_seconds_bucket{target="prod",phase="connect",le="0.005"}"#, "2");
    shows(&metrics, r#"wsprobe_phase_duration_seconds_count{target="prod",phase="upgrade"}"#, "0");
    shows(&metrics, r#"wsprobe_last_success_timestamp_seconds{target="prod"}"#, "5.01");
}

#[test]
fn a_redirect_is_counted_by_its_status_even_an_odd_one() {
    let (metrics, handle) = one_target();
    let mut redirected = outcome("prod", 1, Reason::UpgradeRedirected);
    handle.record(&redirected);
    redirected.http.as_mut().unwrap().status = 300;
    handle.record(&redirected);
    shows(&metrics, r#"wsprobe_redirects_total{target="prod",code="301"}"#, "1");
    shows(&metrics, r#"wsprobe_redirects_total{target="prod",code="300"}"#, "1");
    shows(&metrics, r#"wsprobe_redirects_total{target="prod",code="302"}"#, "0");
    shows(&metrics, r#"wsprobe_upgrade_status_code{target="prod"}"#, "300");
    shows(&metrics, r#"wsprobe_probe_failures_total{target="prod",reason="upgrade_redirected"}"#, "2");
}

#[test]
fn a_removed_target_is_gone_and_a_late_probe_does_not_bring_it_back() {
    let (metrics, handle) = one_target();
    handle.record(&outcome("prod", 1, Reason::Ok));
    metrics.reload(&config(vec![target("other", "ws://other/")]));
    handle.record(&outcome("prod", 2, Reason::Ok));
    assert!(metrics.target(&name("prod")).is_none());
    assert!(!metrics.encode(Timestamp::EPOCH).unwrap().contains(r#"target="prod""#));
}

#[test]
fn a_kept_target_goes_on_counting_over_a_reload() {
    let (metrics, before) = one_target();
    before.record(&outcome("prod", 1, Reason::Ok));
    before.alert_state(0, AlertLevel::Firing);
    metrics.reload(&config(vec![target("prod", "ws://prod.example/?token=x")]));
    before.record(&outcome("prod", 2, Reason::Ok));
    metrics.target(&name("prod")).unwrap().record(&outcome("prod", 3, Reason::Ok));
    shows(&metrics, r#"wsprobe_probes_total{target="prod"}"#, "3");
    shows(&metrics, r#"wsprobe_alert_state{target="prod",rule="down",severity="critical"}"#, "2");
    metrics.reload(&config(vec![target("prod", "ws://elsewhere.example/")]));
    shows(&metrics, r#"wsprobe_probes_total{target="prod"}"#, "0");
    assert_eq!(value(&metrics, r#"wsprobe_up{target="prod"}"#), None);
}

#[test]
fn labels_of_a_target_never_break_the_exposition() {
    let mut odd = target("prod", "ws://prod.example/?token=x");
    for (name, value) in [("target", "mine"), ("a-b", "1"), ("a.b", "2"), ("__x", "3"), ("9", "4"), ("env", "a\"b\\c\nd")] {
        odd.labels.insert(name.to_owned(), value.to_owned());
    }
    let metrics = Metrics::new(&config(vec![odd]), "1");
    let series = r#"wsprobe_target_info{target="prod",url="ws://prod.example/",_9="4",a_b="1",env="a\"b\\c\nd"}"#;
    shows(&metrics, series, "1");
}

#[test]
fn pending_notifications_age_with_the_time_of_the_scrape() {
    let (metrics, _) = one_target();
    metrics.notifications_pending("ops", 2, Some(Timestamp::from_secs(60)));
    shows(&metrics, r#"wsprobe_notifications_pending{receiver="ops"}"#, "2");
    shows(&metrics, r#"wsprobe_notification_oldest_pending_seconds{receiver="ops"}"#, "40");
    metrics.notifications_pending("ops", 0, None);
    shows(&metrics, r#"wsprobe_notification_oldest_pending_seconds{receiver="ops"}"#, "0");
    metrics.notification_failed("ops", "timeout");
    metrics.notification_failed("nobody", "timeout");
    shows(&metrics, r#"wsprobe_notification_failures_total{receiver="ops",reason="timeout"}"#, "1");
}
