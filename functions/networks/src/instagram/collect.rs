//! Instagram's professional accounts: media, stories, comments and answers, tags, conversations; and what was pushed as
//! ids only.
//!
//! - `/{account}/media`, `/stories`, `/tags`: newest first is taken for likely; no certain `since`; stories last 24 h
//! - `/{media}/comments`: newest first, 50 at most, top level only, not filtered by time; what is hidden or of a live
//!   video is not listed; answers stand in `replies`, the rest of them is asked for by itself
//! - `/me/conversations?platform=instagram`: by the time of the last message
//! - `/{account}?fields=mentioned_comment…`: by its id alone: [`complete`]
//!
//! An answer to an old comment stands below it and not at the top of the list. Those to comments of the last day are
//! found at each look at their media, and those to older ones once in six hours, when all of it is looked at.
//!
//! Tokens are of three kinds, with two hosts: see [`Login`]. Needed permissions: [`Login::permissions`]. Of the unified
//! login's (a Business Integration System User's, at `graph.facebook.com`) the account itself is asked for by its id,
//! and so are its conversations, as with Instagram's own login; that edge is by analogy.
//!
//! Ads are listed where the page names an ad account: `/{ad account}/ads`, with the login of Facebook or the unified
//! one. Comments on an ad are listed under the ad's own media; an ad that shows a publication has a copy of it there,
//! which is told as no publication of its own, and comments on it have the publication as their parent, as in pushes.
//!
//! Not collected: comments on advertisements where the page names no ad account (pushes bring them), live comments,
//! mentions in captions and comments that no push named (there is no list of them), deletions.
//!
//! Sources: developers.facebook.com/docs/instagram-platform/reference/instagram-media/comments,
//! /instagram-user/mentioned_comment, /mentioned_media, /business-login; captured answers.

use jiff::Timestamp;
use serde_json::json;

use crate::inbox::Wanted;
use crate::meta::collect::{
    AccountCheck, AdPost, Ads, Checkpoint, Collection, Edge, EdgeOwner, Finds, LATE_SECONDS, Order, Plan,
    RUNNING, Reply, Settings, ask_of, encoded, event, read, scrubbed,
};
use crate::network::{Network, NetworkId};
use crate::normalise::value::id;
use crate::page::{AccessToken, Login};
use crate::poll::settings::ApiSettings;
use crate::poll::{Begun, NetworkRequest, NetworkResponse, ParsedResponse, Start, Verdict};
use crate::push::members::Members;

const HOUR: i64 = 3600;

impl Login {
    /// The login that a token is of: what the page's owner said, else by its first letters. Those of Instagram's own
    /// begin with `IG` (`IGAA…`, formerly `IGQ…`), those of `graph.facebook.com` with `EAA`. It is nowhere promised: it
    /// is what the tokens are like that the documentation shows
    /// (developers.facebook.com/docs/instagram-basic-display-api, /docs/facebook-login/guides/access-tokens), and what
    /// public clients choose the host by. Facebook's and the unified login begin alike; a collection by
    /// [`Login::Facebook`] finds out which it is.
    #[must_use]
    pub fn of(token: &AccessToken, told: Option<Self>) -> Self {
        let guess = if token.reveal().starts_with("IG") { Self::Instagram } else { Self::Facebook };
        told.unwrap_or(guess)
    }

    /// The permissions that collecting needs.
    #[must_use]
    pub fn permissions(self) -> &'static [&'static str] {
        match self {
            Self::Instagram => &[
                "instagram_business_basic",
                "instagram_business_manage_comments",
                "instagram_business_manage_messages",
            ],
            Self::Facebook => &[
                "instagram_basic",
                "instagram_manage_comments",
                "instagram_manage_messages",
                "pages_show_list",
                "pages_read_engagement",
            ],
            // No public page lists them; a call that lacks one says so.
            Self::Unified => &[],
        }
    }

    fn plan(self) -> &'static Plan {
        match self {
            Self::Instagram => &OF_INSTAGRAM,
            Self::Facebook => &OF_FACEBOOK,
            Self::Unified => &UNIFIED,
        }
    }
}

static REPLIES: Edge = Edge {
    what: "replies",
    of: EdgeOwner::AnObject,
    path: "replies",
    fields: "id,text,timestamp,username,from{id,username},parent_id,hidden",
    query: &[],
    time: "timestamp",
    order: Order::NewestFirst,
    overlap: 0,
    page_size: 50,
    finds: Finds::Things,
};

static COMMENTS: Edge = Edge {
    what: "comments",
    of: EdgeOwner::AnObject,
    path: "comments",
    fields: "id,text,timestamp,username,from{id,username},parent_id,hidden,\
             replies.limit(50){id,text,timestamp,username,from{id,username},parent_id,hidden}",
    query: &[],
    time: "timestamp",
    order: Order::NewestFirst,
    overlap: 24 * HOUR,
    page_size: 50,
    finds: Finds::Answered(&REPLIES),
};

static MESSAGES: Edge = Edge {
    what: "messages",
    of: EdgeOwner::AnObject,
    path: "messages",
    fields: "id,created_time,from,to,message,attachments,shares,story,is_unsupported",
    query: &[],
    time: "created_time",
    order: Order::NewestFirst,
    overlap: 0,
    page_size: 20,
    finds: Finds::Things,
};

const MEDIA_FIELDS: &str = "id,caption,media_type,media_product_type,media_url,permalink,timestamp,username,\
                            comments_count,children{id,media_type,media_url}";

/// An ad creative with `instagram_user_id` has a media of its own for that account, `effective_instagram_media_id`,
/// under which the comments on the ad are listed; those on the publication that it may be made of,
/// `source_instagram_media_id`, are listed under that
/// (developers.facebook.com/documentation/ads-commerce/instagram/ads-api/guides/post-moderation).
static ADS: Ads = Ads {
    behind: |ad, page| {
        let creative = ad.get("creative")?;
        let media = id(creative, "effective_instagram_media_id")?;
        let of_the_account = id(creative, "instagram_user_id")? == page.as_str();
        let original = id(creative, "source_instagram_media_id").filter(|original| *original != media);
        AdPost::of(ad, media, original).filter(|_| of_the_account)
    },
    post: &Edge {
        what: "media",
        of: EdgeOwner::AnObject,
        path: "",
        fields: MEDIA_FIELDS,
        query: &[],
        time: "timestamp",
        order: Order::NewestFirst,
        overlap: 0,
        page_size: 1,
        finds: Finds::Things,
    },
    comments: COUNT,
};

/// The number of a media's comments.
const COUNT: &str = "/comments_count";

static EDGES: [Edge; 5] = [
    Edge {
        what: "media",
        of: EdgeOwner::ThePage,
        path: "media",
        fields: MEDIA_FIELDS,
        query: &[],
        time: "timestamp",
        order: Order::NewestFirst,
        overlap: 72 * HOUR,
        page_size: 50,
        finds: Finds::Posts(COUNT),
    },
    Edge {
        what: "stories",
        of: EdgeOwner::ThePage,
        path: "stories",
        fields: "id,caption,media_type,media_product_type,media_url,permalink,timestamp,username",
        query: &[],
        time: "timestamp",
        order: Order::NewestFirst,
        overlap: 24 * HOUR,
        page_size: 50,
        finds: Finds::Things,
    },
    Edge {
        what: "conversations",
        of: EdgeOwner::Me,
        path: "conversations",
        fields: "id,updated_time",
        query: &[("platform", "instagram")],
        time: "updated_time",
        order: Order::NewestFirst,
        overlap: LATE_SECONDS,
        page_size: 25,
        finds: Finds::Threads(&MESSAGES),
    },
    Edge {
        what: "tags",
        of: EdgeOwner::ThePage,
        path: "tags",
        fields: "id,caption,media_type,media_url,permalink,timestamp,username",
        query: &[],
        time: "timestamp",
        order: Order::NewestFirst,
        overlap: 24 * HOUR,
        page_size: 50,
        finds: Finds::Things,
    },
    Edge {
        what: "ads",
        of: EdgeOwner::TheAdAccount,
        path: "ads",
        fields: "id,name,creative{effective_instagram_media_id,source_instagram_media_id,instagram_user_id}",
        query: &RUNNING,
        time: "created_time",
        order: Order::AnySince,
        overlap: 0,
        page_size: 100,
        finds: Finds::Ads(&ADS),
    },
];

static OF_INSTAGRAM: Plan = Plan {
    network: Network::Instagram,
    me: "user_id,username",
    is_the_pages: |me, page| Some(id(me, "user_id")? == page.as_str()),
    account: AccountCheck::Never,
    edges: &EDGES,
    comments: &COMMENTS,
    whole_every: 6 * HOUR,
};

static OF_FACEBOOK: Plan = Plan {
    me: "id,instagram_business_account{id}",
    // A page without an account has no such member, and a token that may not see it is answered without it.
    is_the_pages: |me, page| {
        let account = me.get("instagram_business_account").and_then(|account| id(account, "id"));
        Some(account?.as_str() == page.as_str())
    },
    account: AccountCheck::AfterMe(ACCOUNT_FIELDS),
    network: Network::Instagram,
    edges: &EDGES,
    comments: &COMMENTS,
    whole_every: 6 * HOUR,
};

/// The account's own media are shown to its own tokens alone, so that who sees them may see the account.
const ACCOUNT_FIELDS: &str = "id,username,media.limit(1){id}";

static UNIFIED: Plan = Plan {
    me: "id",
    is_the_pages: |_, _| None,
    account: AccountCheck::First(ACCOUNT_FIELDS),
    network: Network::Instagram,
    edges: &EDGES,
    comments: &COMMENTS,
    whole_every: 6 * HOUR,
};

/// Begins the collection of an account. Whose a new token is, is asked before all else.
pub(super) fn begin(start: Start<'_>) -> Begun {
    let Start { scope, api, checkpoint, access_token, login, ad_account, .. } = start;
    let (settings, login) = (Settings::of(api), Login::of(access_token, login));
    let begin = |kept| run(&settings, login, &scope.owner, scope.token_version, kept, scope.now);
    // The host of Instagram's own login knows no ad accounts.
    let ad_account = ad_account.filter(|_| login != Login::Instagram);
    Begun::from(checkpoint, |kept| begin(kept).with_ads_of(ad_account))
}

/// Goes on with the collection of an account from a checkpoint. `token` is the number of the page's token
/// ([`Page::token_version`](crate::page::Page::token_version)): whose a new one is, is asked before all else.
#[must_use]
pub fn run(
    settings: &Settings,
    login: Login,
    page: &NetworkId,
    token: u64,
    kept: Checkpoint,
    now: Timestamp,
) -> Collection {
    Collection::begin(login.plan(), settings, page, token, kept, now)
}

/// The ask for what was pushed as ids only.
#[must_use]
pub fn complete(wanted: &Wanted, page: &NetworkId, api: &ApiSettings) -> NetworkRequest {
    let (what, fields) = match wanted {
        Wanted::MentionedComment { comment, .. } => (
            "mentioned_comment",
            format!(
                "mentioned_comment.comment_id({}){{id,text,timestamp,username,from,media{{id,permalink}}}}",
                plain(comment)
            ),
        ),
        Wanted::MentionedMedia { media }
        | Wanted::Video { video: media, .. }
        | Wanted::Comment { comment: media } => (
            "mentioned_media",
            format!(
                "mentioned_media.media_id({}){{id,caption,media_type,media_url,permalink,timestamp,username}}",
                plain(media)
            ),
        ),
    };
    let path = format!("/{}/{}", api.version, encoded(page.as_str()));
    ask_of(what, path, vec![("fields", fields)])
}

/// What the answer to [`complete`] says: one event, with the key of the one that was pushed. It is to be
/// dispatched in that one's place. Where it is [gone](Verdict::Gone) (deleted, or of an account that is not public),
/// there is none, and the push's own ids are all there will ever be.
#[must_use]
pub fn completed(
    wanted: &Wanted,
    answer: &NetworkResponse<'_>,
    api: &ApiSettings,
    now: Timestamp,
) -> ParsedResponse {
    let (field, beside) = match wanted {
        Wanted::MentionedComment { comment, media } => {
            ("mentioned_comment", json!({"comment": comment, "media": media}))
        }
        // No push of Instagram's wants another network's things.
        Wanted::MentionedMedia { media }
        | Wanted::Video { video: media, .. }
        | Wanted::Comment { comment: media } => ("mentioned_media", json!({ "media": media })),
    };
    let (body, near) = match read(answer, &Settings::of(api), now) {
        Reply::Good { body, near, .. } => (body, near),
        Reply::Bad { verdict, .. } => return ParsedResponse { events: Vec::new(), verdict },
    };
    let inner = Members::of(&body).and_then(|members| {
        members.get(field).filter(|inner| inner.get().starts_with('{')).map(|inner| scrubbed(inner, &[]))
    });
    match inner {
        Some(raw) => ParsedResponse {
            events: vec![event(Network::Instagram, field, raw, beside)],
            verdict: near.unwrap_or(Verdict::Fine),
        },
        None => ParsedResponse { events: Vec::new(), verdict: near.unwrap_or(Verdict::Malformed) },
    }
}

/// An id as it may stand among fields: what is none of its characters would be read as more fields.
fn plain(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_first_letters_tell_its_login() {
        let token = |text: &str| AccessToken::from_stored(text.to_owned());
        let login = |text: &str| Login::of(&token(text), None);
        assert_eq!(["IGAAx", "IGQVJx"].map(login), [Login::Instagram, Login::Instagram]);
        assert_eq!(["EAABx", "GIG", "igaa", ""].map(login), [Login::Facebook; 4]);
        for told in Login::ALL {
            assert_eq!(Login::of(&token("EAABx"), Some(told)), told);
        }
    }
}
