//! What the edges of the graph are, and how one is asked for.

use jiff::Timestamp;
use serde_json::Value;

use super::answers::{Element, event};
use super::scrub::scrubbed;
use super::walk::MAX_ID_BYTES;
use crate::collected::Ad;
use crate::inbox::Event;
use crate::network::{Network, NetworkId};
use crate::normalise::value::{id, text, time};
use crate::poll::{Auth, Endpoint, Method, NetworkRequest};

/// What is asked of one of the two networks.
pub(crate) struct Plan {
    pub(crate) network: Network,
    /// What tells whose a token is, of `/me`.
    pub(crate) me: &'static str,
    /// Whether what came is the page's; `None` where it does not say.
    pub(crate) is_the_pages: fn(&Value, &NetworkId) -> Option<bool>,
    /// Whether the page itself is asked for, with the token.
    pub(crate) account: AccountCheck,
    /// The page's own edges, in the order in which they are asked.
    pub(crate) edges: &'static [Edge],
    /// The edge of a post's comments.
    pub(crate) comments: &'static Edge,
    /// How often all comments of a post are looked at, in seconds.
    pub(crate) whole_every: i64,
}

/// Whether the page itself is asked for to learn whose a token is, with these fields, which its own token sees alone.
#[derive(Clone, Copy)]
pub(crate) enum AccountCheck {
    /// It is not.
    Never,
    /// It is, where `/me` names no page.
    AfterMe(&'static str),
    /// It is, in the place of `/me`.
    First(&'static str),
}

impl AccountCheck {
    /// The fields that are asked for.
    pub(crate) fn fields(self) -> Option<&'static str> {
        match self {
            Self::Never => None,
            Self::AfterMe(fields) | Self::First(fields) => Some(fields),
        }
    }
}

/// An edge of the graph.
pub(crate) struct Edge {
    /// Its name in asks, events and checkpoints.
    pub(crate) what: &'static str,
    /// What it is an edge of.
    pub(crate) of: EdgeOwner,
    /// Its name in paths.
    pub(crate) path: &'static str,
    pub(crate) fields: &'static str,
    pub(crate) query: &'static [(&'static str, &'static str)],
    /// The member that it is ordered by.
    pub(crate) time: &'static str,
    pub(crate) order: Order,
    /// How far back what is known is looked at again, in seconds.
    pub(crate) overlap: i64,
    /// The most that it answers at once.
    pub(crate) page_size: u32,
    pub(crate) finds: Finds,
}

/// What an edge belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EdgeOwner {
    ThePage,
    /// Of whom the token is: of a page's token, the page.
    Me,
    AnObject,
    /// The ad account that the page names.
    TheAdAccount,
}

/// In which order an edge answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    /// As above, and what is older than `since` is left out.
    NewestFirstSince,
    /// Whatever its order: what is older than `since` is left out, or not, so that it is walked to its end.
    AnySince,
}

/// What an edge's elements are.
pub(crate) enum Finds {
    /// What is collected.
    Things,
    /// The same, and they have comments, whose number is at this JSON pointer.
    Posts(&'static str),
    /// What is collected: posts of somebody else's that mention the page, whose comments are looked at for a week.
    Mentions,
    /// Objects whose edge has what is collected.
    Threads(&'static Edge),
    /// What is collected; each with a part of its answers in the member of the edge's path.
    Answered(&'static Edge),
    /// Ads, of pages of all kinds.
    Ads(&'static Ads),
}

/// The ads that are shown, or will be in a moment
/// (developers.facebook.com/docs/marketing-api/reference/ad-campaign/ads).
pub(crate) const RUNNING: [(&str, &str); 1] =
    [("effective_status", r#"["ACTIVE","IN_PROCESS","WITH_ISSUES"]"#)];

/// How the posts behind ads are found.
pub(crate) struct Ads {
    /// The post that an ad shows, where it is this page's.
    pub(crate) behind: fn(&Value, &NetworkId) -> Option<AdPost>,
    /// A post by its id: an edge without a path, which is the object itself.
    pub(crate) post: &'static Edge,
    /// The number of a post's comments, as a JSON pointer.
    pub(crate) comments: &'static str,
}

/// The post that an ad shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdPost {
    /// Its id, under which its comments are listed.
    pub(crate) id: String,
    /// The ad.
    pub(crate) ad: Ad,
    /// The publication that it is a copy of, where it is one.
    pub(crate) original: Option<String>,
}

impl AdPost {
    /// The post of this id that an ad shows.
    pub(crate) fn of(ad: &Value, post: String, original: Option<String>) -> Option<Self> {
        let fits = |id: &String| id.len() <= MAX_ID_BYTES;
        let name = text(ad, "name").map(|name| name.chars().take(MAX_AD_NAME).collect());
        let ad = Ad { id: id(ad, "id").filter(fits)?, name };
        Some(Self { id: Some(post).filter(fits)?, ad, original: original.filter(fits) })
    }
}

/// How many characters of an ad's name are kept.
const MAX_AD_NAME: usize = 60;

pub(crate) fn ask_of(what: &'static str, path: String, query: Vec<(&'static str, String)>) -> NetworkRequest {
    NetworkRequest {
        operation: what,
        to: Endpoint::Api,
        method: Method::Get,
        path,
        query,
        headers: Vec::new(),
        auth: Auth::Bearer,
        units: 1,
    }
}

pub(super) fn at(element: &Element, edge: &Edge) -> Option<i64> {
    time(&element.value, edge.time).map(Timestamp::as_second)
}

pub(super) fn is_older(element: &Element, edge: &Edge, floor: i64) -> bool {
    at(element, edge).is_some_and(|at| at < floor)
}

/// Whether an answer has what is known alone, so that an edge that begins with the newest is over.
pub(super) fn are_older(elements: &[Element], edge: &Edge, floor: i64) -> bool {
    !elements.is_empty() && elements.iter().all(|one| is_older(one, edge, floor))
}

pub(super) fn events(
    network: Network,
    edge: &Edge,
    elements: &[Element],
    floor: Option<i64>,
    beside: &Value,
) -> Vec<Event> {
    let without: &[&str] = match edge.finds {
        Finds::Answered(of) => &[of.path],
        _ => &[],
    };
    let is_new = |one: &&Element| !is_older(one, edge, floor.unwrap_or(i64::MIN));
    let one = |one: &Element| event(network, edge.what, scrubbed(&one.raw, without), beside.clone());
    elements.iter().filter(is_new).map(one).collect()
}
