//! Facebook Pages: posts (the page's own and visitors'), comments and answers, reviews, posts that tag the page, and
//! Messenger's conversations.
//!
//! - `/{page}/feed`: newest first; `since`, `limit` up to 100; about 600 posts a year are within reach; three days are
//!   looked at again at each tick, for edits and the numbers of comments
//! - `/{post}/comments?filter=stream`: answers too, which the default hides; `order=chronological`; that `since` is by
//!   the comment's time is not certain, so that the list is walked to its end and what is older passed over
//! - `/{page}/ratings`: no `since`; newest first is taken for likely, so that a whole answer of what is known ends it
//! - `/{page}/tagged`: likewise. The comments on such a post are asked for during its first week, once an hour, on the
//!   newest ten, three a tick. Somebody else's post takes the feature Page Public Content Access
//!   (developers.facebook.com/docs/graph-api/reference/post); where they are refused, they are not asked for again
//! - `/me/conversations?platform=messenger`: by the time of the last message; each that is newer is read down to what
//!   is known
//!
//! - `/{ad account}/ads`, where the page names one: ads of all its pages; those whose `effective_object_story_id` is of
//!   this page have a post, read as `/{post}`, whose comments are listed as of any post
//!
//! Needed permissions: `pages_show_list`, `pages_read_engagement`, `pages_read_user_content`, `pages_messaging` (and
//! `pages_manage_metadata` for pushes; `ads_read` for ads). One that is missing takes its edge alone: the verdict is
//! [`Narrowed`](crate::poll::TokenTrouble::Narrowed), and the run goes on with the others.
//!
//! A *user's* token is answered 200 with an empty list where comments are asked for, so that it would seem to work. Its
//! `/me` is the user, and not the page: the run ends there with [`NotThePages`](crate::poll::Verdict::NotThePages).
//!
//! Not collected: reactions (an answer has no time to tell a repetition by), who hid what, and the page's stories.
//!
//! Sources: developers.facebook.com/docs/graph-api/reference/page/feed, /object/comments, /page/ratings,
//! /page/conversations, /docs/marketing-api/reference/ad-account/ads and /ad-creative; edge names of ratings, tagged
//! and conversations are confirmed by captured answers alone.

use jiff::Timestamp;

use crate::meta::collect::{
    AccountCheck, AdPost, Ads, Checkpoint, Collection, Edge, EdgeOwner, Finds, LATE_SECONDS, Order, Plan,
    RUNNING, Settings,
};
use crate::network::{Network, NetworkId};
use crate::normalise::value::id;
use crate::poll::{Begun, Start};

/// What of a post is asked for, also of one that tags the page.
macro_rules! post_fields {
    () => {
        "id,message,created_time,updated_time,permalink_url,is_published,from{id,name},\
         place{id,name,location{latitude,longitude}},\
         attachments{media_type,type,url,unshimmed_url,media,target,subattachments{media_type,type,media,target}}"
    };
}

const HOUR: i64 = 3600;

/// The permissions that collecting needs.
pub const PERMISSIONS: [&str; 4] =
    ["pages_show_list", "pages_read_engagement", "pages_read_user_content", "pages_messaging"];

static MESSAGES: Edge = Edge {
    what: "messages",
    of: EdgeOwner::AnObject,
    path: "messages",
    fields: "id,created_time,from,to,message,sticker,attachments,shares{id,link,name}",
    query: &[],
    time: "created_time",
    order: Order::NewestFirst,
    overlap: 0,
    page_size: 50,
    finds: Finds::Things,
};

static COMMENTS: Edge = Edge {
    what: "comments",
    of: EdgeOwner::AnObject,
    path: "comments",
    fields: "id,message,created_time,from{id,name},parent{id},permalink_url,is_hidden,attachment",
    query: &[("filter", "stream"), ("order", "chronological")],
    time: "created_time",
    order: Order::AnySince,
    overlap: 24 * HOUR,
    page_size: 100,
    finds: Finds::Things,
};

/// The number of a post's comments, where it was asked for with [`COUNTED_POST`].
const COUNT: &str = "/comments/summary/total_count";

const COUNTED_POST: &str = concat!(post_fields!(), ",comments.filter(stream).limit(0).summary(total_count)");

/// A post of the page's is named `<page>_<post>`, so that the story of an ad says whose it is.
static ADS: Ads = Ads {
    behind: |ad, page| {
        let story = id(ad.get("creative")?, "effective_object_story_id")?;
        let of_the_page = story.split_once('_').is_some_and(|(of, _)| of == page.as_str());
        AdPost::of(ad, story, None).filter(|_| of_the_page)
    },
    post: &Edge {
        what: "posts",
        of: EdgeOwner::AnObject,
        path: "",
        fields: COUNTED_POST,
        query: &[],
        time: "created_time",
        order: Order::NewestFirst,
        overlap: 0,
        page_size: 1,
        finds: Finds::Things,
    },
    comments: COUNT,
};

static PLAN: Plan = Plan {
    network: Network::Facebook,
    me: "id,name",
    is_the_pages: |me, page| Some(id(me, "id")? == page.as_str()),
    account: AccountCheck::Never,
    edges: &[
        Edge {
            what: "posts",
            of: EdgeOwner::ThePage,
            path: "feed",
            fields: COUNTED_POST,
            query: &[],
            time: "created_time",
            order: Order::NewestFirstSince,
            overlap: 72 * HOUR,
            page_size: 100,
            finds: Finds::Posts(COUNT),
        },
        Edge {
            what: "conversations",
            of: EdgeOwner::Me,
            path: "conversations",
            fields: "id,updated_time",
            query: &[("platform", "messenger")],
            time: "updated_time",
            order: Order::NewestFirst,
            overlap: LATE_SECONDS,
            page_size: 25,
            finds: Finds::Threads(&MESSAGES),
        },
        Edge {
            what: "tagged",
            of: EdgeOwner::ThePage,
            path: "tagged",
            fields: post_fields!(),
            query: &[],
            time: "created_time",
            order: Order::NewestFirst,
            overlap: 24 * HOUR,
            page_size: 50,
            finds: Finds::Mentions,
        },
        Edge {
            what: "ratings",
            of: EdgeOwner::ThePage,
            path: "ratings",
            fields: "created_time,reviewer{id,name},rating,recommendation_type,review_text,open_graph_story{id}",
            query: &[],
            time: "created_time",
            order: Order::NewestFirst,
            overlap: 72 * HOUR,
            page_size: 50,
            finds: Finds::Things,
        },
        Edge {
            what: "ads",
            of: EdgeOwner::TheAdAccount,
            path: "ads",
            fields: "id,name,creative{effective_object_story_id}",
            query: &RUNNING,
            time: "created_time",
            order: Order::AnySince,
            overlap: 0,
            page_size: 100,
            finds: Finds::Ads(&ADS),
        },
    ],
    comments: &COMMENTS,
    whole_every: 24 * HOUR,
};

/// Begins the collection of a page. Whose a new token is, is asked before all else.
pub(super) fn begin(start: Start<'_>) -> Begun {
    let Start { scope, api, checkpoint, ad_account, .. } = start;
    let settings = Settings::of(api);
    let begin = |kept| run(&settings, &scope.owner, scope.token_version, kept, scope.now);
    Begun::from(checkpoint, |kept| begin(kept).with_ads_of(ad_account))
}

/// Goes on with the collection of a page from a checkpoint. `token` is the number of the page's token
/// ([`Page::token_version`](crate::page::Page::token_version)): whose a new one is, is asked before all else.
#[must_use]
pub fn run(
    settings: &Settings,
    page: &NetworkId,
    token: u64,
    kept: Checkpoint,
    now: Timestamp,
) -> Collection {
    Collection::begin(&PLAN, settings, page, token, kept, now)
}
