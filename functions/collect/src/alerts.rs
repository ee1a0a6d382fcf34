//! Sends alerts to people, and the codes by which they confirm their addresses.
//!
//! An alert or a code that could not be sent now is queued anew, up to [`WAITS`]' length. After that an e-mail is left
//! to its queue, which hands it out again a few times and then keeps it for the operator: SES is the operator's. A chat
//! that cannot be reached is its owner's, and is given up.
//!
//! A chat is reached as webhooks are: its addresses are vetted, the deployment's own are refused, one deadline covers
//! everything, and redirects are not followed. An account's chats have a few places
//! ([`carteiro_core::test_share`]), so that slow ones leave the collector's copies to others; what finds no place is
//! queued anew.

use std::time::Duration;

use bytes::Bytes;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::http::mail::{MailError, MailSender, SesAddress};
use carteiro_adapters::http::sender::{Sender, USER_AGENT, WebhookRequest};
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::{metrics, random};
use carteiro_adapters::tables::alerts::AlertRows;
use carteiro_adapters::tables::config::{ConfigTable, Replaced};
use carteiro_adapters::tables::test_slots::TestPlace;
use carteiro_adapters::wiring::Wiring;
use carteiro_core::address::{PrivateTargets, WebhookUrl};
use carteiro_core::alert::confirmation::Code;
use carteiro_core::alert::pacing::Turn;
use carteiro_core::alert::text::{self, AlertText, Links};
use carteiro_core::alert::{Alert, AlertKind, AlertSender, Raised};
use carteiro_core::hop::{self, Hop};
use carteiro_core::id::{AccountId, AlertId, ItemId};
use carteiro_core::metrics::Metric;
use carteiro_core::outcome::{FailureKind, Outcome};
use carteiro_core::own_hosts::OwnHosts;
use carteiro_core::test_share::Shared;
use serde_json::json;

use crate::context::{Collect, CollectError, Progress};

/// How long is waited before each further try.
const WAITS: [Duration; 3] = [Duration::from_secs(30), Duration::from_secs(180), Duration::from_secs(900)];

/// How long a chat may take to answer.
const CHAT_DEADLINE: Duration = Duration::from_secs(10);

/// How often a code is stored anew because its address was changed meanwhile.
const TRIES: u32 = 5;

/// What sends alerts.
#[derive(Debug)]
pub(crate) struct Alerting {
    rows: AlertRows,
    /// None where no e-mail is sent.
    mail: Option<MailSender>,
    private: PrivateTargets,
    chats: Sender,
    /// The API's own address, where the console is. Networks may be given another one for their pushes.
    base: String,
}

impl Alerting {
    fn console(&self) -> String {
        format!("{}/console", self.base)
    }
}

impl Alerting {
    /// Reads the settings.
    pub(crate) fn read(wiring: &mut Wiring<'_>) -> Option<Self> {
        let (rows, credentials) = (wiring.table(), wiring.credentials());
        let settings = &mut wiring.settings;
        let from: Option<AlertSender> = settings.parsed("ALERT_SENDER");
        let ses: Option<SesAddress> = settings.parsed("SES_BASE_URL");
        let private: Option<PrivateTargets> = settings.parsed("ALLOWED_PRIVATE_TARGETS");
        let own: Option<OwnHosts> = settings.parsed("OWN_HOSTS");
        let base: Option<String> = settings.parsed("API_BASE_URL");
        let region = settings.optional("AWS_REGION").unwrap_or_default();
        let ((from, ses), private) = from.zip(ses).zip(private)?;
        let from = from.address().map(str::to_owned);
        Some(Self {
            rows,
            mail: from.zip(credentials).map(|(from, own)| MailSender::new(from, ses, region, own)),
            chats: Sender::new(private.clone(), own?, CHAT_DEADLINE),
            private,
            base: base?.trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a text to an address.
    async fn deliver(
        &self,
        config: &ConfigTable,
        alert: &Alert,
        text: &AlertText,
        clock: InvocationClock,
    ) -> Result<(), NotSent> {
        match alert.kind {
            AlertKind::Email => {
                let no_sender = || NotSent::Refused("no AlertSender is set".to_owned());
                let mail = self.mail.as_ref().ok_or_else(no_sender)?;
                Ok(mail.send(&alert.address, text, clock.now()).await?)
            }
            AlertKind::Chat => self.post_in_turn(config, alert, text, clock).await,
        }
    }

    /// Posts to a chat, in one of the places that its account has for that.
    async fn post_in_turn(
        &self,
        config: &ConfigTable,
        alert: &Alert,
        text: &AlertText,
        clock: InvocationClock,
    ) -> Result<(), NotSent> {
        let account = &alert.account;
        let place = config.take_place(account, Shared::Chats, CHAT_DEADLINE, clock.now()).await?;
        let TestPlace::Taken(owner) = place else {
            return Err(NotSent::Later("other alerts to the account's chats are under way".to_owned()));
        };
        let posted = self.post(&alert.address, text, clock).await;
        if let Err(error) = config.give_place_back(account, Shared::Chats, &owner).await {
            tracing::warn!(account = account.as_str(), error = error.chain(), "alert.place_not_given_back");
        }
        posted
    }

    async fn post(&self, address: &str, text: &AlertText, clock: InvocationClock) -> Result<(), NotSent> {
        let url = WebhookUrl::check(address, &self.private);
        let url = url.map_err(|error| NotSent::Refused(error.to_string()))?;
        let request = WebhookRequest {
            url: &url,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("user-agent", USER_AGENT.to_owned()),
                // As notices have: an alert that a relay made an item of could cause the next one.
                (hop::HEADER, Hop::LIMIT.count().to_string()),
            ],
            body: Bytes::from(json!({"text": text.chat()}).to_string()),
        };
        match self.chats.attempt(request, clock.now()).await {
            Ok(attempted) => of_chat(&attempted.outcome),
            Err(_) => Err(NotSent::Later("the request could not be made".to_owned())),
        }
    }
}

/// Why an alert or a code was not sent, without the address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NotSent {
    /// A repeat does not help.
    Refused(String),
    /// A repeat may help.
    Later(String),
    /// Another worker is sending it. A repeat finds whether it has.
    Busy,
}

impl NotSent {
    /// Whether nothing is tried any more.
    fn ends(&self, kind: Option<AlertKind>, tries: u8) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Later(_) => kind == Some(AlertKind::Chat) && usize::from(tries) >= WAITS.len(),
            Self::Busy => false,
        }
    }
}

impl From<MailError> for NotSent {
    fn from(error: MailError) -> Self {
        if error.is_transient() { Self::Later(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

impl From<AdapterError> for NotSent {
    fn from(error: AdapterError) -> Self {
        // Also one that lasts: grants come back, and what a newer version wrote is read after the deployment.
        Self::Later(error.chain())
    }
}

/// What a chat's answer means. One that is gone, or takes no such request, will not take the next one, either.
fn of_chat(outcome: &Outcome) -> Result<(), NotSent> {
    let Some(failure) = outcome.failure() else { return Ok(()) };
    let why = match failure.status {
        Some(status) => format!("{} {status}", failure.kind.as_str()),
        None => failure.kind.as_str().to_owned(),
    };
    let is_lasting = match (failure.kind, failure.status) {
        (FailureKind::Status, Some(status)) => {
            (400..500).contains(&status) && !matches!(status, 408 | 425 | 429)
        }
        (FailureKind::Redirect | FailureKind::ForbiddenAddress | FailureKind::OwnAddress, _) => true,
        _ => false,
    };
    Err(if is_lasting { NotSent::Refused(why) } else { NotSent::Later(why) })
}

/// An alert to be sent.
pub(crate) struct Told {
    pub(crate) account: AccountId,
    pub(crate) alert: AlertId,
    /// The id of the notice.
    pub(crate) notice: ItemId,
    /// Its bytes.
    pub(crate) body: String,
    /// How often it was tried before.
    pub(crate) tries: u8,
}

/// Alerts an address of a notice, if it still takes it and was not alerted of the like a short while ago.
pub(crate) async fn send(
    collect: &Collect,
    told: Told,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let mut kind = None;
    let Err(not_sent) = send_told(collect, &told, &mut kind, clock).await else { return Ok(Progress::Done) };
    if not_sent.ends(kind, told.tries)
        && let Some(raised) = Raised::of(told.body.as_bytes())
        && let Err(error) =
            collect.alerting.rows.give_up(&told.alert, &raised, &told.notice, clock.now()).await
    {
        tracing::warn!(alert = told.alert.as_str(), error = error.chain(), "alert.not_marked");
    }
    let work = |tries| Work::Alert {
        account: told.account.clone(),
        alert: told.alert.clone(),
        notice: told.notice.clone(),
        body: told.body.clone(),
        tries,
    };
    again(collect, (&told.alert, kind), not_sent, told.tries, work).await
}

async fn send_told(
    collect: &Collect,
    told: &Told,
    kind: &mut Option<AlertKind>,
    clock: InvocationClock,
) -> Result<(), NotSent> {
    let found = collect.config.find_alert(&told.account, &told.alert).await?;
    let raised = Raised::of(told.body.as_bytes());
    // Else the address was deleted meanwhile, or does not take the event any more.
    let Some((alert, raised)) = found.zip(raised).filter(|(alert, raised)| alert.takes(raised.event)) else {
        return Ok(());
    };
    *kind = Some(alert.kind);
    send_to(collect, &alert, &raised, &told.notice, clock).await
}

async fn send_to(
    collect: &Collect,
    alert: &Alert,
    raised: &Raised,
    notice: &ItemId,
    clock: InvocationClock,
) -> Result<(), NotSent> {
    let (rows, id, event) = (&collect.alerting.rows, alert.id.as_str(), raised.event.as_str());
    let missed = match rows.claim(&alert.id, raised, notice, clock.now()).await? {
        Turn::Send { missed } => missed,
        Turn::WasSent => return Ok(()),
        Turn::Busy => return Err(NotSent::Busy),
        Turn::TooSoon => {
            tracing::info!(alert = id, event, reason = "too_soon", "alert.left_out");
            return Ok(());
        }
    };
    if !rows.take_place(&alert.account, (&alert.id, alert.kind), notice, clock.now()).await? {
        rows.give_up(&alert.id, raised, notice, clock.now()).await?;
        tracing::info!(alert = id, event, reason = "day_is_full", "alert.left_out");
        return Ok(());
    }
    let (console, stop) = (collect.alerting.console(), alert.stop_link(&collect.alerting.base));
    let links = Links { console: &console, stop: &stop };
    let text = text::of_alert(raised, alert.language, missed, links);
    collect.alerting.deliver(&collect.config, alert, &text, clock).await?;
    if let Err(error) = rows.mark_sent(&alert.id, raised, notice).await {
        tracing::warn!(alert = id, error = error.chain(), "alert.not_marked");
    }
    metrics::add(Metric::AlertsSent, 1);
    tracing::info!(alert = id, kind = alert.kind.as_str(), event, missed, "alert.sent");
    Ok(())
}

/// Makes a code for an address that is not confirmed, stores its hash, and sends it there.
pub(crate) async fn send_code(
    collect: &Collect,
    account: AccountId,
    alert: AlertId,
    tries: u8,
    clock: InvocationClock,
) -> Result<Progress, CollectError> {
    let mut kind = None;
    let Err(not_sent) = send_new_code(collect, (&account, &alert), &mut kind, clock).await else {
        return Ok(Progress::Done);
    };
    let work = |tries| Work::ConfirmAlert { account: account.clone(), alert: alert.clone(), tries };
    again(collect, (&alert, kind), not_sent, tries, work).await
}

async fn send_new_code(
    collect: &Collect,
    (account, id): (&AccountId, &AlertId),
    kind: &mut Option<AlertKind>,
    clock: InvocationClock,
) -> Result<(), NotSent> {
    for _ in 0..TRIES {
        let found = collect.config.find_alert(account, id).await?;
        let Some(alert) = found.filter(|alert| !alert.confirmation.is_confirmed()) else { return Ok(()) };
        *kind = Some(alert.kind);
        let code = Code::from_random(random::bytes()?);
        let changed = alert.with(alert.confirmation.with_code(id, &code, clock.now()));
        if collect.config.replace_alert(&changed).await? == Replaced::ChangedMeanwhile {
            continue;
        }
        let text = text::of_code(&code, alert.language, &collect.alerting.console());
        collect.alerting.deliver(&collect.config, &alert, &text, clock).await?;
        tracing::info!(alert = id.as_str(), kind = alert.kind.as_str(), "alert.code_sent");
        return Ok(());
    }
    Err(AdapterError::contended("storing a code").into())
}

/// Queues work anew that could not be done now, with a count of its tries; or gives it up, or leaves it to its queue.
async fn again(
    collect: &Collect,
    (alert, kind): (&AlertId, Option<AlertKind>),
    not_sent: NotSent,
    tries: u8,
    work: impl Fn(u8) -> Work,
) -> Result<Progress, CollectError> {
    let (id, shown) = (alert.as_str(), kind.map(AlertKind::as_str));
    let wait = WAITS.get(usize::from(tries));
    let why = match not_sent {
        NotSent::Busy => {
            if let Some(wait) = wait {
                collect.work.send(&[(work(tries.saturating_add(1)), *wait)]).await?;
            }
            return Ok(Progress::Done);
        }
        NotSent::Refused(why) => {
            metrics::add(Metric::AlertsFailed, 1);
            tracing::error!(alert = id, kind = shown, error = why, "alert.refused");
            return Ok(Progress::Done);
        }
        NotSent::Later(why) => why,
    };
    metrics::add(Metric::AlertsFailed, 1);
    if let Some(wait) = wait {
        tracing::warn!(alert = id, kind = shown, tries, error = why, "alert.delayed");
        collect.work.send(&[(work(tries.saturating_add(1)), *wait)]).await?;
        return Ok(Progress::Done);
    }
    if kind == Some(AlertKind::Chat) {
        tracing::error!(alert = id, kind = shown, error = why, "alert.refused");
        return Ok(Progress::Done);
    }
    tracing::error!(alert = id, kind = shown, error = why, "alert.left_to_queue");
    Ok(Progress::MoreIsLeft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_that_is_gone_is_given_up_and_a_busy_one_is_not() {
        assert_eq!(of_chat(&Outcome::Success { status: 200 }), Ok(()));
        let failed = |kind, status| of_chat(&Outcome::failed(kind, status)).unwrap_err();
        for (kind, status, said) in [
            (FailureKind::Status, Some(404), "status 404"),
            (FailureKind::Status, Some(410), "status 410"),
            (FailureKind::Redirect, Some(302), "redirect 302"),
            (FailureKind::ForbiddenAddress, None, "forbidden_address"),
            (FailureKind::OwnAddress, None, "own_address"),
        ] {
            assert_eq!(failed(kind, status), NotSent::Refused(said.to_owned()));
        }
        for (kind, status) in [
            (FailureKind::Status, Some(429)),
            (FailureKind::Status, Some(503)),
            (FailureKind::Timeout, None),
            (FailureKind::Dns, None),
        ] {
            assert!(matches!(failed(kind, status), NotSent::Later(_)), "{kind:?} {status:?}");
        }
    }
}
