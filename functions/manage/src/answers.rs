//! What the API answers: one type for each object, from which its schema is derived.
//!
//! The comments are the descriptions that the API's document gives: they are public.

use std::collections::{BTreeMap, BTreeSet};

use carteiro_core::account_limit::Limited;
use carteiro_core::activity::MAX_HOURS;
use carteiro_core::address::{MAX_URL_BYTES, WebhookUrl};
use carteiro_core::attempt_log::{ItemFate, MAX_EXCERPT_BYTES, ReleaseStep};
use carteiro_core::cause::Cause;
use carteiro_core::cursor::MAX_LIMIT;
use carteiro_core::holding::HeldFor;
use carteiro_core::id::{AccountId, ItemId, KeyId, PageId, ReplayId, WebhookId};
use carteiro_core::item::{ItemType, Source};
use carteiro_core::item_state::{DropCause, ItemState};
use carteiro_core::message::{Message, ToldError};
use carteiro_core::outcome::FailureKind;
use carteiro_core::replay::Phase;
use carteiro_core::settlement::DeathCause;
use carteiro_core::signature::PublicKey;
use carteiro_core::situation::WebhookState;
use carteiro_core::webhook::{
    AttemptLog, DisabledBy, MASK, MAX_BLOCK_SECONDS, MAX_DESCRIPTION_BYTES, MAX_HEADER_BYTES, MAX_HEADERS,
    MAX_SOURCES, MAX_THRESHOLD, MAX_WEBHOOKS_PER_ACCOUNT, WhileBlocked,
};
use carteiro_networks::network::{MAX_NETWORK_ID_BYTES, Network, NetworkId};
use carteiro_networks::page::{Delivery, Login, MAX_PAGE_NAME_BYTES, TickResult, TokenCause, TokenState};
use carteiro_networks::poll::OperatorFault;
use carteiro_networks::push::subscription::SubscriptionState;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::accounts::MAX_NAME_BYTES;
use crate::items::LogRead;
use crate::lists::Listed;
use crate::status::{EXACT, Trouble, TypeStatus};
use crate::unhealthy;
use crate::values::{self, Time, one_of, one_of_or_null};

/// The bounds of lists and maps, which the derivation has no place for: by schema and field.
pub(crate) fn bounds() -> Vec<(&'static str, &'static str, Value)> {
    let pages = [
        "AccountList",
        "WebhookList",
        "PageList",
        "UnhealthyList",
        "HeldList",
        "DeadList",
        "AttemptList",
        "ReplayList",
    ];
    let pages = pages.map(|list| (list, "data", json!({"maxItems": MAX_LIMIT})));
    let faults = Network::ALL.len() * OperatorFault::ALL.len();
    let mut bounds = pages.to_vec();
    bounds.extend([
        ("Alert", "events", json!({"minItems": 1, "uniqueItems": true})),
        ("AlertList", "data", json!({"maxItems": Limited::Alerts.most()})),
        ("Activity", "data", json!({"maxItems": MAX_HOURS})),
        ("NetworkFaultList", "data", json!({"maxItems": faults})),
        ("Webhook", "items", json!({"minItems": 1, "uniqueItems": true})),
        ("Webhook", "sources", json!({"minItems": 1, "maxItems": MAX_SOURCES, "uniqueItems": true})),
        ("Webhook", "headers", masked_headers()),
        ("ItemStates", "webhooks", json!({"maxItems": 2 * MAX_WEBHOOKS_PER_ACCOUNT})),
    ]);
    bounds
}

/// Declares a page of a list.
macro_rules! list {
    ($doc:literal, $name:ident of $entry:ty, $order:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, Serialize, ToSchema)]
        pub(crate) struct $name {
            #[doc = $order]
            pub(crate) data: Vec<$entry>,
            /// The `cursor` of the next page; null on the last.
            #[schema(required)]
            pub(crate) next: Option<String>,
        }

        impl Listed for $name {
            type Entry = $entry;

            fn of(data: Vec<$entry>, next: Option<String>) -> Self {
                Self { data, next }
            }
        }
    };
}

list!("A page of accounts.", AccountList of Account, "In the order of their ids.");
list!("A page of the list of pages.", PageList of Page, "In the order of their ids.");
list!("A page of what is unhealthy.", UnhealthyList of Unhealthy, "In a fixed order, which is of no meaning.");
list!("A page of held items.", HeldList of HeldItem, "By type, and then in the order of acceptance.");
list!("A page of dead items.", DeadList of DeadItem, "By type, and then in the order of acceptance.");
list!("A page of attempts.", AttemptList of Attempt, "The newest first.");
list!("A page of replays.", ReplayList of Replay, "The newest first.");
list!("What the operator has to mend. There is one page.", NetworkFaultList of NetworkFault, "In the order of the networks.");

/// An account: a customer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Account {
    /// Its id.
    #[schema(value_type = values::AccountId)]
    pub(crate) id: AccountId,
    /// Its name, in the operator's words.
    #[schema(extensions(("x-schema" = json!({"minLength": 1, "maxLength": MAX_NAME_BYTES}))))]
    pub(crate) name: String,
    /// When it was created.
    pub(crate) created_at: Time,
}

/// A new account, with its first key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AccountWithKey {
    #[serde(flatten)]
    pub(crate) account: Account,
    /// The key's id: what revokes it. It is not the key.
    #[schema(value_type = values::KeyId)]
    pub(crate) key_id: KeyId,
    /// The key.
    #[schema(value_type = values::Key)]
    pub(crate) key: String,
}

/// A new key of an account.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct KeyWithSecret {
    /// The key's id, as `key_id`.
    #[schema(value_type = values::KeyId)]
    pub(crate) id: KeyId,
    /// The key's id: what revokes it. It is not the key.
    #[schema(value_type = values::KeyId)]
    pub(crate) key_id: KeyId,
    #[schema(value_type = values::Key)]
    pub(crate) key: String,
}

/// What was waiting and is dropped now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Dropped {
    /// How many items that waited were dropped.
    pub(crate) dropped: usize,
    /// Whether there was no time to drop all. Of what was deleted the rest is dropped when it comes due, dead items
    /// when they have been kept as long as they are; of what was cancelled the rest stays held: ask again.
    pub(crate) dropped_more: bool,
}

/// A webhook: a URL of an account, and what is sent there. Its secret and its private key are not shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Webhook {
    /// Its id.
    #[schema(value_type = values::WebhookId)]
    pub(crate) id: WebhookId,
    /// Where items are sent. `https` only, port 443 or 1024 to 65535, at most 2048 bytes, no user name, password or
    /// fragment. An address in it must be public; a name's addresses are checked at every attempt, and one that is
    /// not public fails it (`forbidden_address`). A host of this deployment itself is refused, and fails each attempt
    /// (`own_address`). Answered in its normal form (lower-case host, punycode, default port left out). A deployment
    /// that allows private targets takes `http` too.
    #[schema(
        value_type = String,
        extensions(("x-schema" = json!({"format": "uri", "maxLength": MAX_URL_BYTES, "x-max-bytes": MAX_URL_BYTES}))),
    )]
    pub(crate) url: WebhookUrl,
    /// The item types that it takes, at least one. Repeats count once; answered in alphabetical order. `message`,
    /// `event` and `contact` come from bots, `publication` and `interaction` from the account's pages, `notice` from
    /// Carteiro itself.
    #[schema(
        value_type = Vec<values::ItemType>,
    )]
    pub(crate) items: BTreeSet<ItemType>,
    /// The sources that it takes: 1 to 100. Null or left out, it takes all. Repeats count once; answered sorted.
    /// Items of source `carteiro` pass whatever is named here.
    #[schema(
        value_type = Option<Vec<values::Source>>,
        required,
    )]
    pub(crate) sources: Option<BTreeSet<Source>>,
    /// The values are credentials, and no answer shows them: `********` stands for each, and keeps it where a patch
    /// sends it back. Headers that every request to the URL carries, such as `authorization`: up to 20, names of 1 to
    /// 128 bytes, 4096 bytes of names and values in all. Names are stored and answered in lower case; values are
    /// printable ASCII without spaces around them. Names in `x-reserved-names`, and those that begin with one of
    /// `x-reserved-prefixes`, are refused: Carteiro or HTTP itself sets them.
    #[schema(value_type = Object)]
    pub(crate) headers: BTreeMap<String, &'static str>,
    /// What becomes of items while their type is blocked: `hold` keeps them until the block's end and sends them
    /// then, `discard` drops and counts them. While the webhook is disabled, they are held either way.
    #[schema(
        value_type = String,
        extensions(("x-schema" = json!(one_of([WhileBlocked::Hold, WhileBlocked::Discard])))),
    )]
    pub(crate) while_blocked: WhileBlocked,
    /// Which attempts are logged for the account to read: the failed ones, all, or none. The log is at
    /// `/webhooks/{webhook}/attempts`.
    #[schema(
        value_type = String,
        extensions(("x-schema" = json!(one_of([AttemptLog::Failures, AttemptLog::All, AttemptLog::None])))),
    )]
    pub(crate) log: AttemptLog,
    /// What it is for, in the owner's words: up to 512 bytes of UTF-8.
    #[schema(
        required,
        extensions(("x-schema" = json!({"maxLength": MAX_DESCRIPTION_BYTES, "x-max-bytes": MAX_DESCRIPTION_BYTES}))),
    )]
    pub(crate) description: Option<String>,
    /// Whether items are sent. While it is false, items for it are held; see `disabled_by`.
    pub(crate) enabled: bool,
    /// Why nothing is sent: `owner` (`enabled` was set to false) or `gone` (its URL answered 410, which sets
    /// `enabled` to false). Null while it is enabled. Setting `enabled` to true ends both.
    #[schema(
        value_type = Option<String>,
        required,
        extensions(("x-schema" = json!(one_of_or_null([DisabledBy::Owner, DisabledBy::Gone])))),
    )]
    pub(crate) disabled_by: Option<DisabledBy>,
    /// Failed attempts in a row, of one item type, that block that type: 1 to 1,000,000. Null for the deployment's
    /// (1000 unless its operator chose otherwise).
    #[schema(required, extensions(("x-schema" = json!({"minimum": 1, "maximum": MAX_THRESHOLD}))))]
    pub(crate) threshold: Option<u32>,
    /// How long a block lasts, in seconds: 1 to 604,800 (7 days). Null for the deployment's (14,400, which is 4
    /// hours, unless its operator chose otherwise). A block that is under way keeps its end.
    #[schema(required, extensions(("x-schema" = json!({"minimum": 1, "maximum": MAX_BLOCK_SECONDS}))))]
    pub(crate) block_seconds: Option<u32>,
    /// Whether it has an ed25519 key pair, so that every delivery carries a `v1a` signature beside the `v1`.
    pub(crate) key_pair: bool,
    /// What `v1a` signatures are verified with; null without a key pair.
    #[schema(value_type = Option<values::PublicKey>, required)]
    pub(crate) public_key: Option<PublicKey>,
    /// When the last of the secrets and key pairs that a rotation replaced stops signing; null where none signs any
    /// more.
    #[schema(required)]
    pub(crate) replaced_until: Option<Time>,
    /// Counts the changes of URL, headers, secret and key pair; 1 at first.
    #[schema(minimum = 1)]
    pub(crate) revision: u64,
    /// When it was created.
    pub(crate) created_at: Time,
    /// When it was changed last.
    pub(crate) updated_at: Time,
}

/// The schema of a webhook's own headers, as they are answered.
fn masked_headers() -> Value {
    json!({
        "maxProperties": MAX_HEADERS,
        "x-max-bytes": MAX_HEADER_BYTES,
        "propertyNames": {"pattern": "^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$"},
        "additionalProperties": {"type": "string", "const": MASK},
    })
}

/// A webhook with the secret that signs, in the answer to what made that secret: its creation, or a rotation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WebhookWithSecret {
    #[serde(flatten)]
    pub(crate) webhook: Webhook,
    /// The secret.
    #[schema(value_type = values::Secret)]
    pub(crate) secret: String,
}

/// A webhook with the state of each item type that it takes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct WebhookWithStatus {
    #[serde(flatten)]
    pub(crate) webhook: Webhook,
    /// The state of its worst item type.
    #[schema(value_type = values::WebhookState)]
    pub(crate) state: WebhookState,
    /// What is wrong with that; null where nothing is.
    #[schema(required)]
    pub(crate) trouble: Option<Trouble>,
    /// One entry for each item type in `items`, and for each other one of which items are held.
    #[schema(extensions(("x-schema" = json!({"propertyNames": values::reference("ItemType")}))))]
    pub(crate) status: BTreeMap<String, TypeStatus>,
}

/// A page: an account's connection to a page of its own on a network.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Page {
    /// Its id.
    #[schema(value_type = values::PageId)]
    pub(crate) id: PageId,
    /// The network that it is on.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(Network::ALL)))))]
    pub(crate) network: Network,
    /// The network's id of it: the Facebook page's id, Instagram's `user_id`, X's user id, the YouTube channel's id,
    /// the Google Play package's name, LinkedIn's organization number.
    #[schema(
        value_type = String,
        extensions(("x-schema" = json!({"maxLength": MAX_NETWORK_ID_BYTES, "pattern": "^[A-Za-z0-9._:-]+$"}))),
    )]
    pub(crate) network_id: NetworkId,
    /// Its name, in the owner's words: 1 to 256 bytes in one line, without spaces around it.
    #[schema(
        extensions(("x-schema" = json!({"minLength": 1, "maxLength": MAX_PAGE_NAME_BYTES, "x-max-bytes": MAX_PAGE_NAME_BYTES}))),
    )]
    pub(crate) name: String,
    /// When what its network pushes is dispatched. `by_kind`: direct messages and replies of others as they arrive,
    /// everything else at the next tick; `scheduled`: everything at the next tick; `immediate`: everything as it
    /// arrives. What needs completing always waits for a tick.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(Delivery::ALL)))))]
    pub(crate) delivery: Delivery,
    /// How the account was connected, on Instagram: `facebook`: by Facebook Login, with the token of its Facebook
    /// page; `instagram`: by Instagram's own login; `unified`: by Meta's unified login, with the token of a Business
    /// Integration System User. Null where its owner did not say so.
    #[schema(value_type = Option<String>, required, extensions(("x-schema" = json!(one_of_or_null(Login::ALL)))))]
    pub(crate) login: Option<Login>,
    /// The ad account whose running ads are listed, on Facebook and Instagram, so that the posts behind its ads that
    /// are this page's, and the comments on them, are collected, too: `act_` and 1 to 20 digits. It may serve other
    /// pages. The token needs `ads_read`; without it the rest is collected. With Instagram's own login it has no
    /// effect. Null where none is named.
    #[schema(
        value_type = Option<String>,
        required,
        extensions(("x-schema" = json!({"pattern": "^act_[0-9]{1,20}$"}))),
    )]
    pub(crate) ad_account: Option<String>,
    /// Whether its network took a token of the account's as this page's. Until then what is pushed for it waits,
    /// where the deployment wants that (`PushesNeedProof`).
    pub(crate) proven: bool,
    /// What is known of its token.
    pub(crate) token: PageToken,
    /// The collector's subscription to what its network pushes. Null on networks where a person subscribes, or that
    /// push nothing.
    #[schema(required)]
    pub(crate) push: Option<PagePush>,
    /// The last time that its network was asked about it. Null where it was not.
    #[schema(required)]
    pub(crate) last_tick: Option<LastTick>,
    /// From when on a tick asks about it again. Null where its token is dead: a new token sets it going.
    #[schema(required)]
    pub(crate) next_at: Option<Time>,
    /// How often it is asked about, in minutes: at each tick, or less often where the network's limits allow no more.
    /// Null until it was.
    #[schema(required, minimum = 1)]
    pub(crate) every_minutes: Option<u32>,
    /// That it is silent against its habit, as of its last poll. Null where it is not, or has no habit.
    #[schema(required)]
    pub(crate) silence: Option<PageSilence>,
    /// How long its things took in the last day. Null where nothing new came, and in lists: read the page.
    #[schema(value_type = Option<values::PageFreshness>, required)]
    pub(crate) freshness: Option<Value>,
    /// When it was connected.
    pub(crate) created_at: Time,
    /// When it was changed last.
    pub(crate) updated_at: Time,
}

/// What is known of its token. The token itself is in no answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PageToken {
    /// `ok`: the network takes it. `expiring`: for 7 days at most. `expired`: its time is over. `revoked`: the
    /// network refuses it for good, or it is somebody else's. `narrowed`: it may do less than collecting needs.
    /// `unknown`: nobody looked at it yet.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(TokenState::ALL)))))]
    pub(crate) state: TokenState,
    /// What brought the state; null where nothing is wrong, or nobody looked yet. `time`: its time is over, or nearly.
    /// `consent`: the consent of who gave it is over, or nearly. `refused`: the network refused it. `renewal_refused`:
    /// the network refused to renew it. `renewal_lost`: likewise, after an answer was lost that may have held the new
    /// one. `not_the_pages`: it is somebody else's. `taken_back`: a push said that it, or a permission, was taken back.
    /// `missing`: an answer said that a permission is missing.
    #[schema(
        value_type = Option<String>,
        required,
        extensions(("x-schema" = json!(one_of_or_null(TokenCause::ALL)))),
    )]
    pub(crate) cause: Option<TokenCause>,
    /// When it ends, where that is known: as the network said it, or else the owner.
    #[schema(required)]
    pub(crate) expires_at: Option<Time>,
    /// When the consent of who gave it ends, where the network says so (Meta).
    #[schema(required)]
    pub(crate) consent_ends_at: Option<Time>,
    /// Which permission is missing, where the network names it.
    #[schema(required)]
    pub(crate) permission: Option<String>,
    /// Since when the state is this one.
    #[schema(required)]
    pub(crate) since: Option<Time>,
    /// Why, for people.
    #[schema(required)]
    pub(crate) why: Option<String>,
    /// For the page's owner, where something is wrong, or the network was not asked yet.
    #[schema(value_type = Option<values::TokenMessage>, required)]
    pub(crate) message: Option<Message>,
}

/// A subscription to what a network pushes of a page. Whatever its state is, polling brings in everything that the
/// network answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PagePush {
    /// `subscribed`: the network pushes. `refused`: it does not, for a reason that is not the token's, such as the
    /// app's tier or the member's role; it is asked again each day. `off`: it was not asked yet, or the deployment
    /// does not ask.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(SubscriptionState::ALL)))))]
    pub(crate) state: SubscriptionState,
    /// When the subscription ends, unless it is renewed before, which it is. Null where there is none.
    #[schema(required)]
    pub(crate) until: Option<Time>,
}

/// A page brought nothing for three times as long as is usual of it, and for a day at least: a permission or a
/// subscription to pushes may be lost, which no network says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PageSilence {
    /// Since when.
    pub(crate) since: Time,
    /// The longest time without anything, in hours, in the two weeks before.
    #[schema(minimum = 1)]
    pub(crate) usual_hours: u32,
}

/// What came of asking a network about a page.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LastTick {
    /// When.
    pub(crate) at: Time,
    /// `ok`: all that the network has is brought in. `more`: there is more than one tick asks for, and the next one
    /// goes on. `limited`: a limit of the network's was reached; it goes on after it. `token`: the token may not do
    /// it. `unavailable`: the network failed; the next tick asks again. `operator`: only the operator can mend it,
    /// and `cause` says what; the token is not to blame, and the next tick asks again. `fault`: something of the
    /// deployment's failed.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(TickResult::ALL)))))]
    pub(crate) result: TickResult,
    /// How many items were found that were not known.
    pub(crate) new: u32,
    /// How many calls were made.
    pub(crate) calls: u32,
    /// Whether there is more: the result is `more`.
    pub(crate) more: bool,
    /// What the operator has to mend, as of the last answer of the network's: see `NetworkFault`. Null where there is
    /// nothing.
    #[schema(
        value_type = Option<String>,
        required,
        extensions(("x-schema" = json!(one_of_or_null(OperatorFault::ALL)))),
    )]
    pub(crate) cause: Option<OperatorFault>,
    /// The cause in words. Null where there is none.
    #[schema(value_type = Option<values::FaultMessage>, required)]
    pub(crate) message: Option<Message>,
}

/// Something that only the operator can mend at a network.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct NetworkFault {
    /// The network.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(Network::ALL)))))]
    pub(crate) network: Network,
    /// `app_proof`: Meta's app requires `appsecret_proof`, and no secret in `MetaAppSecrets` is its own.
    /// `app_rejected`: the app is unknown, deleted, disabled or blocked. `app_access`: it lacks the access, product
    /// or plan for a call. `api_not_enabled`: the API is not enabled in its project. `credits_depleted`: its credit
    /// is used up, or its billing is off. `usage_capped`: its usage cap is used up. `version_withdrawn`: the version
    /// in `NetworkSettings` ended. `version_ending`: it ends within 60 days. `client_refused`: the app's id or
    /// secret, or `MetaAppToken`, is refused. `request_refused`: none of the calls is accepted, for a reason that the
    /// log shows.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(OperatorFault::ALL)))))]
    pub(crate) cause: OperatorFault,
    /// The cause in words.
    #[schema(value_type = values::FaultMessage)]
    pub(crate) message: Message,
    /// When it was met first.
    pub(crate) since: Time,
    /// When it was met last.
    pub(crate) seen_at: Time,
    /// How many pages had met it when the last tick was planned.
    pub(crate) pages: u64,
}

/// Where an item is, on its way to each webhook.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ItemStates {
    /// Its id.
    #[schema(value_type = values::ItemId)]
    pub(crate) id: ItemId,
    /// Its account.
    #[schema(value_type = values::AccountId)]
    pub(crate) account: AccountId,
    /// Null where nothing that is stored tells it.
    #[serde(rename = "type")]
    #[schema(value_type = Option<values::ItemType>, required)]
    pub(crate) item_type: Option<ItemType>,
    /// Null where nothing that is stored tells it.
    #[schema(value_type = Option<values::Source>, required)]
    pub(crate) source: Option<String>,
    /// When it was accepted, by its row or its id; of a collected item, when it was queued. Null where only an
    /// attempt tells of it.
    #[schema(required)]
    pub(crate) accepted_at: Option<Time>,
    /// Of a collected item.
    #[schema(required)]
    pub(crate) collected: Option<CollectedAs>,
    /// The webhooks that have rows or attempts of it, and those that are there since before its acceptance and take
    /// its type and, as far as that is known, its source.
    pub(crate) webhooks: Vec<ItemAtWebhook>,
}

/// Where a collected item came from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CollectedAs {
    /// The page.
    #[schema(value_type = values::PageId)]
    pub(crate) page: PageId,
    /// When it was stored first.
    pub(crate) received_at: Time,
    /// When it was queued for every webhook that takes it.
    pub(crate) handed_on_at: Time,
}

/// Where an item is, on its way to one webhook.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ItemAtWebhook {
    /// The webhook.
    #[schema(value_type = values::WebhookId)]
    pub(crate) webhook: WebhookId,
    /// Its URL, without the values of its query; null where it was deleted.
    #[schema(required)]
    pub(crate) url: Option<String>,
    /// `delivered`: the log has its success. `queued`: it waits in the queue for an attempt. `held`, `dead`,
    /// `dropped`: see `why`. `no_failure_stored`: nothing that happened since is stored, so it was delivered, or is
    /// still in the queue; a webhook with `"log": "all"` tells the two apart.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(ItemState::ALL)))))]
    pub(crate) state: ItemState,
    /// Why it is held, dead or dropped. `discarded`: its type was blocked, and the webhook discards. `not_taken`: the
    /// webhook does not take its type or source any more.
    #[schema(required, extensions(("x-schema" = json!(reasons()))))]
    pub(crate) why: Option<&'static str>,
    /// The state in words.
    #[schema(value_type = values::AttemptMessage)]
    pub(crate) message: Message,
    /// When it was delivered, died or was dropped.
    #[schema(required)]
    pub(crate) since: Option<Time>,
    /// When it is attempted next, where that is known.
    #[schema(required)]
    pub(crate) next_at: Option<Time>,
    /// The number of its next attempt, or, where it is dead, the one that the dead items show.
    #[schema(required, minimum = 1)]
    pub(crate) attempt: Option<u32>,
    /// The end of the block behind which it is held.
    #[schema(required)]
    pub(crate) blocked_until: Option<Time>,
    /// The queue of its next attempt, as the webhook is now; null where it was deleted.
    #[schema(required, extensions(("x-schema" = json!(one_of_or_null(["usual", "slow"])))))]
    pub(crate) lane: Option<&'static str>,
    /// The failure after which it is held or dead.
    #[schema(value_type = Option<values::LastError>, required)]
    pub(crate) last_error: Option<ToldError>,
    /// The last attempt of it that was found in the log.
    #[schema(required)]
    pub(crate) last_attempt: Option<Attempt>,
    /// How much of the webhook's log was read: all since the item's acceptance; its ends alone, because it is long;
    /// or nothing, because a row says where the item is, the webhook logs nothing, or other logs were read first.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(LogRead::ALL)))))]
    pub(crate) log_read: LogRead,
}

/// The schema of why an item is held, dead or dropped.
fn reasons() -> Value {
    let held = HeldFor::ALL.map(HeldFor::as_str);
    let dead = DeathCause::ALL.map(DeathCause::as_str);
    let reasons = held.into_iter().chain(dead).map(Value::from);
    one_of_or_null(reasons.chain(DropCause::ALL.map(|cause| values::value(&cause))))
}

/// A webhook, or an item type of one, with which something is wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Unhealthy {
    /// The webhook's account.
    #[schema(value_type = values::AccountId)]
    pub(crate) account: AccountId,
    /// The webhook.
    #[schema(value_type = values::WebhookId)]
    pub(crate) webhook: WebhookId,
    /// Its URL, without the values of its query.
    pub(crate) url: String,
    /// The item type; null where the webhook is disabled as a whole.
    #[serde(rename = "type")]
    #[schema(value_type = Option<values::ItemType>, required)]
    pub(crate) item_type: Option<ItemType>,
    /// `blocked`: nothing of the type is sent. `failing`: the last attempts of it failed. `disabled`: the webhook is.
    /// `dead`: items of the type are dead.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(unhealthy::Trouble::ALL)))))]
    pub(crate) state: unhealthy::Trouble,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// How many of them block; null where the state is of another kind.
    #[schema(required, minimum = 1)]
    pub(crate) threshold: Option<u32>,
    /// When the block began.
    #[schema(required)]
    pub(crate) blocked_at: Option<Time>,
    /// When it ends.
    #[schema(required)]
    pub(crate) blocked_until: Option<Time>,
    /// Who disabled the webhook: its owner, or a 410.
    #[schema(
        value_type = Option<String>,
        required,
        extensions(("x-schema" = json!(one_of_or_null([DisabledBy::Owner, DisabledBy::Gone])))),
    )]
    pub(crate) disabled_by: Option<DisabledBy>,
    /// The last failure.
    #[schema(value_type = Option<values::LastError>, required)]
    pub(crate) last_error: Option<ToldError>,
    /// Where the state is `dead`: how many items of the type are, counted up to 1000.
    #[schema(extensions(("x-schema" = json!({"maximum": EXACT}))))]
    pub(crate) dead: usize,
}

/// An item that waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HeldItem {
    /// The item's id: the `webhook-id` of its attempts.
    #[schema(value_type = values::ItemId)]
    pub(crate) id: ItemId,
    /// Its item type.
    #[serde(rename = "type")]
    #[schema(value_type = values::ItemType)]
    pub(crate) item_type: ItemType,
    /// Where it came from.
    #[schema(value_type = values::Source)]
    pub(crate) source: String,
    /// When it was accepted.
    pub(crate) accepted_at: Time,
    /// The number of its next attempt.
    #[schema(minimum = 1)]
    pub(crate) attempt: u32,
    /// The item's size.
    pub(crate) bytes: usize,
    /// The item itself, as text; there where `items=true` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(crate) item: Option<String>,
    /// `retry`: its next attempt is more than 15 minutes away. `disabled`: its webhook is. `blocked`: its type is
    /// blocked, or was and its release is still to come. `replay`: it was dead, and is to be sent again.
    #[schema(extensions(("x-schema" = json!(one_of(HeldFor::ALL.map(HeldFor::as_str))))))]
    pub(crate) held_for: &'static str,
    /// When it comes due; null while it waits for its release.
    #[schema(required)]
    pub(crate) due_at: Option<Time>,
    /// The failure that led here; null where no attempt did.
    #[schema(value_type = Option<values::LastError>, required)]
    pub(crate) last_error: Option<ToldError>,
}

/// An item that will not be attempted again by itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DeadItem {
    /// The item's id: the `webhook-id` of its attempts.
    #[schema(value_type = values::ItemId)]
    pub(crate) id: ItemId,
    /// Its item type.
    #[serde(rename = "type")]
    #[schema(value_type = values::ItemType)]
    pub(crate) item_type: ItemType,
    /// Where it came from.
    #[schema(value_type = values::Source)]
    pub(crate) source: String,
    /// When it was accepted.
    pub(crate) accepted_at: Time,
    /// The number of the last attempt; or, where it died waiting, of the one that was next.
    #[schema(minimum = 1)]
    pub(crate) attempt: u32,
    /// The item's size.
    pub(crate) bytes: usize,
    /// The item itself, as text; there where `items=true` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub(crate) item: Option<String>,
    /// `exhausted`: every attempt failed. `retention_over`: it waited as long as an item is held at most.
    /// `dead_letter`: the queue handed it out again and again without a result.
    #[schema(extensions(("x-schema" = json!(one_of(DeathCause::ALL.map(DeathCause::as_str))))))]
    pub(crate) cause: &'static str,
    /// When it died.
    pub(crate) died_at: Time,
    /// The failure that led here; null where no attempt did.
    #[schema(value_type = Option<values::LastError>, required)]
    pub(crate) last_error: Option<ToldError>,
}

/// An attempt that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// The item: the `webhook-id` that was sent.
    #[schema(value_type = values::ItemId)]
    pub(crate) item: ItemId,
    /// The item's type.
    #[serde(rename = "type")]
    #[schema(value_type = values::ItemType)]
    pub(crate) item_type: ItemType,
    /// The number of the attempt: `carteiro-attempt`.
    #[schema(minimum = 1)]
    pub(crate) attempt: u32,
    /// When it ended.
    pub(crate) at: Time,
    /// `success`: a 2xx whose response arrived whole within the deadline. `failure`: anything else.
    #[schema(extensions(("x-schema" = json!(one_of(["success", "failure"])))))]
    pub(crate) outcome: &'static str,
    /// Why it failed; null after a success.
    #[schema(value_type = Option<values::FailureKind>, required)]
    pub(crate) error: Option<FailureKind>,
    /// The HTTP status that the URL answered; null where none arrived.
    #[schema(required, extensions(("x-schema" = json!({"minimum": 100, "maximum": 999}))))]
    pub(crate) status: Option<u16>,
    /// Why it failed, more closely; null where no more is known, and after a success.
    #[schema(value_type = Option<values::Cause>, required)]
    pub(crate) cause: Option<Cause>,
    /// Why it failed, in words; null after a success.
    #[schema(value_type = Option<values::AttemptMessage>, required)]
    pub(crate) message: Option<Message>,
    /// How long it took, in milliseconds.
    pub(crate) latency_ms: u64,
    /// The beginning of a failure's response, as text; what is no text became U+FFFD, and credentials that it repeats
    /// became `…`. Null where there was none, and after a success.
    #[schema(required, extensions(("x-schema" = json!({"x-max-bytes": MAX_EXCERPT_BYTES}))))]
    pub(crate) response_body: Option<String>,
    /// Some of the response's headers.
    #[schema(value_type = values::ResponseHeaders)]
    pub(crate) response_headers: BTreeMap<String, String>,
    /// The webhook's revision that was attempted.
    #[schema(minimum = 1)]
    pub(crate) revision: u64,
    /// Whether the attempt was one of a release, and of its first step, whose failures use up nothing of an item's
    /// schedule.
    #[schema(
        value_type = Option<String>,
        required,
        extensions(("x-schema" = json!(one_of_or_null([ReleaseStep::First, ReleaseStep::Later])))),
    )]
    pub(crate) release_step: Option<ReleaseStep>,
    /// The replay that the item belonged to.
    #[schema(value_type = Option<values::ReplayId>, required)]
    pub(crate) replay: Option<ReplayId>,
    /// What became of the item. `retry`: it is attempted again at `next_at`. `held`: it waits for its release.
    /// `dropped`: its network does not let it be kept any more. `unsettled`: what came of the attempt could not be
    /// stored, and the queue hands the item out again.
    #[schema(value_type = String, extensions(("x-schema" = json!(one_of(ItemFate::ALL)))))]
    pub(crate) became: ItemFate,
    /// When it was to be attempted again; null where there is no such time.
    #[schema(required)]
    pub(crate) next_at: Option<Time>,
}

/// A replay, and how far it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Replay {
    /// Its id.
    #[schema(value_type = values::ReplayId)]
    pub(crate) id: ReplayId,
    /// `running`: dead items are being put on their way. `releasing`: all are, and some have not ended. `done`: by
    /// the counts, every one has arrived, died again or been dropped. An item that arrived twice may be counted
    /// twice, so that `done` is early; what waits is at `/held`.
    #[schema(extensions(("x-schema" = json!(one_of(Phase::ALL.map(Phase::as_str))))))]
    pub(crate) state: &'static str,
    /// The one item that was asked for, or null.
    #[schema(value_type = Option<values::ItemId>, required)]
    pub(crate) item: Option<ItemId>,
    /// The item type.
    #[serde(rename = "type")]
    #[schema(value_type = values::ItemType)]
    pub(crate) item_type: ItemType,
    /// As it was asked for.
    #[schema(required)]
    pub(crate) from: Option<Time>,
    /// As it was asked for.
    #[schema(required)]
    pub(crate) to: Option<Time>,
    /// Dead items that were found so far, or held ones where one item was asked for.
    pub(crate) found: u64,
    /// Those of them that were put on their way. One that waits already is left: a dead one that is held too, or a
    /// held one that waits for its release or belongs to another replay, which counts it.
    pub(crate) taken: u64,
    /// Those of them that have not ended, by the counts: too few where one was counted twice.
    pub(crate) pending: u64,
    /// Those that arrived.
    pub(crate) delivered: u64,
    /// Those that died again.
    pub(crate) dead: u64,
    /// Those that were dropped: their type was blocked and the webhook discards what is, or their owner cancelled
    /// them.
    pub(crate) dropped: u64,
    /// When it was asked for.
    pub(crate) created_at: Time,
    /// When all were on their way.
    #[schema(required)]
    pub(crate) taken_at: Option<Time>,
    /// When the last of them ended, once it is `done`.
    #[schema(required)]
    pub(crate) finished_at: Option<Time>,
}

/// What one attempt came to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TestResult {
    /// The webhook that was tested.
    #[schema(value_type = values::WebhookId)]
    pub(crate) webhook_id: WebhookId,
    /// The item that was sent: the `webhook-id` header of the request.
    #[schema(value_type = values::ItemId)]
    pub(crate) item: ItemId,
    /// `success`: a 2xx whose response arrived whole within the deadline. `failure`: anything else.
    #[schema(extensions(("x-schema" = json!(one_of(["success", "failure"])))))]
    pub(crate) outcome: &'static str,
    /// Why it failed; null after a success.
    #[schema(value_type = Option<values::FailureKind>, required)]
    pub(crate) error: Option<FailureKind>,
    /// The HTTP status that the URL answered; null where none arrived.
    #[schema(required, extensions(("x-schema" = json!({"minimum": 100, "maximum": 999}))))]
    pub(crate) status: Option<u16>,
    /// Why it failed, more closely; null where no more is known, and after a success.
    #[schema(value_type = Option<values::Cause>, required)]
    pub(crate) cause: Option<Cause>,
    /// Why it failed, in words; null after a success.
    #[schema(value_type = Option<values::AttemptMessage>, required)]
    pub(crate) message: Option<Message>,
    /// How long the attempt took, in milliseconds, name resolution and connecting included.
    pub(crate) latency_ms: u64,
    /// The beginning of the response's body, up to 4096 bytes, bytes that are no text replaced, credentials that it
    /// repeats masked; empty where there was none.
    pub(crate) response_body: String,
    /// Some of the response's headers.
    #[schema(value_type = values::ResponseHeaders)]
    pub(crate) response_headers: BTreeMap<String, String>,
}
