//! What one network is to the parts that all networks share: its values, and functions of its own.
//!
//! Each network's folder declares one [`NetworkSpec`]; [`Network::spec`] finds it. The shared parts read it and never
//! ask which network it is.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;

use crate::collected::Kind;
use crate::coverage::Coverage;
use crate::inbox::{Event, Reading, Update, Wanted};
use crate::network::{Network, NetworkId};
use crate::page::{AccessToken, Login};
use crate::poll::budget::{IdleCost, Limit};
use crate::poll::refresh::{Fresh, GrantType, Renewal};
use crate::poll::settings::ApiSettings;
use crate::poll::{
    Begun, Endpoint, NetworkRequest, NetworkResponse, ParsedResponse, Start, TokenInspection, Verdict,
};
use crate::push::signature::{AppSecret, ChallengeError};
use crate::push::subscription::SubscriptionSpec;
use crate::storage_limit::StorageTerm;

/// A network, as the shared parts see it.
#[derive(Debug)]
pub struct NetworkSpec {
    /// Its name in paths, tables, items and settings.
    pub name: &'static str,
    /// Its name as people write it.
    pub title: &'static str,
    /// The beginning of the environment variables of its addresses, `…_BASE_URL` and `…_TOKEN_URL`.
    pub environment: &'static str,
    /// How its pushes are checked and split; none where it pushes nothing to us.
    pub push: Option<&'static PushSpec>,
    /// Reads what an event says; none where the event has no form that the network is known to use.
    pub read: fn(&Event, &NetworkId) -> Option<Reading>,
    /// How its API is called where the deployment sets nothing else.
    pub api: ApiSettings,
    /// When a version of its API ends, by the version's name; none where no rule is known.
    pub version_ends: Option<fn(&str) -> Option<Timestamp>>,
    /// The page sizes that a deployment may set.
    pub page_sizes: RangeInclusive<u32>,
    /// Begins the collection of a page.
    pub collect: fn(Start<'_>) -> Begun,
    /// Its limits on calls; none where its answers say how much is used.
    pub limits: &'static [Limit],
    /// The header in which it names the end of a limit, where each of its limits is of one operation. A limit of ours
    /// that is used up is then told to the collector as the network tells it, so that it goes on with other operations.
    pub limit_header: Option<&'static str>,
    /// What a page takes of the limits when little happens; none where the network has no limits in numbers.
    pub idle_cost: Option<IdleCost>,
    /// The calls that a page has when it is polled out of turn: what a tick takes when little happens, and some more.
    pub least_calls: u32,
    /// The permission that it takes to list the ads of an ad account that a page names; None where pages name none.
    pub ads: Option<&'static str>,
    /// How a push that carries only ids is completed; None for a network without such pushes.
    pub completion: Option<&'static CompletionSpec>,
    /// Its tokens.
    pub token: TokenSpec,
    /// The storage term of its data; None where no rule is known.
    pub storage: Option<StorageTerm>,
    /// How a kind of item is obtained, by push and by polling; None for a kind that the network does not have.
    pub coverage: fn(Kind) -> Option<Coverage>,
}

/// How a network's pushes are checked and split.
#[derive(Debug)]
pub struct PushSpec {
    /// The environment variable of the secrets that its pushes are signed with.
    pub secrets: &'static str,
    /// The header of the signature.
    pub signature_header: &'static str,
    /// Whether a signature of a body was made with one of the secrets.
    pub is_genuine: fn(&[AppSecret], &str, &[u8]) -> bool,
    /// How a push without a valid signature is answered.
    pub unsigned: Unsigned,
    /// The parameter that names the page in the query, where each page's pushes come to an
    /// [address](crate::push::address) of its own, signed with a secret of its own. None where one address takes all.
    pub page_parameter: Option<&'static str>,
    /// The environment variable of the secrets that its check of our address is answered with.
    pub challenge_secrets: &'static str,
    /// Answers its check of our address, by the secrets and the parameters of its query.
    pub challenge: fn(&[AppSecret], Query<'_>) -> Result<ChallengeAnswer, ChallengeError>,
    /// Splits a body into updates; none where it has no known form.
    pub split: fn(Network, &[u8]) -> Option<Vec<Update>>,
    /// How the collector subscribes to a page's pushes; None where a person does so at the network.
    pub subscription: Option<&'static SubscriptionSpec>,
}

/// How a push without a valid signature is answered. Nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// With 401.
    Refused,
    /// With 200, as if it had been taken: WebSub asks for that (W3C, "WebSub", section 8).
    Ignored,
}

/// The parameters of a query, by name.
pub type Query<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// The answer to a network's check of our address.
#[derive(Debug)]
pub struct ChallengeAnswer {
    /// Its media type.
    pub content_type: &'static str,
    /// Its body.
    pub body: String,
    /// The condition on which it is given, else 404. None where the query alone decides.
    pub only_if: Option<PageIs>,
}

/// A condition on a page of the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageIs {
    /// Somebody has connected it.
    Connected(NetworkId),
    /// Nobody has.
    NotConnected(NetworkId),
}

impl ChallengeAnswer {
    /// An answer that the query alone decides.
    #[must_use]
    pub fn new(content_type: &'static str, body: String) -> Self {
        Self { content_type, body, only_if: None }
    }
}

/// How a push that carries only ids is completed.
#[derive(Debug)]
pub struct CompletionSpec {
    /// The request for it.
    pub request: fn(&Wanted, &NetworkId, &ApiSettings) -> NetworkRequest,
    /// Reads the response: one event, or none with [`Verdict::Fine`] where there is nothing to tell.
    pub read: fn(&Wanted, &NetworkResponse<'_>, &ApiSettings, Timestamp) -> ParsedResponse,
    /// Whether the event takes the place of the one that was pushed, under that one's key. Else it is stored under its
    /// own, which is that of the same thing in a list.
    pub keeps_key: bool,
}

/// A network's tokens: how they are renewed, inspected and sent.
#[derive(Debug)]
pub struct TokenSpec {
    /// Whether the key of a service account is taken in an access token's place.
    pub takes_service_account_key: bool,
    /// How an access token is renewed; none where it is not.
    pub grant: fn(&AccessToken, Option<Login>) -> Option<GrantType>,
    /// The requests of OAuth that renew one.
    pub renewals: &'static [Renewal],
    /// How an access token renews itself, for [`GrantType::AccessToken`].
    pub self_renewal: Option<&'static SelfRenewal>,
    /// How long before its end an access token is renewed: where it lasts an hour or two, longer than a run takes;
    /// where it lasts months, a week, for a renewal that fails then leaves time to tell its owner.
    pub renew_ahead: Duration,
    /// The beginning of the environment variables of the app that renews them, `…_CLIENT_ID` and `…_CLIENT_SECRET`.
    pub app: Option<&'static str>,
    /// How the network is asked what a token is; none where it cannot be.
    pub inspection: Option<&'static InspectionSpec>,
    /// Which address a request with a token goes to, where that is not the network's own.
    pub route: Option<Route>,
    /// The ways of connecting a page that its owner may name, where the token does not tell them apart.
    pub logins: &'static [Login],
    /// How a call proves that it comes from the token's app; none where the network takes no such proof.
    pub proof: Option<&'static ProofSpec>,
}

/// How a call proves that it comes from the app that its token was given to.
#[derive(Debug)]
pub struct ProofSpec {
    /// The environment variable of the apps' secrets.
    pub secrets: &'static str,
    /// The parameter of the query.
    pub parameter: &'static str,
    /// Whether a call carries a proof from the first one on, and not only where the network asks for it.
    pub is_sent_first: fn(&AccessToken, Option<Login>) -> bool,
    /// The proof of a token by a secret.
    pub of: fn(&AppSecret, &AccessToken) -> Option<AccessToken>,
    /// What a response says of the proof.
    pub read: fn(&NetworkResponse<'_>) -> ProofReply,
}

/// What a response says of a call's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofReply {
    /// Nothing is wrong with it.
    Accepted,
    /// The proof is wrong: it is of another app than the token.
    Refused,
    /// The token's app requires a proof, and the call has none.
    Required,
}

/// The network and the address that a request with a token goes to, given how its owner says that the page was
/// connected.
pub type Route = fn(&AccessToken, Option<Login>, Endpoint) -> (Network, Endpoint);

/// How an access token renews itself.
#[derive(Debug)]
pub struct SelfRenewal {
    /// Whether a token that was given at a time, and ends at another, is to be renewed now.
    pub is_due: fn(Timestamp, Option<Timestamp>, Timestamp) -> bool,
    /// The request.
    pub request: fn() -> NetworkRequest,
    /// Reads the response: the new token, or what came instead.
    pub read: fn(&NetworkResponse<'_>, &ApiSettings, Timestamp) -> Result<Fresh, Verdict>,
}

/// How a network is asked what a token is.
#[derive(Debug)]
pub struct InspectionSpec {
    /// The permissions that collecting needs; none where a token of this form cannot be inspected.
    pub permissions: fn(&AccessToken, Option<Login>) -> Option<&'static [&'static str]>,
    /// The request.
    pub request: fn(&ApiSettings) -> NetworkRequest,
    /// Reads the response about a token of this page, which needs these permissions.
    pub read: ReadInspection,
}

/// Reads what a response says of a page's token, which needs these permissions.
pub type ReadInspection =
    fn(&NetworkResponse<'_>, (Network, &NetworkId), &[&str], &ApiSettings, Timestamp) -> TokenInspection;

/// How long before its end a token is renewed that lasts for months.
pub(crate) const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long before its end a token is renewed that lasts for an hour or two.
pub(crate) const FIVE_MINUTES: Duration = Duration::from_secs(300);

impl TokenSpec {
    /// Tokens that nothing renews.
    pub(crate) const NOT_RENEWED: Self = Self {
        takes_service_account_key: false,
        grant: |_, _| None,
        renewals: &[],
        self_renewal: None,
        renew_ahead: WEEK,
        app: None,
        inspection: None,
        route: None,
        logins: &[],
        proof: None,
    };

    /// Whether access tokens last for months, so that a failed renewal is tried again some hours later.
    #[must_use]
    pub fn is_long_lived(&self) -> bool {
        self.renew_ahead >= WEEK
    }
}
