//! A plan of load and faults: a function of the seed alone. How the bundle's own tasks come in turns is not in it, so
//! which call meets which fault may differ between two runs of a seed.

use std::time::Duration;

use carteiro_local::BatchFate;
use carteiro_tests::chance::Chance;

use super::ledger::Befalls;

/// How many accounts there are.
pub(super) const ACCOUNTS: usize = 2;

/// A webhook of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) account: usize,
    pub(super) takes: &'static [&'static str],
    pub(super) threshold: u64,
}

/// The webhooks of every plan. Of the acts, each befalls webhooks that are there for it.
pub(super) const HOOKS: [Hook; 7] = [
    Hook { account: 0, takes: &["message", "event", "contact"], threshold: 1000 },
    Hook { account: 0, takes: &["event"], threshold: 5 },
    Hook { account: 0, takes: &["message", "event"], threshold: 8 },
    Hook { account: 0, takes: &["event", "contact"], threshold: 1000 },
    Hook { account: 1, takes: &["message", "event", "interaction"], threshold: 20 },
    Hook { account: 1, takes: &["interaction"], threshold: 5 },
    Hook { account: 1, takes: &["event", "interaction"], threshold: 1000 },
];

const DELETED: [usize; 2] = [2, 6];
const TAKEN_AWAY: usize = 3;

/// How a receiver answers from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    Fails,
    Closes,
    CutsShort,
    Slow,
    Hangs,
    Mixed,
    Gone,
}

/// How items are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Without a key; sent again where there was no answer, or not.
    Plain { again: bool },
    /// With an idempotency key, and sent again until there is an answer.
    Keyed,
    /// A message with an id of its own, sent again until there is an answer.
    OwnId,
    /// As lines of one request, every other one with a key, and one of a type that there is not.
    Bulk,
    /// With a key that nobody has.
    Refused,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Publish {
        how: How,
        account: usize,
        item_type: &'static str,
        count: u64,
    },
    /// A network pushes a comment, once or twice.
    Push {
        twice: bool,
    },
    Mood {
        hook: usize,
        mood: Mood,
    },
    Delete {
        hook: usize,
    },
    TakeAway {
        hook: usize,
    },
    NewUrl {
        hook: usize,
    },
    Unblock {
        hook: usize,
    },
    Disable {
        hook: usize,
    },
    Enable {
        hook: usize,
    },
    Kill {
        function: &'static str,
    },
    Tick,
    Pass(Duration),
}

/// What happens in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// How many calls in a thousand are broken.
    pub(super) broken: u64,
    pub(super) steps: Vec<Step>,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let broken = [15, 40, 80][usize::try_from(chance.below(3)).unwrap()];
        let count = chance.between(24, 40);
        let steps = (0..count).map(|_| step(&mut chance)).collect();
        Self { seed, broken, steps }
    }

    /// What befalls the calls of a function, by their numbers.
    pub(super) fn befalls(&self, function: &str, number: u64) -> Befalls {
        let mut chance = self.chance(function, number);
        // `manage` is whole, so that it is known when each act was.
        let is_broken = ["DeliverFunction", "IngestFunction", "CollectFunction"].contains(&function);
        if !is_broken || chance.below(1000) >= self.broken {
            return Befalls::Nothing;
        }
        let late = Duration::from_millis(chance.between(20, 400));
        chance.weighed(&[
            (Befalls::Throttle, 20),
            (Befalls::ErrorBefore, 12),
            (Befalls::ErrorAfter, 14),
            (Befalls::DropBefore, 8),
            (Befalls::DropAfter, 14),
            (Befalls::Late(late), 14),
            (Befalls::NeverBefore, 1),
            (Befalls::NeverAfter, 1),
            (Befalls::KillBefore, 8),
            (Befalls::KillAfter, 8),
        ])
    }

    /// What becomes of batches of deliveries, by their numbers.
    pub(super) fn batch(&self, number: u64) -> BatchFate {
        let fates = [(BatchFate::Proceed, 90), (BatchFate::LoseAnswer, 5), (BatchFate::Twice, 5)];
        self.chance("batch", number).weighed(&fates)
    }

    /// How far the clock of a copy is ahead, and whether it is of the older build, by its number.
    pub(super) fn copy(&self, function: &str, number: u64) -> (i64, bool) {
        let mut chance = self.chance(function, number.wrapping_mul(7919));
        (i64::try_from(chance.below(4001)).unwrap() - 2000, chance.per_cent(50))
    }

    fn chance(&self, what: &str, number: u64) -> Chance {
        let named =
            what.bytes().fold(self.seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Chance(Chance(named).number() ^ number)
    }
}

fn step(chance: &mut Chance) -> Step {
    match chance.below(100) {
        0..52 => publish(chance),
        52..60 => Step::Push { twice: chance.per_cent(40) },
        60..76 => {
            let hook = usize::try_from(chance.below(HOOKS.len() as u64)).unwrap();
            let moods = [
                (Mood::Well, 12),
                (Mood::Fails, 6),
                (Mood::Closes, 3),
                (Mood::CutsShort, 3),
                (Mood::Slow, 4),
                (Mood::Hangs, 2),
                (Mood::Mixed, 6),
                (Mood::Gone, 1),
            ];
            Step::Mood { hook, mood: chance.weighed(&moods) }
        }
        76..84 => act(chance),
        84..88 => {
            let functions = ["DeliverFunction", "IngestFunction", "CollectFunction"];
            Step::Kill { function: chance.pick(&functions).unwrap() }
        }
        88..94 => Step::Tick,
        _ => Step::Pass(Duration::from_secs(*chance.pick(&[6, 36, 190, 310, 900]).unwrap())),
    }
}

fn publish(chance: &mut Chance) -> Step {
    let again = chance.per_cent(50);
    let how = chance.weighed(&[
        (How::Plain { again }, 3),
        (How::Keyed, 3),
        (How::OwnId, 3),
        (How::Bulk, 4),
        (How::Refused, 1),
    ]);
    let account = usize::try_from(chance.below(ACCOUNTS as u64)).unwrap();
    let item_type = match how {
        How::OwnId => "message",
        _ => *chance.pick(&["message", "event", "event", "contact"]).unwrap(),
    };
    let count = if how == How::Bulk { chance.between(3, 25) } else { chance.between(1, 4) };
    Step::Publish { how, account, item_type, count }
}

fn act(chance: &mut Chance) -> Step {
    let hook = usize::try_from(chance.below(HOOKS.len() as u64)).unwrap();
    match chance.below(8) {
        0 | 1 => Step::Delete { hook: *chance.pick(&DELETED).unwrap() },
        2 => Step::TakeAway { hook: TAKEN_AWAY },
        3 => Step::NewUrl { hook },
        4 | 5 => Step::Unblock { hook },
        6 => Step::Disable { hook },
        _ => Step::Enable { hook },
    }
}

#[test]
fn a_seed_always_gives_the_same_plan() {
    assert_eq!(Plan::of(7), Plan::of(7));
    assert_ne!(Plan::of(7), Plan::of(8));
    let befall = |plan: &Plan| (1..500).map(|call| plan.befalls("DeliverFunction", call)).collect::<Vec<_>>();
    assert_eq!(befall(&Plan::of(7)), befall(&Plan::of(7)));
    assert_ne!(befall(&Plan::of(7)), befall(&Plan::of(10)));
}
