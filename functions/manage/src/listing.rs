//! `GET /webhooks`: an account's webhooks with their states, in the order of their creation.
//!
//! An account has few webhooks ([`MAX_WEBHOOKS_PER_ACCOUNT`](carteiro_core::webhook::MAX_WEBHOOKS_PER_ACCOUNT)), so
//! each request reads them all in one query, and the streaks of the types that they take in calls of a hundred. The
//! streaks are looked up by their keys, and not in an index: so what an older version wrote is seen as well.

use std::collections::HashMap;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::http_api::{Request, json};
use carteiro_adapters::tables::config::ListPage;
use carteiro_adapters::tables::streak::StreakKey;
use carteiro_core::id::{AccountId, WebhookId};
use carteiro_core::item::ItemType;
use carteiro_core::problem::FieldError;
use carteiro_core::situation::WebhookState;
use carteiro_core::transition::Row;
use carteiro_core::webhook::Webhook;
use serde::Serialize;
use utoipa::ToSchema;

use crate::call::{Call, Response};
use crate::context::Manage;
use crate::openapi::examples;
use crate::status::{Plights, Trouble, streak_key};
use crate::{answers, lists, values, view};

/// A webhook in the list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ListedWebhook)]
pub(crate) struct Listed {
    #[serde(flatten)]
    pub(crate) webhook: answers::Webhook,
    /// The state of its worst item type.
    #[schema(value_type = values::WebhookState)]
    pub(crate) state: WebhookState,
    /// What is wrong with that; null where nothing is.
    #[schema(required)]
    pub(crate) trouble: Option<Trouble>,
}

/// How many webhooks of an account there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StateCounts {
    /// Of which an item type is blocked.
    pub(crate) blocked: usize,
    /// Of which an item type fails, and none is blocked.
    pub(crate) failing: usize,
    /// Which are disabled.
    pub(crate) disabled: usize,
    /// Of which all is sent.
    pub(crate) open: usize,
}

impl StateCounts {
    fn of(states: impl Iterator<Item = WebhookState>) -> Self {
        states.fold(Self::default(), |mut counts, state| {
            *match state {
                WebhookState::Blocked => &mut counts.blocked,
                WebhookState::Failing => &mut counts.failing,
                WebhookState::Disabled => &mut counts.disabled,
                WebhookState::Open => &mut counts.open,
            } += 1;
            counts
        })
    }
}

/// A page of webhooks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WebhookList {
    /// The webhooks, the oldest first.
    pub(crate) data: Vec<Listed>,
    /// The `cursor` of the next page; null on the last.
    #[schema(required)]
    pub(crate) next: Option<String>,
    /// The states of all webhooks of the account, whatever the page shows.
    pub(crate) counts: StateCounts,
}

/// The place of a webhook in the order of creation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    created_at: i64,
    webhook: String,
}

impl Place {
    fn of(webhook: &Webhook) -> Self {
        Self { created_at: webhook.created_at.as_millisecond(), webhook: webhook.id.to_string() }
    }

    fn read(text: &str) -> Option<Self> {
        let (created_at, webhook) = text.split_once(' ')?;
        let webhook: WebhookId = webhook.parse().ok()?;
        Some(Self { created_at: created_at.parse().ok()?, webhook: webhook.to_string() })
    }

    fn text(&self) -> String {
        format!("{} {}", self.created_at, self.webhook)
    }
}

/// List webhooks
///
/// The account's webhooks with their states, in the order of their creation, and how many there are in each state.
#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "listWebhooks",
    tag = "webhooks",
    security(("accountKey" = []), ("adminKey" = [])),
    responses(
        (
            status = 200, description = "A page of webhooks.",
            body = WebhookList,
            example = json!(examples::webhooks()),
        ),
    ),
)]
pub(crate) async fn list(call: &Call<'_>) -> Response {
    let Call { manage, request, clock, .. } = *call;
    let account = call.account()?;
    let (states, errors) = states(request);
    // The account and the states are part of the name, so that a cursor serves the same question alone.
    let asked: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let list = format!("webhooks by creation {account} {}", asked.join(","));
    let position = lists::position_after(errors, request, &list, |key| Place::read(key).is_some())?;
    let after = position.after.as_deref().and_then(Place::read);
    let now = clock.now();
    let (webhooks, rows) = read(manage, &account).await?;
    let plights: Vec<_> = webhooks
        .iter()
        .map(|webhook| {
            let streak = |item_type: &ItemType| rows.get(&streak_key(webhook, item_type.clone()));
            let plights = Plights::of(webhook, manage.threshold, streak, now);
            (webhook, plights.state(), plights.trouble())
        })
        .collect();
    let counts = StateCounts::of(plights.iter().map(|(_, state, _)| *state));
    let shown = plights.into_iter().filter(|(webhook, state, _)| {
        states.contains(state) && after.as_ref().is_none_or(|after| Place::of(webhook) > *after)
    });
    let page = page(shown.collect(), usize::from(position.limit));
    let listed = |(webhook, state, trouble)| Listed { webhook: view::webhook(webhook, now), state, trouble };
    let next = page.last.map(|last| carteiro_core::cursor::encode(&list, &last));
    let data = page.data.into_iter().map(listed).collect();
    Ok(json(200, &WebhookList { data, next, counts }))
}

/// The states that a request asks for: those that it names, between commas, or all.
fn states(request: &Request) -> (Vec<WebhookState>, Vec<FieldError>) {
    let names = request.query_all("state");
    if names.is_empty() {
        return (WebhookState::ALL.to_vec(), Vec::new());
    }
    let read = |name: &str| WebhookState::ALL.into_iter().find(|state| state.as_str() == name.trim());
    let named: Option<Vec<WebhookState>> = names.into_iter().map(read).collect();
    match named {
        // In one order, so that the same question has the same cursors.
        Some(named) => {
            (WebhookState::ALL.into_iter().filter(|state| named.contains(state)).collect(), Vec::new())
        }
        None => {
            let all = WebhookState::ALL.map(WebhookState::as_str).join(", ");
            (
                Vec::new(),
                vec![FieldError::new(
                    "state",
                    format!("one or more of {all} are expected, with commas between"),
                )],
            )
        }
    }
}

/// All webhooks of an account in the order of their creation, and the streaks of the types that they take.
async fn read(
    manage: &Manage,
    account: &AccountId,
) -> Result<(Vec<Webhook>, HashMap<StreakKey, Row>), AdapterError> {
    let mut webhooks = manage.config.all_webhooks(account).await?;
    webhooks.sort_by_cached_key(Place::of);
    // A disabled webhook is disabled, whatever its streaks say.
    let sent = webhooks.iter().filter(|webhook| webhook.disabled_by.is_none());
    let keys = sent.flat_map(|webhook| {
        webhook.settings.items.iter().map(|item_type| streak_key(webhook, item_type.clone()))
    });
    let keys: Vec<StreakKey> = keys.collect();
    let rows = manage.streaks.read_listed(&keys).await?;
    Ok((webhooks, rows))
}

/// The first of these webhooks, and the place of the last of them where there are more.
fn page<T>(
    mut shown: Vec<(&Webhook, WebhookState, T)>,
    most: usize,
) -> ListPage<(&Webhook, WebhookState, T)> {
    let more = shown.len() > most;
    shown.truncate(most);
    let last = shown.last().filter(|_| more).map(|(webhook, ..)| Place::of(webhook).text());
    ListPage { data: shown, last }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::apigw::ApiGatewayV2httpRequest;

    use super::*;

    fn asked(state: Option<&str>) -> (Vec<WebhookState>, usize) {
        let mut event = ApiGatewayV2httpRequest::default();
        let given = state.map(|state| ("state".to_owned(), vec![state.to_owned()]));
        event.query_string_parameters = given.into_iter().collect::<HashMap<_, _>>().into();
        let (states, errors) = states(&Request::new(event).unwrap());
        (states, errors.len())
    }

    #[test]
    fn the_states_asked_for_are_those_that_are_named_or_all() {
        assert_eq!(asked(None), (WebhookState::ALL.to_vec(), 0));
        assert_eq!(asked(Some("failing")), (vec![WebhookState::Failing], 0));
        let two = (vec![WebhookState::Blocked, WebhookState::Disabled], 0);
        assert_eq!(
            (asked(Some("disabled,blocked")), asked(Some("blocked, disabled,blocked"))),
            (two.clone(), two)
        );
        for wrong in ["", "dead", "open,", "Open"] {
            assert_eq!(asked(Some(wrong)), (Vec::new(), 1), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_read_back_and_sorts_by_creation() {
        let place = |created_at, bits| Place { created_at, webhook: WebhookId::from_bits(bits).to_string() };
        for one in [place(5, 1), place(1_795_000_000_120, u128::MAX)] {
            assert_eq!(Place::read(&one.text()).unwrap(), one);
        }
        assert!(place(5, 9) < place(40, 1) && place(5, 1) < place(5, 9));
        for other in ["", "5", "5 x", "x wh_00000000000000000000000000000001"] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }

    #[test]
    fn every_webhook_is_counted_in_one_state() {
        use WebhookState::{Blocked, Disabled, Failing, Open};
        let counts = StateCounts::of([Open, Blocked, Open, Failing, Disabled, Open].into_iter());
        assert_eq!(counts, StateCounts { blocked: 1, failing: 1, disabled: 1, open: 3 });
    }
}
