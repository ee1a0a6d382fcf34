//! Addresses that alerts go to: an account's own. The collector makes and sends the codes by which they are confirmed.

use std::collections::BTreeSet;
use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::work::Work;
use carteiro_adapters::runtime::http_api::{Failure, empty, json};
use carteiro_adapters::runtime::random;
use carteiro_adapters::tables::config::{Created, Replaced};
use carteiro_core::account_limit::Limited;
use carteiro_core::alert::confirmation::{self, Code, MAX_WRONG, Tried};
use carteiro_core::alert::{Alert, AlertEvent, AlertKind, Language, NewAlert, Target};
use carteiro_core::id::{AccountId, AlertId};
use carteiro_core::problem::Problem;
use carteiro_core::session;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::body;
use crate::call::{Call, Response};
use crate::openapi::{examples, refusals, requests};
use crate::values::{self, one_of};
use crate::webhooks::{CHANGE_TRIES, refuse_target};

/// The longest code that is read, in bytes.
const MAX_CODE_BYTES: usize = 64;

/// An address for alerts.
#[derive(Serialize, ToSchema)]
#[schema(as = Alert)]
pub(crate) struct AlertView {
    /// Its id.
    #[schema(value_type = values::AlertId)]
    id: AlertId,
    /// How it is reached.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of([AlertKind::Email, AlertKind::Chat])))))]
    kind: AlertKind,
    /// The e-mail address; of a chat's URL the host alone, for the rest of it is a credential.
    address: String,
    /// The language of what is sent to it.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(session::LANGUAGES)))))]
    language: Language,
    /// The events that it is alerted of.
    #[schema(value_type = Vec<values::AlertEvent>)]
    events: BTreeSet<AlertEvent>,
    /// Whether its code was given back.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of([AlertState::Unconfirmed, AlertState::Confirmed])))))]
    state: AlertState,
    /// When it was created.
    #[serde(serialize_with = "carteiro_core::time::serialize")]
    #[schema(value_type = values::Time)]
    created_at: Timestamp,
}

/// Whether an address is confirmed.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AlertState {
    /// Nothing but its code is sent to it.
    Unconfirmed,
    /// Alerts are sent to it.
    Confirmed,
}

/// All addresses of an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct AlertList {
    /// The addresses, in the order of their creation.
    data: Vec<AlertView>,
    /// Always null: an account has few addresses, and they are answered together.
    #[schema(required)]
    next: Option<String>,
}

impl From<&Alert> for AlertView {
    fn from(alert: &Alert) -> Self {
        let is_confirmed = alert.confirmation.is_confirmed();
        Self {
            id: alert.id.clone(),
            kind: alert.kind,
            address: alert.shown_address(),
            language: alert.language,
            events: alert.events.clone(),
            state: if is_confirmed { AlertState::Confirmed } else { AlertState::Unconfirmed },
            created_at: alert.created_at,
        }
    }
}

/// Add an address for alerts
///
/// Adds an e-mail address, or the URL of a chat's incoming webhook, that people read. A code is sent there, and
/// nothing else until it is given back.
#[utoipa::path(
    post,
    path = "/alerts",
    operation_id = "createAlert",
    tag = "alerts",
    security(("accountKey" = [])),
    request_body(
        content = requests::AlertSettings,
        content_type = "application/json",
        description = "The address, and the events that it is alerted of.",
        example = json!({"kind": "email", "address": "ana@example.com", "language": "pt-BR", "events": ["blocked", "token"]}),
    ),
    responses(
        (status = 201, description = "It is added, and its code is on its way.", body = AlertView, example = json!(examples::new_alert())),
        (status = 409, response = refusals::AlertExists),
        (status = 429, response = refusals::TooManyCodes),
    ),
    extensions(("x-max-alerts" = json!(Limited::Alerts.most()))),
)]
pub(crate) async fn create(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let account = call.account()?;
    let given = body::object(request)?;
    let new = NewAlert::from_json(&given, &manage.private_targets).map_err(Problem::invalid_fields)?;
    match &new.target {
        Target::Email(_) if !manage.sends_email => {
            let detail = "this deployment sends no e-mail: its operator has set no AlertSender";
            return Err(Problem::invalid_field("kind", detail).into());
        }
        Target::Email(_) => {}
        Target::Chat(url) => refuse_target(manage, request, "address", url).await?,
    }
    let id = AlertId::from_bits(random::bits128()?);
    let alert = new.create((id, random::bits128()?), account.clone(), clock.now());
    let existing = manage.config.all_alerts(&account).await?;
    if existing.iter().any(|other| (other.kind, &other.address) == (alert.kind, &alert.address)) {
        return Err(Problem::already_exists("the account has this address already").into());
    }
    if existing.len() >= Limited::Alerts.most() {
        return Err(Limited::Alerts.problem().into());
    }
    if !manage.config.take_code(&account, clock.now()).await? {
        return Err(confirmation::none_left(clock.now()).into());
    }
    match manage.config.create_alert(&alert).await? {
        Created::Done => {}
        Created::TooMany => return Err(Limited::Alerts.problem().into()),
        Created::NoAccount => return Err(Problem::unauthorized("the account of this key was deleted").into()),
        Created::Exists => return Err(AdapterError::contended("creating an alert").into()),
    }
    send_code(call, account, alert.id.clone()).await?;
    Ok(json(201, &AlertView::from(&alert)))
}

/// List addresses for alerts
///
/// All addresses of the account. Until one of them is confirmed, nobody is told of trouble.
#[utoipa::path(
    get,
    path = "/alerts",
    operation_id = "listAlerts",
    tag = "alerts",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (status = 200, description = "The addresses, in the order of their creation.", body = AlertList, example = json!(examples::alerts())),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    let alerts = call.manage.config.all_alerts(&call.account()?).await?;
    Ok(json(200, &AlertList { data: alerts.iter().map(AlertView::from).collect(), next: None }))
}

/// Remove an address for alerts
///
/// Nothing is sent there from now on.
#[utoipa::path(
    delete,
    path = "/alerts/{alert}",
    operation_id = "deleteAlert",
    tag = "alerts",
    security(("accountKey" = [])),
    responses(
        (status = 204, description = "It is removed."),
    ),
)]
pub(crate) async fn delete(call: &Call<'_>) -> Response {
    let (account, id) = named(call)?;
    if call.manage.config.delete_alert(&account, &id).await? {
        Ok(empty(204))
    } else {
        Err(no_such_alert().into())
    }
}

/// Confirm an address for alerts
///
/// Gives back the code that was sent to the address. A code is good for 24 hours and five wrong tries.
#[utoipa::path(
    post,
    path = "/alerts/{alert}/confirm",
    operation_id = "confirmAlert",
    tag = "alerts",
    security(("accountKey" = [])),
    request_body(
        content = requests::AlertCode,
        content_type = "application/json",
        description = "The code.",
        example = json!({"code": "K7QX2M9P"}),
    ),
    responses(
        (status = 200, description = "It is confirmed.", body = AlertView, example = json!(examples::alert())),
        (status = 409, response = refusals::Conflict),
        (status = 422, response = refusals::WrongCode),
    ),
)]
pub(crate) async fn confirm(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let (account, id) = named(call)?;
    let given = body::object(request)?;
    let mut errors = body::only(&given, &["code"]);
    let code = body::text(&given, "code", MAX_CODE_BYTES).map_err(|error| errors.push(error)).ok();
    let code = code.and_then(|code| Code::typed(&code)).filter(|_| errors.is_empty());
    let Some(code) = code else { return Err(Problem::invalid_fields(errors).into()) };
    for _ in 0..CHANGE_TRIES {
        let alert = find(call, &account, &id).await?;
        let (next, is_right) = match alert.confirmation.tried(&id, &code, clock.now()) {
            Tried::Confirmed(next) => (next, true),
            Tried::Wrong(next) => (next, false),
            Tried::Already => return Ok(json(200, &AlertView::from(&alert))),
            Tried::NoCode => {
                let detail = format!(
                    "no code is good now: it was not sent yet, is older than 24 hours, or was tried wrong {MAX_WRONG} \
                     times; have it sent again"
                );
                return Err(Problem::code_over(detail).into());
            }
        };
        let changed = alert.with(next);
        if manage.config.replace_alert(&changed).await? == Replaced::ChangedMeanwhile {
            continue;
        }
        if is_right {
            return Ok(json(200, &AlertView::from(&changed)));
        }
        return Err(Problem::code_wrong("this is not the code that was sent last").into());
    }
    Err(Problem::conflict("others changed this address at the same time; try again").into())
}

/// Send an address's code again
///
/// Sends another code, which replaces the last. Of an address that is confirmed nothing is sent. The request has no
/// body.
#[utoipa::path(
    post,
    path = "/alerts/{alert}/resend",
    operation_id = "resendAlertCode",
    tag = "alerts",
    security(("accountKey" = [])),
    responses(
        (status = 202, description = "Another code is on its way.", body = AlertView, example = json!(examples::new_alert())),
        (status = 409, response = refusals::Conflict),
        (status = 429, response = refusals::TooManyCodes),
    ),
)]
pub(crate) async fn resend(call: &Call<'_>) -> Response {
    let Call { manage, clock, .. } = *call;
    let (account, id) = named(call)?;
    let mut is_counted = false;
    for _ in 0..CHANGE_TRIES {
        let alert = find(call, &account, &id).await?;
        if alert.confirmation.is_confirmed() {
            return Ok(json(202, &AlertView::from(&alert)));
        }
        let next = alert.confirmation.resent(clock.now());
        let next = next.ok_or_else(|| confirmation::none_left(clock.now()))?;
        if !is_counted && !manage.config.take_code(&account, clock.now()).await? {
            return Err(confirmation::none_left(clock.now()).into());
        }
        is_counted = true;
        let changed = alert.with(next);
        if manage.config.replace_alert(&changed).await? == Replaced::ChangedMeanwhile {
            continue;
        }
        send_code(call, account, id).await?;
        return Ok(json(202, &AlertView::from(&changed)));
    }
    Err(Problem::conflict("others changed this address at the same time; try again").into())
}

async fn send_code(call: &Call<'_>, account: AccountId, alert: AlertId) -> Result<(), AdapterError> {
    let work = Work::ConfirmAlert { account, alert, tries: 0 };
    call.manage.work.send(&[(work, Duration::ZERO)]).await
}

fn named(call: &Call<'_>) -> Result<(AccountId, AlertId), Failure> {
    let account = call.account()?;
    let id = call.request.path("alert").parse().map_err(|_| no_such_alert())?;
    Ok((account, id))
}

async fn find(call: &Call<'_>, account: &AccountId, id: &AlertId) -> Result<Alert, Failure> {
    let alert = call.manage.config.find_alert(account, id).await?;
    alert.ok_or_else(|| no_such_alert().into())
}

fn no_such_alert() -> Problem {
    Problem::not_found("there is no such alert")
}
