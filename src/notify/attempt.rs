//! One attempt to deliver one notification: for each kind of receiver, what is sent and what the answer means.
//!
//! What all kinds share (queue, order, retries, what is counted) is the lane's.

use std::time::Duration;

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
pub(super) async fn attempt(shared: &Shared, receiver: &ReceiverKind, n: &Notification) -> Result<(), Failure> {
    let client = shared.client.as_ref().map_err(Clone::clone)?;
    match receiver {
        ReceiverKind::Slack { webhook_url, mentions } => {
            let mut payload = slack::render(n, &shared.links);
            slack::call(&mut payload, n, mentions);
            slack::judge(&client.send(slack::request(webhook_url, &payload)?).await?)
        }
        ReceiverKind::Webhook { url, signing_secret, headers, body } => {
            let to = webhook::Endpoint { url, signing_secret: signing_secret.as_ref(), headers };
            let (payload, content_type) = payload(shared, n, body);
            let mut request = webhook::request(to, n, payload, shared.clock.now())?;
            request.set_content_type(content_type)?;
            if let Body::Discord = body {
                discord::prepare(&mut request);
                return discord::judge(&client.send(request).await?);
            }
            client.send(request).await?.status_verdict()
        }
        ReceiverKind::PagerDuty(service) => {
            for action in pagerduty::actions(n.kind) {
                let answer = client.send(pagerduty::request(service, *action, n, &shared.links)?).await?;
                pagerduty::judge(&answer, service)?;
            }
            Ok(())
        }
        // never in a lane: see `alertmanager::Fleets`
        ReceiverKind::Alertmanager(_) => Err(Failure::new(FailureReason::InvalidReceiver, "Alertmanager is told what is so")),
    }
}

/// The body of a webhook, and its type. An alert is never lost to a template: one that fails gives way to our own JSON.
fn payload<'a>(shared: &Shared, n: &Notification, body: &'a Body) -> (String, &'a str) {
    let links = &shared.links;
    let standard = || webhook::value(n, links).to_string();
    let payload = match body {
        Body::Standard => standard(),
        Body::Discord => discord::render(&[n], links).to_string(),
        Body::Teams => teams::render(&[n], links).to_string(),
        Body::Template(template) => match template.render(&context::of(&[n], links)) {
            Ok(text) => return (text, template.content_type()),
            Err(error) => {
                let error = super::text::one_line(&error.to_string());
                tracing::error!(id = %n.id, error, "the template of a webhook failed: the standard body is sent instead");
                standard()
            }
        },
    };
    (payload, BodyTemplate::JSON)
}
