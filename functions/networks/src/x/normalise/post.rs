//! Posts of X's, from either API: what they are to a page.

use jiff::Timestamp;
use serde_json::Value;

use super::value::{author, id, link, location, media, media_by_key, text, time};
use super::{known_author, plain};
use crate::collected::{Action, Attachment, Author, Kind, Location, Parent};
use crate::inbox::{Reading, Version};

/// A post, as both APIs tell it.
pub(super) struct Post<'a> {
    id: String,
    author: Option<Author>,
    text: Option<String>,
    media: Vec<Attachment>,
    at: Option<Timestamp>,
    location: Option<Location>,
    edited: bool,
    /// The post that it answers.
    answers: Option<String>,
    /// The user whom it answers: also without a post, where it begins with their name.
    answered_user: Option<String>,
    quoted: Option<Other>,
    reposted: Option<Other>,
    named: Vec<Named>,
    /// The addresses in it, written out.
    links: Vec<&'a str>,
    event: &'a str,
}

/// Another post.
struct Other {
    id: String,
    author: Option<String>,
}

/// A user who is named in a post.
struct Named {
    id: Option<String>,
    username: Option<String>,
}

/// A post of the Account Activity API.
pub(super) fn of_account_activity(post: &Value) -> Option<Post<'_>> {
    let extended = &post["extended_tweet"];
    let full = text(&extended["full_text"]).or_else(|| text(&post["full_text"]));
    let other = |name: &str| {
        let other = &post[name];
        let author = author(&other["user"]).and_then(|author| author.id);
        Some(Other { id: id(other, "id")?, author })
    };
    let quoted = || id(post, "quoted_status_id").map(|id| Other { id, author: None });
    let media = [
        &extended["extended_entities"],
        &post["extended_entities"],
        &extended["entities"],
        &post["entities"],
    ]
    .into_iter()
    .map(|entities| media(&entities["media"]))
    .find(|media| !media.is_empty());
    let entities = if extended["entities"].is_object() { &extended["entities"] } else { &post["entities"] };
    Some(Post {
        id: id(post, "id")?,
        author: author(&post["user"]),
        text: full.or_else(|| text(&post["text"])),
        media: media.unwrap_or_default(),
        at: time(&post["timestamp_ms"]).or_else(|| time(&post["created_at"])),
        location: location(&post["coordinates"], &post["place"]),
        edited: id(&post["edit_history"], "initial_tweet_id")
            .is_some_and(|first| Some(first) != id(post, "id")),
        answers: id(post, "in_reply_to_status_id"),
        answered_user: id(post, "in_reply_to_user_id"),
        quoted: other("quoted_status").or_else(quoted),
        reposted: other("retweeted_status"),
        named: named(&entities["user_mentions"]),
        links: links(entities),
        event: "tweet_create_events",
    })
}

/// A post of API v2, as the X Activity API pushes and polls answer it.
pub(super) fn of_activity<'a>(post: &'a Value, includes: &'a Value, event: &'a str) -> Option<Post<'a>> {
    let other = |kind: &str| {
        let mut all = post["referenced_tweets"].as_array().into_iter().flatten();
        let id = id(all.find(|other| other["type"].as_str() == Some(kind))?, "id")?;
        let included = included_post(includes, &id);
        Some(Other { author: included.and_then(|post| super::id(post, "author_id")), id })
    };
    let answered = other("replied_to");
    let long = &post["note_tweet"];
    let entities = if long["entities"].is_object() { &long["entities"] } else { &post["entities"] };
    let by = id(post, "author_id").map(|id| known_author(&id, &includes["users"]));
    let own = id(post, "id")?;
    Some(Post {
        author: by.or_else(|| author(&post["author"])),
        text: text(&long["text"]).or_else(|| text(&post["text"])),
        media: media_by_key(&post["attachments"], includes),
        at: time(&post["created_at"]),
        location: included_location(&post["geo"], includes),
        edited: post["edit_history_tweet_ids"][0].as_str().is_some_and(|first| first != own),
        answered_user: id(post, "in_reply_to_user_id")
            .or(answered.as_ref().and_then(|post| post.author.clone())),
        answers: answered.map(|post| post.id).or_else(|| id(post, "in_reply_to_tweet_id")),
        quoted: other("quoted"),
        reposted: other("retweeted"),
        named: named(&entities["mentions"]),
        links: links(entities),
        event,
        id: own,
    })
}

/// Where a post of API v2 was made: by coordinates of its own, and by a place that stands beside it.
fn included_location(geo: &Value, includes: &Value) -> Option<Location> {
    let named = id(geo, "place_id");
    let mut places = includes["places"].as_array().into_iter().flatten();
    let place = places.find(|place| named.is_some() && id(place, "id") == named);
    let location = location(&geo["coordinates"], place.unwrap_or(&Value::Null));
    match (location, named) {
        (Some(location), named) => Some(Location { id: location.id.or(named), ..location }),
        (None, named) => named.map(|id| Location { id: Some(id), ..Location::default() }),
    }
}

fn included_post<'a>(includes: &'a Value, wanted: &str) -> Option<&'a Value> {
    let mut posts = includes["tweets"].as_array()?.iter();
    posts.find(|post| id(post, "id").as_deref() == Some(wanted))
}

fn named(mentions: &Value) -> Vec<Named> {
    let mentions = mentions.as_array().into_iter().flatten();
    let username = |one: &Value| text(&one["username"]).or_else(|| text(&one["screen_name"]));
    mentions.map(|one| Named { id: id(one, "id"), username: username(one) }).collect()
}

fn links(entities: &Value) -> Vec<&str> {
    let urls = entities["urls"].as_array().into_iter().flatten();
    urls.filter_map(|url| url["expanded_url"].as_str()).collect()
}

impl Post<'_> {
    pub(super) fn reading(self, owner: &str) -> Reading {
        let (kind, parent) = self.place(owner);
        let version = match self.reposted {
            // A repost's text is the other's, and each API cuts it where it likes.
            Some(_) => Version::of_content(None, []),
            None => {
                let ids = self.media.iter().filter_map(|one| one.id.as_deref());
                Version::of_content(self.text.as_deref(), ids)
            }
        };
        let mut reading = plain(kind, format!("post:{}", self.id), version);
        let content = &mut reading.content;
        content.location = self.location;
        if self.edited {
            content.action = Action::Edited;
        }
        content.occurred_at = self.at;
        content.link = link(self.author.as_ref().and_then(|author| author.username.as_deref()), &self.id);
        content.author = self.author;
        content.text = self.text;
        content.parent = parent.map(|id| Parent { id, kind: Some(Kind::Post) });
        content.attachments = self.media;
        reading
    }

    /// What the post is to the page, and the post that it is about. It depends on the event's type only where the post
    /// itself does not say: a quoted post's author, say.
    fn place(&self, owner: &str) -> (Kind, Option<String>) {
        let answers = self.answers.clone();
        let quoted = self.quoted.as_ref().map(|post| post.id.clone());
        if let Some(reposted) = &self.reposted {
            return (Kind::Share, Some(reposted.id.clone()));
        }
        let by_the_page = self.is_by(owner);
        let answers_the_page =
            self.answered_user.as_deref() == Some(owner) || self.event == "post.reply.create";
        if answers.is_some() && (by_the_page || answers_the_page) {
            return (Kind::Reply, answers);
        }
        if quoted.is_some() && (by_the_page || self.quotes(owner)) {
            return (Kind::Share, quoted);
        }
        let named = self.names(owner) || self.event == "post.mention.create";
        match (answers, quoted) {
            _ if by_the_page => (Kind::Post, None),
            (answers, quoted) if named => (Kind::Mention, answers.or(quoted)),
            (Some(answers), _) => (Kind::Reply, Some(answers)),
            (None, Some(quoted)) => (Kind::Share, Some(quoted)),
            // The Account Activity API sends others' posts where they are about the page alone.
            (None, None) if self.event == "tweet_create_events" => (Kind::Mention, None),
            (None, None) => (Kind::Post, None),
        }
    }

    fn is_by(&self, owner: &str) -> bool {
        self.author.as_ref().and_then(|author| author.id.as_deref()) == Some(owner)
    }

    fn names(&self, owner: &str) -> bool {
        let named = self.named.iter().any(|user| user.id.as_deref() == Some(owner));
        named || self.answered_user.as_deref() == Some(owner)
    }

    /// Whether the quoted post is the page's: its author is known, or is named in the quoted post's address.
    fn quotes(&self, owner: &str) -> bool {
        let Some(quoted) = &self.quoted else { return false };
        if let Some(author) = &quoted.author {
            return author == owner;
        }
        let of_page = self.named.iter().filter(|user| user.id.as_deref() == Some(owner));
        let mut names = of_page.filter_map(|user| user.username.as_deref());
        let is_of = |username: &str, link: &str| {
            let parts: Vec<&str> = link.split('/').collect();
            parts.windows(3).any(|parts| {
                parts[0].eq_ignore_ascii_case(username) && parts[1] == "status" && parts[2] == quoted.id
            })
        };
        self.event == "post.quote.create" || names.any(|name| self.links.iter().any(|link| is_of(name, link)))
    }
}
