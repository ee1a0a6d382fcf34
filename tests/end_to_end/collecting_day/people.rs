//! What people do in a day on the networks' pages: a plan that is the same for the same seed.

use carteiro_fake_networks::{Kind, Networks, Thing};
use carteiro_networks::network::Network;
use carteiro_tests::chance::Chance;

pub(super) const MINUTE: u64 = 60_000;
pub(super) const HOUR: u64 = 60 * MINUTE;

/// Whether half of the edits are taken back later: A, B, A.
const EDITS_BACK: bool = true;

/// What happens on a network's page, with its weight.
#[derive(Clone, Copy)]
enum Does {
    Publishes(Kind),
    /// Of the page itself: a message, or an answer.
    Answers(Kind),
}

fn happens(network: Network) -> Vec<(Does, u64)> {
    use Does::{Answers, Publishes};
    use Kind::{Comment, DirectMessage, Mention, Post, Reply, Review, Story, Tag};
    match network {
        Network::Facebook => vec![
            (Publishes(Post), 2),
            (Publishes(Comment), 9),
            (Publishes(Reply), 4),
            (Answers(Reply), 1),
            (Publishes(Mention), 1),
            (Publishes(DirectMessage), 3),
            (Answers(DirectMessage), 1),
            (Publishes(Review), 1),
        ],
        Network::Instagram => vec![
            (Publishes(Post), 2),
            (Publishes(Story), 1),
            (Publishes(Comment), 9),
            (Publishes(Reply), 4),
            (Answers(Reply), 1),
            (Publishes(Tag), 1),
            (Publishes(Mention), 1),
            (Publishes(DirectMessage), 4),
        ],
        Network::X => vec![
            (Publishes(Post), 3),
            (Publishes(Reply), 6),
            (Answers(Reply), 1),
            (Publishes(Mention), 5),
            (Publishes(DirectMessage), 3),
            (Answers(DirectMessage), 1),
        ],
        Network::Youtube => {
            vec![(Publishes(Post), 1), (Publishes(Comment), 8), (Publishes(Reply), 4), (Answers(Reply), 1)]
        }
        Network::GooglePlay => vec![(Publishes(Review), 8), (Answers(Reply), 3)],
        Network::Linkedin => {
            vec![
                (Publishes(Post), 2),
                (Publishes(Comment), 7),
                (Publishes(Reply), 4),
                (Answers(Reply), 1),
                (Publishes(Mention), 1),
            ]
        }
    }
}

/// Whether a thing can be edited so that the network shows it: Instagram's comments and nobody's messages cannot.
fn can_be_edited(network: Network, kind: Kind) -> bool {
    match network {
        Network::Facebook | Network::Youtube | Network::Linkedin => {
            matches!(kind, Kind::Post | Kind::Comment | Kind::Reply)
        }
        Network::Instagram | Network::X => kind == Kind::Post,
        Network::GooglePlay => kind == Kind::Review,
    }
}

/// How much happens in an hour of the day, by the page's clock: little by night.
fn weight(hour: u64) -> u64 {
    match hour % 24 {
        0..6 => 1,
        6..9 | 22..24 => 4,
        _ => 8,
    }
}

/// A stretch of a day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// By the network's clock, in milliseconds.
    pub(super) begins_ms: u64,
    pub(super) hours: u64,
    /// Which hour of the pages' day it begins with.
    pub(super) first_hour: u64,
}

impl Stretch {
    pub(super) fn ends_ms(&self) -> u64 {
        self.begins_ms + self.hours * HOUR
    }

    /// A time in it, oftener by day than by night.
    fn time(&self, chance: &mut Chance) -> u64 {
        let hours: Vec<(u64, u64)> =
            (0..self.hours).map(|hour| (hour, weight(self.first_hour + hour))).collect();
        self.begins_ms + chance.weighed(&hours) * HOUR + chance.below(HOUR)
    }
}

/// Something that is published.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) network: Network,
    /// The network's id of the page.
    pub(super) page: String,
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) at_ms: u64,
    /// From when lists show it: its own list, and that of what it is on.
    pub(super) listed_ms: u64,
    /// When it is edited, and what it says then.
    pub(super) edits: Vec<(u64, String)>,
    /// When another takes its place: a review has one answer of its app's developer.
    pub(super) replaced_ms: Option<u64>,
    parent: Option<String>,
}

/// The deeds on one page.
struct Page<'a> {
    networks: &'a Networks,
    network: Network,
    id: &'a str,
    ends_ms: u64,
    deeds: Vec<Deed>,
}

impl Page<'_> {
    /// Something of these kinds that was there a minute before, if there is anything.
    fn parent(&self, kinds: &[Kind], at_ms: u64, chance: &mut Chance) -> Option<String> {
        let there = |deed: &&Deed| kinds.contains(&deed.kind) && deed.at_ms + MINUTE < at_ms;
        let there: Vec<&Deed> = self.deeds.iter().filter(there).collect();
        chance.pick(&there).map(|deed| deed.id.clone())
    }

    /// What the page's people do at that time, published for then.
    fn happens(&mut self, does: Does, at_ms: u64, chance: &mut Chance) {
        let (kind, is_own) = match does {
            Does::Publishes(kind) => (kind, kind == Kind::Post || kind == Kind::Story),
            Does::Answers(kind) => (kind, true),
        };
        let number = self.deeds.len();
        let mut text = format!("{} {} {kind:?} {number}", self.network, self.id);
        let user = format!("9{:03}", chance.below(40));
        let parents = match (self.network, kind) {
            (Network::X, Kind::Reply) => &[Kind::Post][..],
            (Network::GooglePlay, Kind::Reply) => &[Kind::Review],
            (_, Kind::Reply) => &[Kind::Comment],
            (_, Kind::Comment) => &[Kind::Post],
            _ => &[],
        };
        let mut thing = Thing::new(kind, "").at(at_ms);
        if !parents.is_empty() {
            match self.parent(parents, at_ms, chance) {
                Some(parent) => thing = thing.on(parent),
                None => return,
            }
        }
        if self.network == Network::X && kind == Kind::Mention {
            text = format!("{text} @Page{}", self.id);
        }
        if !is_own {
            thing = thing.by(&user, format!("User {user}"));
        } else if kind == Kind::DirectMessage {
            thing = thing.to(&user, format!("User {user}"));
        }
        if kind == Kind::Review {
            thing.rating = Some(u8::try_from(chance.between(1, 6)).unwrap());
        }
        thing.text.clone_from(&text);
        let parent = thing.parent.clone();
        // Three in ten are listed up to an hour late, on whichever list.
        let late_ms = if chance.per_cent(30) { chance.below(HOUR) } else { 0 };
        // Not after the stretch, when ticks come more rarely.
        let late_ms = late_ms.min(self.ends_ms.saturating_sub(at_ms));
        thing.shown_from_ms = Some(at_ms + late_ms);
        let above = self.deeds.iter().find(|deed| Some(&deed.id) == parent.as_ref());
        let above_ms = above.filter(|_| self.network != Network::X).map_or(0, |deed| deed.listed_ms);
        let listed_ms = above_ms.max(at_ms + late_ms);
        if self.network == Network::GooglePlay && kind == Kind::Reply {
            let before = self.deeds.iter_mut().rev().find(|deed| deed.parent == parent);
            before.into_iter().for_each(|deed| deed.replaced_ms = Some(at_ms));
        }
        let id = self.networks.publish(self.network, self.id, thing).unwrap();
        let (network, page) = (self.network, self.id.to_owned());
        let (edits, replaced_ms) = (Vec::new(), None);
        self.deeds.push(Deed { network, page, kind, id, text, at_ms, listed_ms, edits, replaced_ms, parent });
    }

    /// One in five is edited: some at once, for a slip of the pen, most within hours.
    fn edits(&mut self, ends_ms: u64, chance: &mut Chance) {
        for deed in &mut self.deeds {
            let after =
                if chance.per_cent(25) { chance.between(2, 14) } else { chance.between(30, 5 * 60) } * MINUTE;
            let chosen = chance.per_cent(20) && can_be_edited(deed.network, deed.kind);
            if chosen && deed.at_ms + after < ends_ms {
                deed.edits.push((deed.at_ms + after, format!("{} edited", deed.text)));
                let back_ms = deed.at_ms + after + chance.between(20, 90) * MINUTE;
                if EDITS_BACK && chance.per_cent(50) && back_ms < ends_ms {
                    deed.edits.push((back_ms, deed.text.clone()));
                }
            }
        }
    }
}

/// A page's day: its things of the hour before, and those of the stretch. All are published at once, to appear in their
/// time; edits are to be made.
pub(super) fn day(
    networks: &Networks,
    network: Network,
    id: &str,
    stretch: &Stretch,
    things: usize,
    chance: &mut Chance,
) -> Vec<Deed> {
    let mut page = Page { networks, network, id, ends_ms: stretch.ends_ms(), deeds: Vec::new() };
    let before = stretch.begins_ms.saturating_sub(HOUR);
    let first = if network == Network::GooglePlay { Kind::Review } else { Kind::Post };
    page.happens(Does::Publishes(first), before, chance);
    if !matches!(network, Network::X | Network::GooglePlay) {
        page.happens(Does::Publishes(Kind::Comment), before + 10 * MINUTE, chance);
    }
    let mut times: Vec<u64> = (0..things).map(|_| stretch.time(chance)).collect();
    times.sort_unstable();
    for at_ms in times {
        let does = chance.weighed(&happens(network));
        page.happens(does, at_ms, chance);
    }
    page.edits(stretch.ends_ms(), chance);
    page.deeds
}
