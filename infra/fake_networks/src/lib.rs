//! Servers that stand in for the networks' APIs: paging, limits, error bodies, tokens that die, and a clock.
//!
//! They are written from the networks' documentation and from captured answers, and not from what Carteiro reads of
//! them, so that they are a witness of their own: nothing of the crate that asks networks is used here.
//!
//! One port serves all of them, each below its name (`/facebook/v27.0/me`); below `…/token` is the address where a
//! network deals with its tokens. What is there is told by [`Networks`], in the process, or over HTTP below `/control/`
//! (see the module `control`): pages are connected, people publish, tokens die, calls fail, and all calls are recorded.
//!
//! # What is guaranteed
//! A token that was not connected is refused as the network refuses one it never gave out. Times are the [`Clock`]'s
//! alone, so that a test that moves it moves expiries, limits and what is published later with it. A walk through a
//! list by its cursors meets each element once that was there all the time. Nothing is written or logged with a token.
//!
//! # What is not
//! Nothing outlives the process. Of what is not documented (the order of some lists, the wording of some errors) one
//! likely form is chosen; the modules of the networks say where.

mod api;
mod assertion;
mod call;
mod control;
mod facebook;
mod fault;
mod google;
mod googleplay;
mod graph;
mod hub;
mod instagram;
mod limit;
mod linkedin;
mod listing;
mod request;
mod server;
mod ses;
mod shelf;
mod thing;
mod token;
mod x;
mod youtube;

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carteiro_clock::Clock;
use carteiro_networks::network::Network;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use call::Call;
pub use fault::{Fault, Planned};
pub use limit::{LimitOf, Usage};
pub use ses::{Mail, MailFault};
pub use thing::{Author, Kind, Published, Thing};
pub use token::{Connection, Login, TokenState};

use limit::Used;
use ses::Mails;
use shelf::Shelf;
use token::Role;

/// Why something could not be done on a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// Only what was connected has anything.
    #[error("no page {0} is connected")]
    NoSuchPage(String),
    /// There never was such a thing, or it is gone.
    #[error("there is no {0}")]
    NoSuchThing(String),
    /// No such token was given out.
    #[error("no such token was given out")]
    NoSuchToken,
    /// What is on something needs to say on what.
    #[error("a {0:?} is on something")]
    NoParent(Kind),
    /// The network has no such things.
    #[error("{network} has no {kind:?}")]
    NotOfThisNetwork {
        /// Which network.
        network: Network,
        /// What it does not have.
        kind: Kind,
    },
    /// Ids are given once.
    #[error("there is a {0} already")]
    Taken(String),
}

/// What the server and the handle share.
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    mails: Mutex<Mails>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mails(&self) -> MutexGuard<'_, Mails> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    shelves: Vec<Shelf>,
    calls: u64,
}

impl State {
    fn shelf(&mut self, network: Network) -> &mut Shelf {
        let at = Network::ALL.iter().position(|known| *known == network).unwrap_or_default();
        // One for each of them is made at the start.
        &mut self.shelves[at]
    }
}

/// The running stand-ins. They stop when this is dropped; [`Networks::stop`] also waits until they have.
pub struct Networks {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Networks {
    /// Serves on `listener`, inside the current Tokio runtime, on this clock.
    ///
    /// # Errors
    /// When the listener's address cannot be read.
    pub fn start(listener: TcpListener, clock: Clock) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let url = format!("http://{address}");
        let shelves =
            Network::ALL.iter().map(|network| Shelf::new(*network, api::of(*network), &url)).collect();
        let shared = Arc::new(Shared {
            clock,
            state: Mutex::new(State { shelves, calls: 0 }),
            mails: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared), stopped));
        Ok(Self { shared, address, stop, server: Mutex::new(Some(server)) })
    }

    /// Where they listen, as a URL without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The template's parameters for the networks' addresses, pointing here.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let address = |(name, path): &(&'static str, &str)| (*name, format!("{}{path}", self.url()));
        ADDRESSES.iter().map(address).collect()
    }

    /// Connects a page with an access token that does not end. Another token for the same page is one more of it.
    pub fn connect(&self, network: Network, page: &str, token: &str) {
        self.connect_with(network, Connection::new(page, token));
    }

    /// Connects a page.
    pub fn connect_with(&self, network: Network, connection: Connection) {
        self.on(network, |shelf, now_ms| shelf.connect(connection, now_ms));
    }

    /// Gives out the key of a service account that may read an app's reviews: Google's JSON, with an RSA key of the
    /// tests' own. [`Networks::token`] takes its address (`client_email`) for a token, so that it can be revoked.
    #[must_use]
    pub fn service_account(&self, page: &str) -> String {
        self.on(Network::GooglePlay, |shelf, now_ms| shelf.service_account(page, now_ms))
    }

    /// Publishes on a page, and answers the id.
    ///
    /// # Errors
    /// When the page is not connected, the network has no such things, or what it is on is not there.
    pub fn publish(&self, network: Network, page: &str, thing: Thing) -> Result<String, NotDone> {
        self.on(network, |shelf, now_ms| shelf.publish(page, thing, now_ms))
    }

    /// Gives a thing another text, now, and answers its id, which on X is another from then on.
    ///
    /// # Errors
    /// When it is not there.
    pub fn edit(&self, network: Network, id: &str, text: &str) -> Result<String, NotDone> {
        self.on(network, |shelf, now_ms| shelf.edit(id, text, now_ms))
    }

    /// Removes a thing, now, and (but on X) what is on it: it is listed no more, and gone for who asks by its id.
    ///
    /// # Errors
    /// When there never was such a thing.
    pub fn remove(&self, network: Network, id: &str) -> Result<(), NotDone> {
        self.on(network, |shelf, now_ms| shelf.remove(id, now_ms))
    }

    /// All that was published on a page, what was removed and what is of the future too, in the order of publication.
    #[must_use]
    pub fn things(&self, network: Network, page: &str) -> Vec<Published> {
        self.on(network, |shelf, _| shelf.all_of(page).cloned().collect())
    }

    /// Makes an access or refresh token what it is from now on.
    ///
    /// # Errors
    /// When no such token was given out.
    pub fn token(&self, network: Network, token: &str, state: TokenState) -> Result<(), NotDone> {
        self.on(network, |shelf, _| shelf.tokens.set(token, state).then_some(()).ok_or(NotDone::NoSuchToken))
    }

    /// Makes all of a page's tokens this, and answers how many they are.
    pub fn tokens_of(&self, network: Network, page: &str, state: &TokenState) -> usize {
        self.on(network, |shelf, _| shelf.tokens.set_of_page(page, state))
    }

    /// The newest good access token of a page, if there is one.
    #[must_use]
    pub fn access_token(&self, network: Network, page: &str) -> Option<String> {
        self.on(network, |shelf, now_ms| shelf.tokens.newest_of(page, Role::Access, now_ms))
    }

    /// The newest good refresh token of a page, if there is one.
    #[must_use]
    pub fn refresh_token(&self, network: Network, page: &str) -> Option<String> {
        self.on(network, |shelf, now_ms| shelf.tokens.newest_of(page, Role::Refresh, now_ms))
    }

    /// Every token that was ever connected or given out, and of a service account its private key, line by line, and
    /// what was signed with it: what must be found in no log, item or answer.
    #[must_use]
    pub fn secrets(&self, network: Network) -> Vec<String> {
        self.on(network, |shelf, _| shelf.secrets())
    }

    /// Names an app, with its secret, that may ask for tokens, or inspect them. Until one is named, any may.
    pub fn client(&self, network: Network, id: &str, secret: &str) {
        self.on(network, |shelf, _| shelf.clients.push((id.to_owned(), secret.to_owned())));
    }

    /// Names the secret of the app that a network of Meta's gave its tokens to: from now on a wrong `appsecret_proof`
    /// is refused, and, where it is required, a call without one.
    pub fn app_secret(&self, network: Network, secret: &str, is_required: bool) {
        self.on(network, |shelf, _| shelf.app_secret = Some((secret.to_owned(), is_required)));
    }

    /// Plans that something goes wrong.
    pub fn fault(&self, network: Network, fault: impl Into<Planned>) {
        self.on(network, |shelf, now_ms| shelf.faults.plan(fault.into(), now_ms));
    }

    /// Lifts all faults that were planned. A limit that was said to be spent stays spent.
    pub fn lift_faults(&self, network: Network) {
        self.on(network, |shelf, _| shelf.faults.lift());
    }

    /// Limits the elements of one answer, however many are asked for; at least one.
    pub fn cap_pages(&self, network: Network, most: impl Into<Option<usize>>) {
        self.on(network, |shelf, _| shelf.cap = most.into());
    }

    /// Limits the elements of one answer to calls of a kind, on YouTube and Google Play: YouTube answers 20 threads
    /// where 100 are asked for. Kinds are those of [`Call::kind`].
    pub fn cap_pages_of(&self, network: Network, kind: &str, most: usize) {
        self.on(network, |shelf, _| shelf.caps.insert(kind.to_owned(), most));
    }

    /// Makes lists show things of a kind, or (None) of all kinds that are not named, this long after their own time. It
    /// holds for what is published from now on; by its id a thing is there at once.
    pub fn list_late(&self, network: Network, kind: impl Into<Option<Kind>>, late: Duration) {
        let late_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        self.on(network, |shelf, _| shelf.late.insert(kind.into(), late_ms));
    }

    /// How much of Meta's limits is used: of a page, or (None) of the app. It holds until the usage's minutes are over.
    pub fn usage(&self, network: Network, page: Option<&str>, usage: Usage) {
        self.on(network, |shelf, now_ms| {
            let until_ms = now_ms + usage.regain_minutes * 60_000;
            let used = Used { usage, until_ms, told: false };
            shelf.usage.insert(page.unwrap_or_default().to_owned(), used);
        });
    }

    /// Limits the calls of a kind in a window to another number than the network's. Kinds are those of
    /// [`Call::kind`]; a network that counts all calls alike has the empty one.
    pub fn limit(&self, network: Network, of: LimitOf, kind: &str, most: u64) {
        self.on(network, |shelf, _| shelf.limits.insert((of, kind.to_owned()), most));
    }

    /// All calls, in the order of arrival.
    #[must_use]
    pub fn calls(&self, network: Network) -> Vec<Call> {
        self.on(network, |shelf, _| shelf.calls.clone())
    }

    /// Forgets the calls so far; numbers go on.
    pub fn forget_calls(&self, network: Network) {
        self.on(network, |shelf, _| shelf.calls.clear());
    }

    /// How many calls came although a limit was spent, or the network had said to wait.
    #[must_use]
    pub fn over_limit(&self, network: Network) -> usize {
        self.on(network, |shelf, _| shelf.calls.iter().filter(|call| call.over_limit).count())
    }

    /// How many calls came with a token that the network had refused before.
    #[must_use]
    pub fn with_dead_tokens(&self, network: Network) -> usize {
        self.on(network, |shelf, _| shelf.calls.iter().filter(|call| call.dead_token).count())
    }

    /// Pushes a thing as it is now, or that it was removed, to everybody who subscribed to its page: YouTube's hub and
    /// LinkedIn do. LinkedIn signs with the app's secret, a hub with the subscription's. Answers the statuses.
    ///
    /// # Errors
    /// When there never was such a thing.
    pub async fn push(&self, network: Network, id: &str, app_secret: &str) -> Result<Vec<u16>, NotDone> {
        let pushes = self.on(network, |shelf, now_ms| hub::pushes(shelf, id, app_secret, now_ms))?;
        let mut statuses = Vec::new();
        for push in pushes {
            statuses.push(hub::send(push).await);
        }
        Ok(statuses)
    }

    /// The addresses that pushes of a page go to, as they were subscribed to.
    #[must_use]
    pub fn subscribed(&self, network: Network, page: &str) -> Vec<String> {
        self.on(network, |shelf, now_ms| {
            let live = shelf.subscriptions.iter().filter(|one| one.page == page && one.ends_ms > now_ms);
            live.map(|one| one.callback.clone()).collect()
        })
    }

    /// The e-mails that SES would have sent, in the order of their arrival.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.shared.mails().sent()
    }

    /// Plans what becomes of the next e-mails, one fault each.
    pub fn fail_mails(&self, faults: impl IntoIterator<Item = MailFault>) {
        self.shared.mails().plan(faults);
    }

    /// Stops listening, closes every connection, and returns when that is done.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            // A panic of the server is shown by the runtime; there is nothing left to stop.
            _ = server.await;
        }
    }

    fn on<T>(&self, network: Network, act: impl FnOnce(&mut Shelf, u64) -> T) -> T {
        let now_ms = self.shared.clock.now_ms();
        act(self.shared.state().shelf(network), now_ms)
    }
}

/// Every parameter of the template that is an address of a network's API, tokens or hub, or of Amazon SES, with the
/// path of its stand-in.
pub const ADDRESSES: [(&str, &str); 14] = [
    ("FacebookBaseUrl", "/facebook"),
    ("FacebookTokenUrl", "/facebook/token"),
    ("InstagramBaseUrl", "/instagram"),
    ("InstagramTokenUrl", "/instagram/token"),
    ("XBaseUrl", "/x"),
    ("XTokenUrl", "/x/token"),
    ("YoutubeBaseUrl", "/youtube"),
    ("YoutubeTokenUrl", "/youtube/token"),
    ("YoutubeHubUrl", "/youtube/hub"),
    ("GooglePlayBaseUrl", "/googleplay"),
    ("GooglePlayTokenUrl", "/googleplay/token"),
    ("LinkedinBaseUrl", "/linkedin"),
    ("LinkedinTokenUrl", "/linkedin/token"),
    ("SesBaseUrl", "/ses"),
];

/// A number that is the same for the same value, in this process and another of the same program.
fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// A time of the clock's.
fn timestamp(ms: u64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)).unwrap_or(jiff::Timestamp::MAX)
}
