//! What comes of each network's pages, kind by kind: by push, by asking the network's API, or not at all.
//!
//! [`of`] is the promise, and [`document`] prints it as `docs/coverage.md`. The tests read every fixture in
//! `tests/fixtures/pushes`: each (network, kind, action) that is said to come by push is read of one, and none is read
//! of one that is not said to.
//!
//! Not guaranteed: that a network sends what its documentation says it does, or that an app has the permissions and
//! subscriptions for it.
//!
//! Sources: the networks' own documentation of their webhooks and APIs, and captured pushes where they differ, as of
//! 2026-11.

use std::fmt::Write as _;

use crate::collected::{Action, Kind};
use crate::network::Network;

use Action::{Created, Deleted, Edited};
use ByAsking::{Asked, NotAsked, NotOffered};
use ByPush::{AsIds, NotSent, Whole};

/// How something comes by push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByPush {
    /// As it is, with these actions.
    Whole(&'static [Action]),
    /// With these actions, and as ids at least in some cases: what was said must then be asked for.
    AsIds(&'static [Action]),
    /// The network does not send it.
    NotSent,
}

impl ByPush {
    /// The actions that it comes with; none where it does not come.
    #[must_use]
    pub fn actions(self) -> &'static [Action] {
        match self {
            Whole(actions) | AsIds(actions) => actions,
            NotSent => &[],
        }
    }
}

/// Whether something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByAsking {
    /// The network answers it, and the collector asks.
    Asked,
    /// The network answers something of it, which the collector does not ask for: mostly because by that a repetition
    /// could not be told from what is new.
    NotAsked,
    /// The network does not answer it.
    NotOffered,
}

/// How one kind of one network comes. Notes are for people, and end without a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// By push.
    pub push: ByPush,
    /// In what that is limited.
    pub push_note: &'static str,
    /// By asking.
    pub asking: ByAsking,
    /// In what that is limited.
    pub asking_note: &'static str,
}

/// Every action.
pub(crate) const ALL: &[Action] = &Action::ALL;
/// What happens once.
pub(crate) const ONCE: &[Action] = &[Created];
/// What is done and undone.
pub(crate) const ON_AND_OFF: &[Action] = &[Created, Deleted];
/// What is done, edited and undone.
pub(crate) const EDITABLE: &[Action] = &[Created, Edited, Deleted];

/// How a kind comes of a network's pages; `None` where the network has no such thing, or none that its APIs know.
#[must_use]
pub fn of(network: Network, kind: Kind) -> Option<Coverage> {
    (network.spec().coverage)(kind)
}

#[expect(clippy::unnecessary_wraps, reason = "what is there stands beside what is not")]
/// How a kind comes by push, and by asking.
pub(crate) fn row(
    (push, push_note): (ByPush, &'static str),
    (asking, asking_note): (ByAsking, &'static str),
) -> Option<Coverage> {
    Some(Coverage { push, push_note, asking, asking_note })
}

const INTRODUCTION: &str = "\
# Coverage

What Carteiro collects of a page, for each network and each [kind of item](collecting.md#collected-items). This page is
made from [networks/coverage](../functions/networks/src/coverage.rs) by
`cargo run -p carteiro-networks --example coverage > docs/coverage.md`; tests hold it to that, and every action in the
column *by push* to a push that is read so.

- **By push**: what the network sends, with its [actions](collecting.md#collected-items). *Not sent*: the network has
  it, and sends no push of it.
- **By asking**: what the network's API answers, and [polling](collecting.md#polling) asks for. *Not asked for*: mostly
  because its answer does not distinguish a repetition. *Not offered*: the API does not answer it.
- **—**: the network has no such thing, or none that its APIs know.

Facebook's and Instagram's advertisements that appear on no page (dark posts) do not come by push. Comments on them do.
Both are asked for where the page names an [ad account](collecting.md#ads) and its token has `ads_read`.

Comments under somebody else's post that mentions the page:

- Facebook: asked for during the post's first week, once an hour, on the newest 10 posts of `/{page}/tagged`. Facebook
  answers a page's token the comments on what is the page's or on it; those on another page's post take the feature
  *Page Public Content Access* besides, and those on a person's post are not answered. Where they are refused, they are
  not asked for again. Posts that a push alone names are not followed.
- Instagram: not followed. There is no list of media that mention the account; a push names one, and polling does not
  keep its id. Comments that mention the account themselves come by push.
- X: not followed. A conversation is found by search alone, each post of which is charged at 0.005 US$. Posts that
  mention the account themselves come.
- LinkedIn, YouTube, Google Play: posts of others that mention the page are not listed.

What comes also depends on the app: its subscriptions, its permissions, and the network's review of it. Where one is
missing, most networks send nothing, and say nothing either.
";

/// The table of all networks and kinds, with what explains it, in Markdown.
#[must_use]
pub fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for network in Network::ALL {
        // Writing to a String cannot fail.
        _ = write!(text, "\n## {network}\n\n| kind | by push | by asking |\n|---|---|---|\n");
        for kind in Kind::ALL {
            let (push, asking) = match of(network, kind) {
                Some(one) => (
                    cell(&push_word(one.push), one.push_note),
                    cell(asking_word(one.asking), one.asking_note),
                ),
                None => ("—".to_owned(), "—".to_owned()),
            };
            _ = writeln!(text, "| `{}` | {push} | {asking} |", kind.as_str());
        }
    }
    text
}

fn cell(word: &str, note: &str) -> String {
    if note.is_empty() { word.to_owned() } else { format!("{word}: {note}") }
}

fn push_word(push: ByPush) -> String {
    let names = |actions: &[Action]| {
        let names: Vec<_> = actions.iter().map(|action| format!("`{}`", action.as_str())).collect();
        names.join(", ")
    };
    match push {
        Whole(actions) => names(actions),
        AsIds(actions) => format!("{}, as ids", names(actions)),
        NotSent => "not sent".to_owned(),
    }
}

fn asking_word(asking: ByAsking) -> &'static str {
    match asking {
        Asked => "asked for",
        NotAsked => "not asked for",
        NotOffered => "not offered",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::inbox::{Reading, Shape};
    use crate::normalise;
    use crate::push::split;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The bodies of the pushes that the repository keeps, by the network whose folder they are in.
    fn pushes() -> Vec<(Network, Vec<u8>)> {
        let folder = |network: Network| repository().join("tests/fixtures/pushes").join(network.as_str());
        let with_folder = Network::ALL.into_iter().filter(|&network| folder(network).exists());
        let files = with_folder.flat_map(|network| {
            let files = fs::read_dir(folder(network)).unwrap();
            files.map(move |file| (network, fs::read(file.unwrap().path()).unwrap()))
        });
        files.collect()
    }

    /// All that the pushes say, each with the network that it is of.
    fn readings() -> Vec<(Network, Reading)> {
        let updates = pushes().into_iter().flat_map(|(route, body)| split(route, &body));
        let readings = updates.map(|update| {
            let reading = normalise::read(&update.event, &update.owners[0]);
            (update.event.network, reading)
        });
        readings.collect()
    }

    #[test]
    fn the_document_is_the_table() {
        let kept = fs::read_to_string(repository().join("docs/coverage.md")).unwrap();
        assert_eq!(kept, document(), "its first lines say how it is made");
    }

    #[test]
    fn the_table_of_pushes_is_what_the_fixtures_hold() {
        let said: BTreeSet<_> = Network::ALL
            .into_iter()
            .flat_map(|network| Kind::ALL.map(|kind| (network, kind)))
            .flat_map(|(network, kind)| {
                let actions = of(network, kind).map_or(&[][..], |one| one.push.actions());
                actions.iter().map(move |&action| (network, kind, action))
            })
            .collect();
        let read: BTreeSet<_> = readings()
            .into_iter()
            .map(|(network, reading)| (network, reading.content.kind, reading.content.action))
            .collect();
        assert!(said.len() > 50, "{said:?}");
        assert_eq!(said, read);
    }

    #[test]
    fn what_is_said_to_come_as_ids_is_what_must_be_asked_for() {
        let as_ids = |network, kind| of(network, kind).is_some_and(|one| matches!(one.push, AsIds(_)));
        let wanted: BTreeSet<_> = readings()
            .into_iter()
            .filter(|(_, reading)| reading.wanted.is_some())
            .map(|(network, reading)| (network, reading.content.kind))
            .collect();
        let all = Network::ALL.into_iter().flat_map(|network| Kind::ALL.map(|kind| (network, kind)));
        let said: BTreeSet<_> = all.filter(|&(network, kind)| as_ids(network, kind)).collect();
        assert_eq!(said, wanted);
        let expected = [
            (Network::Instagram, Kind::Mention),
            (Network::Youtube, Kind::Post),
            (Network::Linkedin, Kind::Comment),
        ];
        assert_eq!(said, BTreeSet::from(expected));
    }

    #[test]
    fn a_comment_on_an_advertisement_is_on_the_advertised_post() {
        let on: Vec<_> =
            readings().into_iter().filter(|(_, reading)| reading.thing == "comment:18003").collect();
        let parents = on.iter().map(|(_, reading)| reading.content.parent.as_ref().unwrap().id.as_str());
        assert_eq!(parents.collect::<Vec<_>>(), ["17901"], "and not 17999, the advertisement's copy");
    }

    #[test]
    fn networks_that_push_are_those_with_a_push_address() {
        let template = fs::read_to_string(repository().join("template.yaml")).unwrap();
        for network in Network::ALL {
            let comes = |kind| of(network, kind).is_some_and(|one| !one.push.actions().is_empty());
            let some = Kind::ALL.into_iter().any(comes);
            assert_eq!(template.contains(&format!("Path: /push/{network}}}")), some, "{network}");
            if !some {
                let shapes = pushes().into_iter().flat_map(|(_, body)| split(network, &body));
                assert!(shapes.map(|update| update.event.shape).all(|shape| shape == Shape::Unknown));
            }
        }
    }

    #[test]
    fn only_edits_back_and_updates_without_id_say_what_others_say() {
        let mut seen = BTreeSet::new();
        for (network, reading) in readings() {
            let key = crate::inbox::EntryKey::new(&reading.thing, &reading.version);
            let is_new = seen.insert((network, key.as_str().to_owned()));
            let may_come_again = reading.nameless || reading.content.action == Edited;
            assert!(is_new || may_come_again, "{network}: {reading:?}");
        }
    }
}
