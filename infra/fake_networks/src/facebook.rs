//! Facebook Pages, Graph API v27.0: `/me`, `/{page}/feed` (with `posts` and `published_posts`), `/{post}/comments`,
//! `/{ad account}/ads`, `/{page}/ratings`, `/{page}/tagged`, `/{page}/conversations` and `/{conversation}/messages`,
//! objects by their ids, `debug_token`.
//!
//! A [`Post`](Kind::Post) with an author is a visitor's; a [`Mention`](Kind::Mention) is a post of somebody else's that
//! tags the page (one with a parent is in a comment, and in no list); a [`Review`](Kind::Review) is a recommendation.
//!
//! Sources: developers.facebook.com/docs/graph-api/reference (page/feed, object/comments, page/ratings, page/tagged,
//! page/conversations, conversation/messages); captured answers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::graph::{self, Arguments, Edge, Field, Graph, Node, Refusal, Shape, time};
use crate::listing::Order;
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::shelf::{Api, Draft};
use crate::thing::{Author, Kind, Published};
use crate::token::{Holder, Login};

const ENGAGEMENT: &str = "pages_read_engagement";
const USER_CONTENT: &str = "pages_read_user_content";
const MESSAGING: &str = "pages_messaging";

/// Fields that are known, and that no stand-in's thing has by itself.
const EMPTY_OF_POSTS: [&str; 12] = [
    "attachments",
    "full_picture",
    "likes",
    "message_tags",
    "parent_id",
    "place",
    "reactions",
    "shares",
    "status_type",
    "story",
    "to",
    "via",
];

pub(crate) struct Facebook;

impl Api for Facebook {
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
        &[Kind::Post, Kind::Comment, Kind::Reply, Kind::Mention, Kind::DirectMessage, Kind::Review, Kind::Ad]
    }

    fn id(&self, draft: &Draft<'_>) -> String {
        let number = 122_000_000_000_000 + draft.sequence;
        let of_root = |root: &str| root.rsplit('_').next().unwrap_or(root).to_owned();
        match draft.thing.kind {
            Kind::DirectMessage => {
                let salt = crate::hash(&(draft.page, draft.sequence));
                format!("m_{}", URL_SAFE_NO_PAD.encode(format!("{salt:016x}{number}")))
            }
            Kind::Review | Kind::Ad => number.to_string(),
            Kind::Comment | Kind::Reply => {
                format!("{}_{number}", draft.root.map(of_root).unwrap_or_default())
            }
            _ => {
                let author = draft.thing.author.as_ref().filter(|_| draft.thing.kind == Kind::Mention);
                format!("{}_{number}", author.map_or(draft.page, |author| author.id.as_str()))
            }
        }
    }
}

impl Shape for Facebook {
    fn field(&self, graph: &Graph<'_>, node: &Node<'_>, field: &Field) -> Result<Option<Value>, Refusal> {
        let value = match node {
            Node::Owner | Node::Page => of_page(graph, &field.name),
            Node::Thread(thread) => of_thread(graph, thread, &field.name),
            Node::AdAccount(id) => (field.name == "id").then(|| Some(id.clone().into())),
            Node::Thing(thing) => match thing.kind {
                Kind::Ad => {
                    graph::of_ad(thing, &field.name, &json!({"effective_object_story_id": thing.parent}))
                }
                Kind::Comment | Kind::Reply => of_comment(graph, thing, &field.name),
                Kind::DirectMessage => of_message(graph, thing, &field.name),
                Kind::Review => of_review(graph, thing, &field.name),
                _ => of_post(graph, thing, &field.name),
            },
        };
        value.ok_or_else(|| Refusal::no_such_field(&field.name, self.type_name(node)))
    }

    fn edge<'a>(
        &self,
        graph: &Graph<'a>,
        node: &Node<'a>,
        name: &str,
        how: &Arguments<'_>,
    ) -> Option<Edge<'a>> {
        let now_ms = graph.now_ms();
        match (node, name) {
            (Node::Page, "feed" | "posts" | "published_posts") => {
                let own = name != "feed";
                let posts = graph.shelf.listed_of(&graph.holder.id, now_ms);
                let posts = posts.filter(|one| one.kind == Kind::Post && !(own && one.author.is_some()));
                Some(Edge::of(ENGAGEMENT, Order::NewestFirst, posts).by_time())
            }
            (Node::Page, "tagged") => {
                let posts = graph.shelf.listed_of(&graph.holder.id, now_ms);
                let posts = posts.filter(|one| one.kind == Kind::Mention && one.parent.is_none());
                Some(Edge::of(USER_CONTENT, Order::NewestFirst, posts))
            }
            (Node::Page, "ratings") => {
                let reviews = graph.shelf.listed_of(&graph.holder.id, now_ms);
                let reviews = reviews.filter(|one| one.kind == Kind::Review);
                Some(Edge::of(USER_CONTENT, Order::NewestFirst, reviews))
            }
            (Node::Page, "conversations") => Some(graph.conversations(MESSAGING, how)),
            (Node::AdAccount(id), "ads") => Some(graph.ads(id, how)),
            (Node::Thread(thread), "messages") => {
                Some(Edge::of(MESSAGING, Order::NewestFirst, thread.messages.iter().copied()))
            }
            (Node::Thing(thing), "comments")
                if matches!(thing.kind, Kind::Post | Kind::Mention | Kind::Comment | Kind::Reply) =>
            {
                let order = match how.get("order") {
                    Some("reverse_chronological") => Order::NewestFirst,
                    _ => Order::OldestFirst,
                };
                let below = match how.get("filter") {
                    Some("stream") => graph.shelf.listed_under(&thing.id, now_ms),
                    _ => graph.shelf.listed_below(&thing.id, now_ms).collect(),
                };
                Some(Edge::of(USER_CONTENT, order, below).by_time())
            }
            _ => None,
        }
    }

    fn usual_fields(&self, node: &Node<'_>) -> &'static str {
        match node {
            Node::Owner | Node::Page => "name,id",
            Node::AdAccount(_) => "id",
            Node::Thread(_) => "id,updated_time",
            Node::Thing(thing) => match thing.kind {
                Kind::Comment | Kind::Reply => "created_time,from,message,id",
                Kind::DirectMessage => "id,created_time",
                Kind::Review => "created_time,recommendation_type,review_text",
                Kind::Ad => "id",
                _ => "created_time,message,id",
            },
        }
    }

    fn type_name(&self, node: &Node<'_>) -> &'static str {
        match node {
            Node::Owner | Node::Page => "Page",
            Node::AdAccount(_) => "AdAccount",
            Node::Thread(_) => "UnifiedThread",
            Node::Thing(thing) => match thing.kind {
                Kind::Comment | Kind::Reply => "Comment",
                Kind::DirectMessage => "MailingMessage",
                Kind::Review => "Recommendation",
                Kind::Ad => "Ad",
                _ => "Post",
            },
        }
    }

    fn permission(&self, _: &Graph<'_>, node: &Node<'_>) -> &'static str {
        match node {
            Node::Owner | Node::Page => "pages_show_list",
            Node::AdAccount(_) => graph::ADS,
            Node::Thread(_) => MESSAGING,
            Node::Thing(thing) => match thing.kind {
                Kind::DirectMessage => MESSAGING,
                Kind::Post => ENGAGEMENT,
                Kind::Ad => graph::ADS,
                _ => USER_CONTENT,
            },
        }
    }

    fn me_is_the_page(&self, _: &Holder) -> bool {
        true
    }

    fn takes(&self, login: Login, _: bool) -> bool {
        login == Login::Facebook
    }

    fn limit(&self) -> (u32, &'static str) {
        (80_001, "pages")
    }

    fn platform(&self) -> &'static str {
        "messenger"
    }

    fn thread_id(&self, page: &str, with: &str) -> String {
        format!("t_{}", crate::hash(&(page, with)) % 1_000_000_000_000_000)
    }

    fn permissions(&self, _: Login) -> &'static [&'static str] {
        &[ENGAGEMENT, "pages_show_list", USER_CONTENT, "pages_manage_metadata", MESSAGING, graph::ADS]
    }
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
    json!({"name": author.name, "id": author.id})
}

fn mailbox(author: &Author) -> Value {
    json!({"name": author.name, "email": format!("{}@facebook.com", author.id), "id": author.id})
}

fn of_page(graph: &Graph<'_>, name: &str) -> Known {
    match name {
        "id" => some(graph.holder.id.clone()),
        "name" => some(graph.page_name()),
        "link" => some(format!("https://www.facebook.com/{}", graph.holder.id)),
        "fan_count" | "followers_count" => some(1234),
        "about" | "category" | "username" | "website" | "instagram_business_account" => Some(None),
        _ => None,
    }
}

fn of_post(graph: &Graph<'_>, post: &Published, name: &str) -> Known {
    match name {
        "id" => some(post.id.clone()),
        "message" => text(&post.text),
        "created_time" => some(time(post.at_ms)),
        "updated_time" => {
            let comments = graph.shelf.listed_under(&post.id, graph.now_ms());
            let newest = comments.iter().map(|one| one.at_ms).chain(post.edited_ms).max();
            some(time(newest.unwrap_or(post.at_ms).max(post.at_ms)))
        }
        "permalink_url" => some(format!("https://www.facebook.com/{}", post.id.replace('_', "/posts/"))),
        "is_published" => some(true),
        "is_hidden" | "is_expired" | "is_popular" => some(false),
        "from" => some(person(&graph.author(post))),
        _ => EMPTY_OF_POSTS.contains(&name).then_some(None),
    }
}

fn of_comment(graph: &Graph<'_>, comment: &Published, name: &str) -> Known {
    match name {
        "id" => some(comment.id.clone()),
        "message" => text(&comment.text),
        "created_time" => some(time(comment.at_ms)),
        "from" => some(person(&graph.author(comment))),
        "parent" => Some(parent(graph, comment)),
        "permalink_url" => {
            let post = graph.shelf.root(&comment.id);
            let last = |id: &str| id.rsplit('_').next().unwrap_or_default().to_owned();
            let own = last(&comment.id);
            let above = comment.parent.as_deref().filter(|_| comment.kind == Kind::Reply).map(last);
            let query = match above {
                Some(above) => format!("comment_id={above}&reply_comment_id={own}"),
                None => format!("comment_id={own}"),
            };
            some(format!("https://www.facebook.com/{}?{query}", post.replace('_', "/posts/")))
        }
        "is_hidden" | "is_private" | "user_likes" | "can_like" => some(false),
        "can_comment" | "can_hide" | "can_remove" => some(true),
        "like_count" => some(0),
        "comment_count" => some(graph.shelf.listed_below(&comment.id, graph.now_ms()).count()),
        "attachment" | "message_tags" | "object" | "private_reply_conversation" => Some(None),
        _ => None,
    }
}

/// The comment that an answer is below; none of what is directly on a post.
fn parent(graph: &Graph<'_>, comment: &Published) -> Option<Value> {
    let above = graph.shelf.present(comment.parent.as_deref()?, graph.now_ms())?;
    matches!(above.kind, Kind::Comment | Kind::Reply).then(|| {
        json!({
            "created_time": time(above.at_ms), "from": person(&graph.author(above)), "message": above.text,
            "id": above.id,
        })
    })
}

fn of_review(graph: &Graph<'_>, review: &Published, name: &str) -> Known {
    let is_good = review.rating.is_none_or(|rating| rating >= 3);
    match name {
        "created_time" => some(time(review.at_ms)),
        "reviewer" => some(person(&graph.author(review))),
        "recommendation_type" => some(if is_good { "positive" } else { "negative" }),
        "review_text" => text(&review.text),
        "has_review" => some(!review.text.is_empty()),
        "has_rating" => some(false),
        "open_graph_story" => {
            some(json!({"id": review.id, "start_time": time(review.at_ms), "type": "recommends.place"}))
        }
        // Recommendations took the place of stars in 2018.
        "rating" => Some(None),
        _ => None,
    }
}

fn of_thread(graph: &Graph<'_>, thread: &graph::Thread<'_>, name: &str) -> Known {
    let last = thread.messages.last();
    match name {
        "id" => some(thread.id.clone()),
        "updated_time" => some(time(thread.updated_ms())),
        "link" => some(format!("/{}/inbox/{}/", graph.holder.id, thread.with.id)),
        "message_count" => some(thread.messages.len()),
        "unread_count" => some(0),
        "can_reply" => some(true),
        "snippet" => Some(last.map(|message| message.text.clone().into())),
        "participants" | "senders" => {
            let page = Author { id: graph.holder.id.clone(), name: graph.page_name() };
            some(json!({"data": [mailbox(thread.with), mailbox(&page)]}))
        }
        _ => None,
    }
}

fn of_message(graph: &Graph<'_>, message: &Published, name: &str) -> Known {
    let page = Author { id: graph.holder.id.clone(), name: graph.page_name() };
    match name {
        "id" => some(message.id.clone()),
        "created_time" => some(time(message.at_ms)),
        "message" => some(message.text.clone()),
        "from" => some(mailbox(&graph.author(message))),
        "to" => {
            let to = if message.author.is_some() { &page } else { message.to.as_ref().unwrap_or(&page) };
            some(json!({"data": [mailbox(to)]}))
        }
        "tags" => some(json!({"data": [{"name": "inbox"}, {"name": "source:web"}]})),
        "attachments" | "shares" | "sticker" | "thread_id" => Some(None),
        _ => None,
    }
}
