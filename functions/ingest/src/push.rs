//! Pushes of networks: their check of our address, and their updates.
//!
//! A push is answered `200` only after everything in it is in the inbox. Any other push comes again, whole, and stores
//! the missing updates: every update has a key of its own, those too that stand in it twice and are two. Nothing of a
//! body is parsed before its signature was checked, and nothing of one is logged.
//!
//! The check of our address is answered from the environment alone, and no table is read for it; but that of a hub,
//! which asks whether a page's pushes are wanted, and waits longer.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use carteiro_adapters::error::AdapterError;
use carteiro_adapters::runtime::clock::InvocationClock;
use carteiro_adapters::runtime::http_api::{Failure, Request, answer, empty};
use carteiro_adapters::runtime::metrics;
use carteiro_adapters::tables::inbox::{Claim, Entry, EntryState, NewEntry, Stored};
use carteiro_adapters::tables::packed_event::PackedEvent;
use carteiro_adapters::tables::pages::ConnectedPage;
use carteiro_core::hop::Hop;
use carteiro_core::id::PageId;
use carteiro_core::metrics::Metric;
use carteiro_core::problem::Problem;
use carteiro_core::retention::after;
use carteiro_networks::freshness::{Counted, Due};
use carteiro_networks::inbox::{EntryKey, Reading, Shape, Update};
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::normalise;
use carteiro_networks::push::signature::ChallengeError;
use carteiro_networks::push::{MAX_PUSH_BYTES, address, split, split_of_page};
use carteiro_networks::spec::{PageIs, PushSpec, Unsigned};
use carteiro_networks::versions::Sighting;
use carteiro_services::dispatch::{DispatchSummary, RoutingCache};
use jiff::Timestamp;

use crate::bots;
use crate::context::{Ingest, Secrets};

/// Time that an answer and a late table call need. Nothing is begun in this last part.
const RESERVE: Duration = Duration::from_secs(3);

/// How long after its beginning a request begins to dispatch entries, because the network waits for the answer. A
/// dispatch that was begun is ended, or entries would be sent and not marked; a tick dispatches the others.
const IMMEDIATE_TIME: Duration = Duration::from_millis(500);

/// How long an entry that is dispatched at once belongs to the invocation that stored it: longer than that runs (29 s),
/// and than the reserve of dispatching (30 s).
const IMMEDIATE_LEASE: Duration = Duration::from_secs(45);

/// How many pages' counts are written for one push at most, and how long that may take: the network waits.
const MOST_COUNTED: usize = 8;
const COUNTING_TIME: Duration = Duration::from_secs(1);

/// In how many rounds owners are looked up. Messages have three candidates: their entry's id, their page's and a
/// person's.
const LOOKUP_ROUNDS: u8 = 3;

/// Answers a network's check of our address.
pub(crate) async fn challenge(
    ingest: &Ingest,
    (network, push): (Network, &PushSpec),
    request: &Request,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    let secrets = ingest.secrets.of(push.challenge_secrets, network)?;
    let answered = (push.challenge)(secrets, &|name| request.query(name)).map_err(|error| match error {
        ChallengeError::Malformed => Problem::bad_request(error.to_string()),
        ChallengeError::Refused => Problem::forbidden(error.to_string()),
        ChallengeError::Unwanted => Problem::not_found(error.to_string()),
    })?;
    if let Some(condition) = &answered.only_if
        && !holds(ingest, network, condition).await?
    {
        tracing::info!(network = network.as_str(), "push.not_wanted");
        return Err(Problem::not_found(ChallengeError::Unwanted.to_string()).into());
    }
    Ok(answer(200, answered.content_type, answered.body))
}

async fn holds(ingest: &Ingest, network: Network, condition: &PageIs) -> Result<bool, AdapterError> {
    let (page, is_connected) = match condition {
        PageIs::Connected(page) => (page, true),
        PageIs::NotConnected(page) => (page, false),
    };
    let found = ingest.dispatcher.config.find_pages(network, std::slice::from_ref(page)).await?;
    Ok(found.is_empty() != is_connected)
}

/// Takes a push: `200` once everything in it is in the inbox.
pub(crate) async fn receive(
    ingest: &Ingest,
    (network, push): (Network, &PushSpec),
    request: &Request,
    clock: InvocationClock,
) -> Result<ApiGatewayV2httpResponse, Failure> {
    let page = match check_signature(&ingest.secrets, (network, push), request)? {
        Checked::Genuine(page) => page,
        Checked::Ignored => return Ok(empty(200)),
    };
    let updates = match &page {
        Some(page) => split_of_page(network, page, &request.body),
        None => split(network, &request.body),
    };
    let hop = request.hop();
    if hop.is_at_limit() {
        tracing::warn!(intake = "push", source = network.as_str(), "loop.refused");
        return Err(bots::in_a_loop().into());
    }
    let taking = Taking { ingest, network, hop, clock, began_at: clock.now() };
    let left = clock.left().saturating_sub(RESERVE);
    let Ok(stored) = tokio::time::timeout(left, taking.store(updates)).await else {
        tracing::warn!(network = network.as_str(), "push.out_of_time");
        return Err(Problem::unavailable("not all of it is stored; send it again").into());
    };
    taking.dispatch(stored?).await;
    Ok(empty(200))
}

/// What the check of a signature came to.
enum Checked {
    /// It is the network's, and came to this page's own address, where pages have addresses of their own.
    Genuine(Option<NetworkId>),
    /// It is not, and the network is not to know.
    Ignored,
}

/// Nothing of the body is read before this.
fn check_signature(
    secrets: &Secrets,
    (network, push): (Network, &PushSpec),
    request: &Request,
) -> Result<Checked, Failure> {
    if request.body.len() > MAX_PUSH_BYTES {
        let most = MAX_PUSH_BYTES;
        return Err(Problem::too_large(format!("a push has at most {most} bytes")).into());
    }
    let (secrets, header) = (secrets.of(push.secrets, network)?, push.signature_header);
    let given = request.header(header);
    let page = address::page(push, &|name| request.query(name));
    // An address without its page has no secret that anything could be signed with.
    let secrets = match (push.page_parameter, &page) {
        (None, _) => Cow::Borrowed(secrets),
        (Some(_), page) => {
            let of = |page| address::secrets_of(secrets, network, page);
            Cow::Owned(page.as_ref().map(of).unwrap_or_default())
        }
    };
    if given.as_deref().is_some_and(|given| (push.is_genuine)(&secrets, given, &request.body)) {
        return Ok(Checked::Genuine(page));
    }
    tracing::warn!(
        network = network.as_str(),
        signed = given.is_some(),
        bytes = request.body.len(),
        "push.refused"
    );
    match push.unsigned {
        Unsigned::Refused => Err(Problem::unauthorized(format!("a valid {header} is needed")).into()),
        Unsigned::Ignored => Ok(Checked::Ignored),
    }
}

/// The taking of one push.
struct Taking<'a> {
    ingest: &'a Ingest,
    network: Network,
    /// How often the push has passed through Carteiro before.
    hop: Hop,
    clock: InvocationClock,
    began_at: Timestamp,
}

/// A push in the inbox.
struct InInbox {
    /// The entries to dispatch at once.
    immediate: Vec<Entry>,
    claim: Claim,
}

/// The owner of an update.
enum Whose<'a> {
    /// These pages, found by the owner's id.
    Pages(&'a NetworkId, &'a [ConnectedPage]),
    /// A page that nobody connected.
    NotConnected,
    /// Unknown, or a page that nobody connected where the form of the update is unknown as well.
    Unrecognised,
}

/// The connected pages of one of a network's pages.
type Routes = BTreeMap<(Network, NetworkId), Vec<ConnectedPage>>;

impl Taking<'_> {
    async fn store(&self, updates: Vec<Update>) -> Result<InInbox, AdapterError> {
        let received_at = self.clock.now();
        let claim = Claim::new(after(received_at, IMMEDIATE_LEASE))?;
        let routes = self.routes(&updates).await?;
        let (mut entries, mut of_update, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
        let (mut not_connected, mut unrecognised) = (0_usize, Vec::new());
        for (index, update) in updates.iter().enumerate() {
            match whose(update, &routes) {
                Whose::NotConnected => not_connected += 1,
                Whose::Unrecognised => unrecognised.push(update),
                Whose::Pages(owner, pages) => {
                    entries.extend(self.entries_of(update, owner, pages, &claim, &mut seen));
                    of_update.resize(entries.len(), index);
                }
            }
        }
        let stored = self.ingest.dispatcher.inbox.store_versions(entries, received_at).await?;
        self.keep(&unrecognised, received_at).await?;
        let (entries, new) = (stored.len(), stored.iter().filter(|one| one.stored == Stored::New).count());
        let network = self.network.as_str();
        if not_connected > 0 {
            tracing::info!(network, updates = not_connected, "push.not_connected");
        }
        tracing::info!(network, updates = updates.len(), entries, new, "push.stored");
        metrics::add(Metric::Pushed, new);
        let immediate = stored.into_iter().zip(of_update).filter(|(one, _)| {
            one.stored == Stored::New && matches!(one.entry.waiting, EntryState::Claimed(_))
        });
        let immediate = immediate
            .map(|(one, index)| one.into_claimed(updates[index].event.clone(), received_at))
            .collect();
        Ok(InInbox { immediate, claim })
    }

    /// The connected pages that the updates are of.
    async fn routes(&self, updates: &[Update]) -> Result<Routes, AdapterError> {
        let (mut routes, mut looked_up) = (Routes::new(), BTreeSet::new());
        for round in 1..=LOOKUP_ROUNDS {
            let mut ids: BTreeMap<Network, Vec<NetworkId>> = BTreeMap::new();
            for (network, id) in to_look_up(updates, &routes, &looked_up, round == LOOKUP_ROUNDS) {
                ids.entry(network).or_default().push(id.clone());
                looked_up.insert((network, id));
            }
            for (network, ids) in ids {
                for page in self.ingest.dispatcher.config.find_pages(network, &ids).await? {
                    routes.entry((network, page.network_id.clone())).or_default().push(page);
                }
            }
        }
        Ok(routes)
    }

    /// Keeps updates without an owner as they came, for a person to look at.
    async fn keep(&self, updates: &[&Update], received_at: Timestamp) -> Result<(), AdapterError> {
        let expires_at = self.ingest.retention.dead_until(received_at);
        let mut seen = HashSet::new();
        let events: Vec<_> = updates
            .iter()
            .map(|update| (EntryKey::of_unrecognised(&update.event), PackedEvent::of(&update.event)))
            .filter(|(key, _)| seen.insert(key.clone()))
            .collect();
        let inbox = &self.ingest.dispatcher.inbox;
        let stored = inbox.store_unrecognised(self.network, &events, received_at, expires_at).await?;
        for ((key, event), stored) in events.iter().zip(stored) {
            if stored == Stored::New {
                let (network, key, bytes) = (self.network.as_str(), key.as_str(), event.bytes().len());
                tracing::warn!(network, key, bytes, "push.unrecognised");
            }
        }
        Ok(())
    }

    /// The entries of an update, one for each page that it is of. `seen` counts the same versions of the push.
    fn entries_of(
        &self,
        update: &Update,
        owner: &NetworkId,
        pages: &[ConnectedPage],
        claim: &Claim,
        seen: &mut HashMap<(PageId, EntryKey), u32>,
    ) -> Vec<NewEntry> {
        let reading = normalise::read(&update.event, owner);
        let first = EntryKey::new(&reading.thing, &reading.version);
        let sighting = Sighting::of(&update.event, &reading, &first);
        let event = PackedEvent::of(&update.event);
        let entry = |page: &ConnectedPage| {
            let before = seen.entry((page.page.clone(), first.clone())).or_default();
            let number = std::mem::replace(before, before.saturating_add(1));
            Some(NewEntry {
                page: page.page.clone(),
                account: page.account.clone(),
                owner: owner.clone(),
                key: EntryKey::within_push(&reading, number)?,
                event: event.clone(),
                says: reading.says(),
                sighting: sighting.clone(),
                hop: self.hop,
                waiting: waiting(&reading, page, self.ingest.needs_proof, claim),
            })
        };
        pages.iter().filter_map(entry).collect()
    }

    /// Dispatches the immediate entries, as far as it comes in a short time. A tick dispatches the rest.
    async fn dispatch(&self, stored: InInbox) {
        if stored.immediate.is_empty() {
            return;
        }
        let (network, entries) = (self.network.as_str(), stored.immediate.len());
        let mut known = RoutingCache::default();
        for entry in &stored.immediate {
            known.page_is_there(entry.page.clone(), Counted::All, entry.received_at);
        }
        let begin_by = after(self.began_at, IMMEDIATE_TIME);
        let dispatcher = &self.ingest.dispatcher;
        let dispatching = async {
            let (immediate, claim) = (stored.immediate, &stored.claim);
            let done = dispatcher.dispatch(immediate, claim, &mut known, begin_by, self.clock).await;
            let writing = dispatcher.freshness.write(Due::Rested(MOST_COUNTED), self.clock.now());
            if tokio::time::timeout(COUNTING_TIME, writing).await.is_err() {
                tracing::warn!(network, "freshness.out_of_time");
            }
            done
        };
        // All of it is stored, which is the answer also where the dispatch does not end.
        match tokio::time::timeout(self.clock.left().saturating_sub(RESERVE), dispatching).await {
            Ok(DispatchSummary { dispatched, left, .. }) => {
                tracing::info!(network, entries, handed_on = dispatched, left, "push.handed_on");
            }
            Err(_) => tracing::warn!(network, entries, "push.handing_on_cut_short"),
        }
    }
}

/// The ids to look up next: of each update without an owner, the first candidate that was not looked up; in the last
/// round, all of them. So where the entries' own ids are connected, which is nearly always, no others are looked up,
/// however many people wrote.
fn to_look_up(
    updates: &[Update],
    routes: &Routes,
    looked_up: &BTreeSet<(Network, NetworkId)>,
    is_last: bool,
) -> BTreeSet<(Network, NetworkId)> {
    let of_update = |update: &Update| {
        let candidates = update.owners.iter().map(|owner| (update.event.network, owner.clone()));
        // A connected candidate decides only where all before it are not connected.
        let undecided = candidates.take_while(|candidate| !routes.contains_key(candidate));
        let unknown = undecided.filter(|candidate| !looked_up.contains(candidate));
        unknown.take(if is_last { usize::MAX } else { 1 }).collect::<Vec<_>>()
    };
    updates.iter().flat_map(of_update).collect()
}

fn whose<'a>(update: &'a Update, routes: &'a Routes) -> Whose<'a> {
    let connected = |owner: &'a NetworkId| {
        let pages = routes.get(&(update.event.network, owner.clone()))?;
        Some(Whose::Pages(owner, pages))
    };
    let is_foreseen = update.event.shape != Shape::Unknown && !update.owners.is_empty();
    let found = update.owners.iter().find_map(connected);
    found.unwrap_or(if is_foreseen { Whose::NotConnected } else { Whose::Unrecognised })
}

fn waiting(reading: &Reading, page: &ConnectedPage, needs_proof: bool, claim: &Claim) -> EntryState {
    // An account that connects a page by its id gets nothing of it until the network accepted its token for it.
    if reading.wanted.is_some() || needs_proof && !page.proven {
        return EntryState::Incomplete;
    }
    // The tick applies a signal about a token, because that may change the page.
    let at_once = reading.signal.is_none() && page.delivery.is_immediate(&reading.content);
    if at_once { EntryState::Claimed(claim.clone()) } else { EntryState::Ready }
}

#[cfg(test)]
mod tests {
    use carteiro_core::id::{AccountId, PageId};
    use carteiro_networks::page::Delivery;
    use serde_json::{Value, json};

    use super::*;

    /// Messages of `people` to a page, in an entry of this id; of the page to them, where they are echoes.
    fn messages(entry: &str, page: &str, people: u32, echo: bool) -> Vec<Update> {
        let message = |person: u32| {
            let (person, page) = (json!({"id": format!("9{person}")}), json!({"id": page}));
            let (sender, recipient) = if echo { (page, person) } else { (person, page) };
            json!({"sender": sender, "recipient": recipient, "message": {"mid": "m", "is_echo": echo}})
        };
        let messages: Vec<Value> = (0..people).map(message).collect();
        let body = json!({"object": "page", "entry": [{"id": entry, "time": 1, "messaging": messages}]});
        split(Network::Facebook, body.to_string().as_bytes())
    }

    fn id(id: &str) -> (Network, NetworkId) {
        (Network::Facebook, id.parse().unwrap())
    }

    /// Looks the owners of updates up where one id is connected: how many ids each round asked for, and what was found.
    fn look_up(updates: &[Update], connected: &str) -> (Vec<usize>, Routes) {
        let (mut routes, mut looked_up, mut asked) = (Routes::new(), BTreeSet::new(), Vec::new());
        for round in 1..=LOOKUP_ROUNDS {
            let ids = to_look_up(updates, &routes, &looked_up, round == LOOKUP_ROUNDS);
            asked.push(ids.len());
            for found in ids.iter().filter(|found| **found == id(connected)) {
                let page = ConnectedPage {
                    page: PageId::from_bits(1),
                    account: AccountId::from_bits(1),
                    network_id: found.1.clone(),
                    delivery: Delivery::Scheduled,
                    proven: true,
                };
                routes.insert(found.clone(), vec![page]);
            }
            looked_up.extend(ids);
        }
        (asked, routes)
    }

    #[test]
    fn a_connected_entry_id_needs_no_other_look_up() {
        let updates = messages("1", "1", 1000, false);
        assert_eq!(updates.len(), 1000);
        assert_eq!(look_up(&updates, "1").0, [1, 0, 0]);
    }

    #[test]
    fn where_it_is_not_the_pages_side_is_looked_up_before_peoples() {
        for echo in [false, true] {
            let updates = messages("1", "2", 100, echo);
            let (asked, routes) = look_up(&updates, "2");
            assert_eq!(asked, [1, 1, 0]);
            let is_pages =
                |update| matches!(whose(update, &routes), Whose::Pages(owner, _) if *owner == id("2").1);
            assert!(updates.iter().all(is_pages));
        }
    }

    #[test]
    fn every_candidate_is_looked_up_before_an_update_is_nobodys() {
        let updates = messages("1", "2", 100, false);
        let (asked, routes) = look_up(&updates, "97");
        assert_eq!(asked, [1, 1, 100]);
        let of_one = updates.iter().filter(|update| matches!(whose(update, &routes), Whose::Pages(..)));
        assert_eq!(of_one.count(), 1);
        let many: Vec<NetworkId> = (0..9).map(|number| id(&number.to_string()).1).collect();
        let mut updates = messages("1", "2", 1, false);
        updates[0].owners = many;
        assert_eq!(look_up(&updates, "8").0, [1, 1, 7], "in no more rounds, however many there are");
    }
}
