//! What should become of a sample.

use std::collections::BTreeMap;

use carteiro_core::id::{ItemId, PageId};
use carteiro_networks::inbox::{EntryKey, Reading};
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::{normalise, push};

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

/// What should become of a sample, once these pages are connected.
pub(crate) fn of(sample: &Sample, pages: &Pages) -> Expectation {
    let mut expectation = Expectation::default();
    for update in push::split(sample.route, &sample.body) {
        let network = update.event.network;
        let connected = |owner: NetworkId| Some((pages.get(&(network, owner.clone()))?.clone(), owner));
        let Some((page, owner)) = update.owners.into_iter().find_map(connected) else {
            expectation.nobodys += 1;
            continue;
        };
        let reading = normalise::read(&update.event, &owner);
        let key = EntryKey::new(&reading.thing, &reading.version);
        expectation.updates.push(Expected { item: key.item(&page), page, key, reading });
    }
    expectation
}
