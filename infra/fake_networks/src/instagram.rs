//! Instagram's professional accounts, Graph API v27.0, on both hosts: `/{account}/media`, `/stories`, `/tags`,
//! `/{media}/comments` with `replies` expanded, `/{comment}/replies`, `/me/conversations` and
//! `/{conversation}/messages`, `mentioned_comment` and `mentioned_media` by field expansion, objects by their ids,
//! `debug_token`, and `/refresh_access_token`.
//!
//! Tokens of Instagram's own login are taken at the token address alone (graph.instagram.com), and those of Facebook
//! Login at the other (graph.facebook.com), where `me` is the Facebook page that the account is connected to: its id is
//! the account's with a 9 before it. Those of the unified login are taken there, too; their `me` is a system user,
//! which names no account, and the account's conversations are its own.
//!
//! An [`Ad`](Kind::Ad) shows the media that is its parent; of a copy the member `source` names the publication.
//!
//! A [`Mention`](Kind::Mention) is a comment of somebody else's on the media that is its parent, or without one media
//! of somebody else's with the name in its caption; both are found by their ids alone. A [`Tag`](Kind::Tag) is somebody
//! else's photo. Stories are listed for 24 hours. Comments are listed newest first, 50 at once at most, top level
//! alone.
//!
//! Sources: developers.facebook.com/docs/instagram-platform (instagram-media/comments, ig-comment/replies,
//! instagram-user/mentioned_comment, /mentioned_media, conversations, business-login); captured answers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::graph::{self, Arguments, Edge, Field, Graph, Node, Refusal, Shape, Thread, time};
use crate::listing::Order;
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::shelf::{Api, Draft};
use crate::thing::{Author, Kind, Published};
use crate::token::{Holder, Login};

const STORY_MS: u64 = 24 * 3600 * 1000;

/// Permissions of one thing, by login: Facebook's, then Instagram's.
const BASIC: [&str; 2] = ["instagram_basic", "instagram_business_basic"];
const COMMENTS: [&str; 2] = ["instagram_manage_comments", "instagram_business_manage_comments"];
const MESSAGES: [&str; 2] = ["instagram_manage_messages", "instagram_business_manage_messages"];

fn permission(of: [&'static str; 2], login: Login) -> &'static str {
    match login {
        Login::Facebook | Login::Unified => of[0],
        Login::Instagram => of[1],
    }
}

pub(crate) struct Instagram;

impl Api for Instagram {
    fn lasts_seconds(&self) -> Option<u64> {
        Some(60 * 24 * 3600)
    }

    fn kind(&self, request: &Request) -> String {
        graph::kind(request)
    }

    fn answer(&self, shelf: &mut Shelf, request: &Request) -> Reply {
        graph::answer(self, shelf, request)
    }

    fn unavailable(&self, status: u16) -> Reply {
        graph::unavailable(status)
    }

    fn limited(&self, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply {
        graph::limited(self, shelf, request, until_ms)
    }

    fn kinds(&self) -> &'static [Kind] {
        &[
            Kind::Post,
            Kind::Story,
            Kind::Comment,
            Kind::Reply,
            Kind::Mention,
            Kind::Tag,
            Kind::DirectMessage,
            Kind::Ad,
        ]
    }

    fn id(&self, draft: &Draft<'_>) -> String {
        match draft.thing.kind {
            Kind::DirectMessage => {
                let salt = crate::hash(&(draft.page, draft.sequence));
                format!("aWdf{}", URL_SAFE_NO_PAD.encode(format!("{salt:016x}:{}", draft.sequence)))
            }
            _ => (17_900_000_000_000_000 + draft.sequence).to_string(),
        }
    }
}

impl Shape for Instagram {
    fn field(&self, graph: &Graph<'_>, node: &Node<'_>, field: &Field) -> Result<Option<Value>, Refusal> {
        let refuse = || Refusal::no_such_field(&field.name, self.type_name(node));
        match node {
            Node::Page if field.name.starts_with("mentioned_") => mentioned(graph, field)?.ok_or_else(refuse),
            Node::Owner if graph.holder.login == Login::Unified => {
                of_system_user(graph, &field.name).ok_or_else(|| Refusal::no_such_field(&field.name, "User"))
            }
            Node::Owner => of_owner(graph, &field.name).ok_or_else(refuse),
            Node::Page => of_account(graph, &field.name).ok_or_else(refuse),
            Node::Thread(thread) => of_thread(graph, thread, &field.name).ok_or_else(refuse),
            Node::AdAccount(id) => (field.name == "id").then(|| Some(id.clone().into())).ok_or_else(refuse),
            Node::Thing(ad) if ad.kind == Kind::Ad => {
                let creative = json!({"effective_instagram_media_id": ad.parent, "instagram_user_id": ad.page,
                    "source_instagram_media_id": ad.members.get("source")});
                graph::of_ad(ad, &field.name, &creative).ok_or_else(refuse)
            }
            Node::Thing(thing) if is_comment(thing) => {
                of_comment(graph, thing, &field.name).ok_or_else(refuse)
            }
            Node::Thing(thing) if thing.kind == Kind::DirectMessage => {
                of_message(graph, thing, &field.name).ok_or_else(refuse)
            }
            Node::Thing(thing) => of_media(graph, thing, &field.name).ok_or_else(refuse),
        }
    }

    fn edge<'a>(
        &self,
        graph: &Graph<'a>,
        node: &Node<'a>,
        name: &str,
        how: &Arguments<'_>,
    ) -> Option<Edge<'a>> {
        let (now_ms, login) = (graph.now_ms(), graph.holder.login);
        let of_kind =
            |kind: Kind| graph.shelf.listed_of(&graph.holder.id, now_ms).filter(move |one| one.kind == kind);
        let (basic, comments) = (permission(BASIC, login), permission(COMMENTS, login));
        let (order, messages) = (Order::NewestFirst, permission(MESSAGES, login));
        match (node, name) {
            (Node::Page, "media") => Some(Edge::of(basic, order, of_kind(Kind::Post))),
            (Node::Page, "stories") => {
                let young = of_kind(Kind::Story).filter(move |story| story.at_ms + STORY_MS > now_ms);
                Some(Edge::of(basic, order, young))
            }
            (Node::Page, "tags") => Some(Edge::of(comments, order, of_kind(Kind::Tag))),
            (Node::Page | Node::Owner, "conversations") => {
                // The conversations of an account that a system user sees are its own.
                let of_the_account = login == Login::Unified || self.me_is_the_page(graph.holder);
                let me = if of_the_account { Node::Page } else { Node::Owner };
                let is_here = std::mem::discriminant(&me) == std::mem::discriminant(node);
                is_here.then(|| graph.conversations(messages, how))
            }
            (Node::Thread(thread), "messages") => {
                Some(Edge::of(messages, order, thread.messages.iter().copied()))
            }
            (Node::AdAccount(id), "ads") => Some(graph.ads(id, how)),
            (Node::Thing(media), "comments") if media.kind == Kind::Post => {
                Some(Edge::of(comments, order, graph.shelf.listed_below(&media.id, now_ms)).at_most(50))
            }
            (Node::Thing(comment), "replies") if is_comment(comment) => {
                // An answer to an answer stands beside it: there are two levels.
                let below = graph.shelf.listed_under(&comment.id, now_ms);
                Some(Edge::of(comments, order, below).at_most(50))
            }
            _ => None,
        }
    }

    fn usual_fields(&self, node: &Node<'_>) -> &'static str {
        match node {
            Node::Owner => "name,id",
            Node::Thread(_) => "id,updated_time",
            Node::Thing(thing) if is_comment(thing) => "timestamp,text,id",
            Node::Thing(thing) if thing.kind == Kind::DirectMessage => "id,created_time",
            Node::Page | Node::AdAccount(_) | Node::Thing(_) => "id",
        }
    }

    fn type_name(&self, node: &Node<'_>) -> &'static str {
        match node {
            Node::Owner => "Page",
            Node::Page => "IGUser",
            Node::AdAccount(_) => "AdAccount",
            Node::Thing(ad) if ad.kind == Kind::Ad => "Ad",
            Node::Thread(_) => "UnifiedThread",
            Node::Thing(thing) if is_comment(thing) => "IGComment",
            Node::Thing(thing) if thing.kind == Kind::DirectMessage => "MailingMessage",
            Node::Thing(_) => "IGMedia",
        }
    }

    fn permission(&self, graph: &Graph<'_>, node: &Node<'_>) -> &'static str {
        let login = graph.holder.login;
        match node {
            Node::Owner if login == Login::Unified => permission(BASIC, login),
            Node::Owner => "pages_show_list",
            Node::AdAccount(_) => graph::ADS,
            Node::Thing(ad) if ad.kind == Kind::Ad => graph::ADS,
            Node::Thread(_) => permission(MESSAGES, login),
            Node::Thing(thing) if is_comment(thing) => permission(COMMENTS, login),
            Node::Thing(thing) if thing.kind == Kind::DirectMessage => permission(MESSAGES, login),
            Node::Page | Node::Thing(_) => permission(BASIC, login),
        }
    }

    fn me_is_the_page(&self, holder: &Holder) -> bool {
        holder.login == Login::Instagram
    }

    fn takes(&self, login: Login, at_token_address: bool) -> bool {
        at_token_address == (login == Login::Instagram)
    }

    fn limit(&self) -> (u32, &'static str) {
        (80_002, "instagram")
    }

    fn platform(&self) -> &'static str {
        "instagram"
    }

    fn thread_id(&self, page: &str, with: &str) -> String {
        format!("aWdf{}", URL_SAFE_NO_PAD.encode(format!("thread:{:016x}", crate::hash(&(page, with)))))
    }

    fn permissions(&self, login: Login) -> &'static [&'static str] {
        match login {
            Login::Unified => &[BASIC[0], COMMENTS[0], MESSAGES[0], graph::ADS],
            Login::Facebook => {
                &[BASIC[0], COMMENTS[0], MESSAGES[0], "pages_show_list", "pages_read_engagement", graph::ADS]
            }
            Login::Instagram => &[BASIC[1], COMMENTS[1], MESSAGES[1]],
        }
    }
}

fn is_comment(thing: &Published) -> bool {
    let on_media = thing.kind == Kind::Mention && thing.parent.is_some();
    on_media || matches!(thing.kind, Kind::Comment | Kind::Reply)
}

/// The outer None: there is no such field; the inner: it is empty.
type Known = Option<Option<Value>>;

fn some(value: impl Into<Value>) -> Known {
    Some(Some(value.into()))
}

fn text(text: &str) -> Known {
    Some((!text.is_empty()).then(|| text.into()))
}

fn person(author: &Author) -> Value {
    json!({"id": author.id, "username": author.name})
}

/// `mentioned_comment.comment_id(…){…}` and `mentioned_media.media_id(…){…}`.
fn mentioned(graph: &Graph<'_>, field: &Field) -> Result<Known, Refusal> {
    let (argument, of_comments) = match field.name.as_str() {
        "mentioned_comment" => ("comment_id", true),
        "mentioned_media" => ("media_id", false),
        _ => return Ok(None),
    };
    graph.allowed(permission(COMMENTS, graph.holder.login))?;
    let Some(id) = field.argument(argument) else {
        return Err(Refusal::parameter(&format!("The parameter {argument} is required")));
    };
    let is_it = |thing: &&Published| {
        thing.kind == Kind::Mention && thing.page == graph.holder.id && is_comment(thing) == of_comments
    };
    let found = graph.shelf.present(id, graph.now_ms()).filter(is_it).ok_or_else(|| Refusal::gone(id))?;
    graph.render(&Node::Thing(found), Some(field.inner.as_deref().unwrap_or("id"))).map(some)
}

/// The Facebook page that the account is connected to.
fn of_owner(graph: &Graph<'_>, name: &str) -> Known {
    match name {
        "id" => some(graph.owner_id()),
        "name" => some(graph.page_name()),
        "instagram_business_account" | "connected_instagram_account" => some(json!({"id": graph.holder.id})),
        _ => None,
    }
}

/// The system user whose token a unified login gives: no page, and no account is named by it.
fn of_system_user(graph: &Graph<'_>, name: &str) -> Known {
    match name {
        "id" => some(format!("7{}", graph.holder.id)),
        "name" => some("A system user"),
        _ => None,
    }
}

fn of_account(graph: &Graph<'_>, name: &str) -> Known {
    let own_login = graph.holder.login == Login::Instagram;
    match name {
        // With Instagram's own login `id` is the app's name of the account, and `user_id` the account's.
        "id" if own_login => some(format!("8{}", graph.holder.id)),
        "id" => some(graph.holder.id.clone()),
        "user_id" if own_login => some(graph.holder.id.clone()),
        "account_type" if own_login => some("BUSINESS"),
        "username" | "name" => some(graph.page_name()),
        "media_count" => {
            let media = graph.shelf.listed_of(&graph.holder.id, graph.now_ms());
            some(media.filter(|one| one.kind == Kind::Post).count())
        }
        "followers_count" | "follows_count" => some(15),
        "biography" | "website" | "profile_picture_url" | "ig_id" => Some(None),
        _ => None,
    }
}

fn of_media(graph: &Graph<'_>, media: &Published, name: &str) -> Known {
    let is_story = media.kind == Kind::Story;
    match name {
        "id" | "ig_id" => some(media.id.clone()),
        "caption" => text(&media.text),
        "media_type" => some("IMAGE"),
        "media_product_type" => some(if is_story { "STORY" } else { "FEED" }),
        "media_url" => some(format!("https://scontent.example/{}.jpg", media.id)),
        "permalink" if is_story => some(format!("https://instagram.com/stories/{}", media.id)),
        "permalink" => some(format!("https://www.instagram.com/p/{}/", shortcode(media))),
        "shortcode" => some(shortcode(media)),
        "timestamp" => some(time(media.at_ms)),
        "username" => some(graph.author(media).name),
        "owner" => some(json!({"id": graph.author(media).id})),
        "like_count" => some(0),
        "comments_count" => some(graph.shelf.listed_under(&media.id, graph.now_ms()).len()),
        "is_comment_enabled" => some(true),
        "children" | "thumbnail_url" | "alt_text" => Some(None),
        _ => None,
    }
}

fn shortcode(media: &Published) -> String {
    URL_SAFE_NO_PAD.encode(media.sequence.to_be_bytes())
}

fn of_comment(graph: &Graph<'_>, comment: &Published, name: &str) -> Known {
    let author = graph.author(comment);
    match name {
        "id" => some(comment.id.clone()),
        "text" => text(&comment.text),
        "timestamp" => some(time(comment.at_ms)),
        "username" => some(author.name),
        "from" => some(person(&author)),
        "hidden" => some(false),
        "like_count" => some(0),
        "parent_id" => Some(parent(graph, comment).map(Value::from)),
        "media" => {
            let media = graph.shelf.root(&comment.id);
            let link = format!("https://www.instagram.com/p/{media}/");
            some(json!({"id": media, "media_product_type": "FEED", "permalink": link}))
        }
        "user" | "legacy_instagram_comment_id" => Some(None),
        _ => None,
    }
}

/// The comment of the top level that an answer is below.
fn parent(graph: &Graph<'_>, comment: &Published) -> Option<String> {
    let mut above = None;
    let mut next = comment.parent.as_deref().and_then(|id| graph.shelf.find(id));
    while let Some(one) = next.filter(|one| matches!(one.kind, Kind::Comment | Kind::Reply)) {
        above = Some(one.id.clone());
        next = one.parent.as_deref().and_then(|id| graph.shelf.find(id));
    }
    above
}

fn of_thread(graph: &Graph<'_>, thread: &Thread<'_>, name: &str) -> Known {
    match name {
        "id" => some(thread.id.clone()),
        "updated_time" => some(time(thread.updated_ms())),
        "participants" => {
            let page = Author { id: graph.holder.id.clone(), name: graph.page_name() };
            some(json!({"data": [person(&page), person(thread.with)]}))
        }
        "name" | "is_owner" => Some(None),
        _ => None,
    }
}

fn of_message(graph: &Graph<'_>, message: &Published, name: &str) -> Known {
    let page = Author { id: graph.holder.id.clone(), name: graph.page_name() };
    match name {
        "id" => some(message.id.clone()),
        "created_time" => some(time(message.at_ms)),
        "message" => some(message.text.clone()),
        "from" => some(person(&graph.author(message))),
        "to" => {
            let to = if message.author.is_some() { &page } else { message.to.as_ref().unwrap_or(&page) };
            some(json!({"data": [person(to)]}))
        }
        "attachments" | "shares" | "story" | "is_unsupported" | "reactions" | "tags" | "reply_to" => {
            Some(None)
        }
        _ => None,
    }
}
