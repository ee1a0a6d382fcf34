//! What should become of a sample.

use std::collections::{BTreeMap, BTreeSet};

use carteiro_core::id::{ItemId, PageId};
use carteiro_networks::inbox::{EntryKey, Event, Reading};
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::versions::{self, Known, Sighting, Verdict};
use carteiro_networks::{normalise, push};
use jiff::Timestamp;

use crate::folder::Sample;

/// The pages of a run, by what the networks call them.
pub(crate) type Pages = BTreeMap<(Network, NetworkId), PageId>;

/// What should become of one update.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The page that it is of.
    pub page: PageId,
    /// Its place in the inbox.
    pub key: EntryKey,
    /// The item that it becomes.
    pub item: ItemId,
    /// What it says.
    pub reading: Reading,
}

/// What should become of a sample.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Its updates that have an owner.
    pub updates: Vec<Expected>,
    /// How many of its updates are nobody's.
    pub nobodys: usize,
}

/// The likeliest owner of each update of a sample.
pub(crate) fn owners(sample: &Sample) -> impl Iterator<Item = (Network, NetworkId)> {
    let updates = push::split(sample.route, &sample.body);
    updates.into_iter().filter_map(|update| Some((update.event.network, update.owners.into_iter().next()?)))
}

/// What should become of samples that are sent in this order, once these pages are connected.
pub(crate) fn of_all(samples: &[Sample], pages: &Pages) -> Vec<Expectation> {
    let mut inbox = Inbox::default();
    samples.iter().map(|sample| of(sample, pages, &mut inbox)).collect()
}

fn of(sample: &Sample, pages: &Pages, inbox: &mut Inbox) -> Expectation {
    let (mut expectation, mut seen) = (Expectation::default(), BTreeMap::new());
    for update in push::split(sample.route, &sample.body) {
        let network = update.event.network;
        let connected = |owner: NetworkId| Some((pages.get(&(network, owner.clone()))?.clone(), owner));
        let Some((page, owner)) = update.owners.into_iter().find_map(connected) else {
            expectation.nobodys += 1;
            continue;
        };
        let reading = normalise::read(&update.event, &owner);
        let first = EntryKey::new(&reading.thing, &reading.version);
        let before = seen.entry((page.clone(), first.clone())).or_insert(0_u32);
        let key = EntryKey::within_push(&reading, *before).unwrap_or(first);
        *before += 1;
        let key = inbox.store(&page, &update.event, &reading, key);
        expectation.updates.push(Expected { item: key.item(&page), page, key, reading });
    }
    expectation
}

/// The entries that the bundle's inbox should have, and the versions of what their things say.
#[derive(Default)]
struct Inbox {
    keys: BTreeSet<(PageId, String)>,
    versions: BTreeMap<(PageId, String), Vec<Known>>,
    stored: i64,
}

impl Inbox {
    /// Stores an update after those before it, and answers its key: that of a version that is there already, where the
    /// update is a repetition.
    fn store(&mut self, page: &PageId, event: &Event, reading: &Reading, key: EntryKey) -> EntryKey {
        let is_new = self.keys.insert((page.clone(), key.as_str().to_owned()));
        let Some(sighting) = Sighting::of(event, reading, &key) else { return key };
        let known = self.versions.entry((page.clone(), key.thing().to_owned())).or_default();
        // Only the order counts: a push is compared by the network's time.
        self.stored += 1;
        let now = Timestamp::from_second(self.stored).unwrap_or(Timestamp::MAX);
        let version = match versions::decide(known, &sighting, now) {
            _ if is_new => key.thing_and_version().1.to_owned(),
            Verdict::New(version) if sighting.may_be_edit() => version,
            Verdict::Completes(completion) => {
                completion.apply(known);
                return key;
            }
            Verdict::New(_) | Verdict::Repetition => return key,
        };
        let own = key.of_version(&version).unwrap_or(key);
        known.push(Known::stored(&sighting, version, now, 0));
        self.keys.insert((page.clone(), own.as_str().to_owned()));
        own
    }
}
