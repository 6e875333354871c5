//! One attempt to deliver one message: for each kind of receiver, what is sent and what the answer means.
//!
//! What all kinds share (queue, order, retries, what is counted) is the lane's.

use std::time::Duration;

use super::batch::Parcel;
use super::dispatcher::{Shared, Tuning};
use super::notification::{Kind, Notification};
use super::retry::{Failure, FailureReason};
use super::{context, discord, pagerduty, slack, teams, webhook};
use crate::config::{Body, BodyTemplate, ReceiverKind};

/// Whether this kind of receiver is told this kind of news at all.
pub(super) const fn wants(receiver: &ReceiverKind, news: Kind) -> bool {
    match receiver {
        // it reminds people itself, and knows who has answered
        ReceiverKind::PagerDuty(_) => !matches!(news, Kind::Reminder),
        ReceiverKind::Slack { .. } | ReceiverKind::Webhook { .. } | ReceiverKind::Alertmanager(_) => true,
    }
}

/// How long a receiver of this kind is left alone between two messages.
pub(super) const fn spacing(receiver: &ReceiverKind, tuning: &Tuning) -> Option<Duration> {
    match receiver {
        ReceiverKind::Slack { .. } => Some(tuning.slack_spacing),
        ReceiverKind::PagerDuty(_) => Some(tuning.pagerduty_spacing),
        ReceiverKind::Webhook { .. } | ReceiverKind::Alertmanager(_) => None,
    }
}

/// Renders, sends and judges.
///
/// # Errors
/// It was not delivered.
pub(super) async fn attempt(shared: &Shared, receiver: &ReceiverKind, parcel: &Parcel) -> Result<(), Failure> {
    let client = shared.client.as_ref().map_err(Clone::clone)?;
    let links = &shared.links;
    match receiver {
        ReceiverKind::Slack { webhook_url, mentions } => {
            let mut payload = slack::render_parcel(parcel, links);
            slack::call(&mut payload, parcel, mentions);
            slack::judge(&client.send(slack::request(webhook_url, &payload)?).await?)
        }
        ReceiverKind::Webhook { url, signing_secret, headers, body } => {
            let to = webhook::Endpoint { url, signing_secret: signing_secret.as_ref(), headers };
            let now = shared.clock.now();
            match body {
                Body::Discord => {
                    let mut request = webhook::request(to, &parcel.id, discord::render(parcel, links).to_string(), now)?;
                    discord::prepare(&mut request);
                    discord::judge(&client.send(request).await?)
                }
                Body::Teams => {
                    let request = webhook::request(to, &parcel.id, teams::render(parcel, links).to_string(), now)?;
                    client.send(request).await?.status_verdict()
                }
                Body::Standard | Body::Template(_) => {
                    for n in parcel.members() {
                        let (payload, content_type) = payload(shared, n, body);
                        let mut request = webhook::request(to, &n.id, payload, now)?;
                        request.set_content_type(content_type)?;
                        client.send(request).await?.status_verdict()?;
                    }
                    Ok(())
                }
            }
        }
        ReceiverKind::PagerDuty(service) => {
            for n in parcel.members() {
                for action in pagerduty::actions(n.kind) {
                    let answer = client.send(pagerduty::request(service, *action, n, links)?).await?;
                    pagerduty::judge(&answer, service)?;
                }
            }
            Ok(())
        }
        // never in a lane: see `alertmanager::Fleets`
        ReceiverKind::Alertmanager(_) => Err(Failure::new(FailureReason::InvalidReceiver, "Alertmanager is told what is so")),
    }
}

/// The body about one notification, and its type. An alert is never lost to a template: one that fails gives way to our own
/// JSON.
fn payload<'a>(shared: &Shared, n: &Notification, body: &'a Body) -> (String, &'a str) {
    if let Body::Template(template) = body {
        match template.render(&context::of(&[n], &shared.links)) {
            Ok(text) => return (text, template.content_type()),
            Err(error) => {
                let error = super::text::one_line(&error.to_string());
                tracing::error!(id = %n.id, error, "the template of a webhook failed: the standard body is sent instead");
            }
        }
    }
    (webhook::value(n, &shared.links).to_string(), BodyTemplate::JSON)
}
