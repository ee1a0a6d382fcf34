//! X's objects with the fields that were asked for, and what they include.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::problem;
use crate::request::Request;
use crate::shelf::Shelf;
use crate::thing::{Author, Kind, Published};

/// The longest text of a post that is not cut off.
const LONGEST: usize = 280;

/// What was asked for, in the parameters that end on `.fields` and in `expansions`.
pub(super) struct Wanted<'a> {
    request: &'a Request,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        Self { request }
    }

    fn has(&self, parameter: &str, name: &str) -> bool {
        self.request.query(parameter).is_some_and(|names| names.split(',').any(|one| one == name))
    }

    fn expands(&self, name: &str) -> bool {
        self.has("expansions", name)
    }
}

/// What goes beside `data`.
#[derive(Default)]
pub(super) struct Beside {
    users: BTreeMap<String, Value>,
    tweets: BTreeMap<String, Value>,
    media: BTreeMap<String, Value>,
    pub(super) errors: Vec<Value>,
}

impl Beside {
    /// Puts all of it into an answer.
    pub(super) fn into_answer(self, answer: &mut Value) {
        let mut includes = Map::new();
        for (name, of) in [("users", self.users), ("tweets", self.tweets), ("media", self.media)] {
            if !of.is_empty() {
                includes.insert(name.to_owned(), of.into_values().collect());
            }
        }
        if !includes.is_empty() {
            answer["includes"] = includes.into();
        }
        if !self.errors.is_empty() {
            answer["errors"] = self.errors.into();
        }
    }
}

/// The objects of one answer.
pub(super) struct Objects<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) wanted: Wanted<'a>,
    pub(super) now_ms: u64,
}

impl Objects<'_> {
    /// A user whose page is connected, or of whom nothing is known but the id.
    pub(super) fn user_of_page(&self, id: &str) -> Author {
        let page = self.shelf.pages.get(id);
        Author {
            id: id.to_owned(),
            name: page.map_or_else(|| format!("User {id}"), |page| page.name.clone()),
        }
    }

    fn author(&self, of: &Published) -> Author {
        of.author.clone().unwrap_or_else(|| self.user_of_page(&of.page))
    }

    pub(super) fn user(&self, user: &Author) -> Value {
        let mut object = json!({"id": user.id, "name": user.name, "username": handle(&user.name)});
        for (field, value) in
            [("verified", json!(false)), ("protected", json!(false)), ("description", json!(""))]
        {
            if self.wanted.has("user.fields", field) {
                object[field] = value;
            }
        }
        object
    }

    fn include_user(&self, user: &Author, beside: &mut Beside) {
        beside.users.insert(user.id.clone(), self.user(user));
    }

    /// The first id of a post: what conversations and answers name it by.
    fn first_id(post: &Published) -> &str {
        post.earlier_ids.first().unwrap_or(&post.id)
    }

    /// The post that one answers, where it is there.
    fn answered(&self, post: &Published) -> Option<&Published> {
        self.shelf.present(post.parent.as_deref()?, self.now_ms)
    }

    fn conversation(&self, post: &Published) -> String {
        let root = self.shelf.root(&post.id);
        self.shelf.find(root).map_or(root, Self::first_id).to_owned()
    }

    /// A post, with what it includes put beside it.
    pub(super) fn post(&self, post: &Published, beside: &mut Beside) -> Value {
        let object = self.bare_post(post);
        let author = self.author(post);
        if self.wanted.expands("author_id") {
            self.include_user(&author, beside);
        }
        let answered = self.answered(post);
        if let (Some(to), true) = (answered, self.wanted.expands("in_reply_to_user_id")) {
            self.include_user(&self.author(to), beside);
        }
        if self.wanted.expands("entities.mentions.username") && self.mention(post).is_some() {
            self.include_user(&self.user_of_page(&post.page), beside);
        }
        if let (Some(id), true) = (&post.parent, self.wanted.expands("referenced_tweets.id")) {
            match answered {
                Some(to) => {
                    beside.tweets.insert(to.id.clone(), self.bare_post(to));
                    if self.wanted.expands("referenced_tweets.id.author_id") {
                        self.include_user(&self.author(to), beside);
                    }
                }
                None => beside.errors.push(problem::not_found("tweet", "referenced_tweets.id", id)),
            }
        }
        self.include_media(post, beside);
        object
    }

    fn include_media(&self, of: &Published, beside: &mut Beside) {
        if !self.wanted.expands("attachments.media_keys") {
            return;
        }
        let keys = of.members.get("attachments").and_then(|attachments| attachments["media_keys"].as_array());
        for key in keys.into_iter().flatten().filter_map(Value::as_str) {
            let url = format!("https://pbs.example/media/{key}.jpg");
            beside.media.insert(key.to_owned(), json!({"media_key": key, "type": "photo", "url": url}));
        }
    }

    fn bare_post(&self, post: &Published) -> Value {
        let text: Vec<char> = post.text.chars().collect();
        let is_long = text.len() > LONGEST;
        let shown =
            if is_long { text.iter().take(LONGEST - 4).chain(&['…']).collect() } else { post.text.clone() };
        let mut ids: Vec<&str> = post.earlier_ids.iter().map(String::as_str).collect();
        ids.push(&post.id);
        let mut object = json!({"id": post.id, "text": shown, "edit_history_tweet_ids": ids});
        let mut members: Vec<(&str, Value)> = vec![
            ("author_id", self.author(post).id.into()),
            ("conversation_id", self.conversation(post).into()),
            ("created_at", time(post.edited_ms.unwrap_or(post.at_ms)).into()),
            ("lang", "und".into()),
            ("possibly_sensitive", false.into()),
            (
                "public_metrics",
                json!({"retweet_count": 0, "reply_count": self.replies(post), "like_count": 0,
                "quote_count": 0, "bookmark_count": 0, "impression_count": 0}),
            ),
        ];
        if is_long {
            members.push(("note_tweet", json!({"text": post.text})));
        }
        if let Some(parent) = &post.parent {
            members.push(("referenced_tweets", json!([{"type": "replied_to", "id": parent}])));
            if let Some(to) = self.answered(post) {
                members.push(("in_reply_to_user_id", self.author(to).id.into()));
            }
        }
        if let Some(mention) = self.mention(post) {
            members.push(("entities", json!({"mentions": [mention]})));
        }
        let own = post.members.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in members.into_iter().chain(own) {
            if self.wanted.has("tweet.fields", name) {
                object[name] = value;
            }
        }
        object
    }

    fn replies(&self, post: &Published) -> usize {
        self.shelf.listed_below(&post.id, self.now_ms).filter(|one| one.kind == Kind::Reply).count()
    }

    /// Where somebody else's post names the page.
    fn mention(&self, post: &Published) -> Option<Value> {
        post.author.as_ref()?;
        let name = handle(&self.user_of_page(&post.page).name);
        let at = post.text.find(&format!("@{name}"))?;
        let start = post.text.get(..at)?.chars().count();
        let end = start + name.chars().count() + 1;
        Some(json!({"start": start, "end": end, "username": name, "id": post.page}))
    }

    /// A message, with what it includes.
    pub(super) fn message(&self, message: &Published, beside: &mut Beside) -> Value {
        let sender = self.author(message);
        let with = message.counterpart().map_or("0", |with| with.id.as_str());
        let mut pair = [message.page.as_str(), with];
        pair.sort_unstable_by_key(|id| (id.len(), *id));
        let mut object = json!({"id": message.id, "event_type": "MessageCreate", "text": message.text});
        let members = [
            ("created_at", time(message.at_ms).into()),
            ("dm_conversation_id", pair.join("-").into()),
            ("sender_id", sender.id.clone().into()),
        ];
        let own = message.members.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in members.into_iter().chain(own) {
            if self.wanted.has("dm_event.fields", name) {
                object[name] = value;
            }
        }
        if self.wanted.expands("sender_id") {
            self.include_user(&sender, beside);
        }
        self.include_media(message, beside);
        object
    }
}

/// A user's handle.
fn handle(name: &str) -> String {
    let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(15).collect();
    if kept.is_empty() { "someone".to_owned() } else { kept }
}

fn time(ms: u64) -> String {
    crate::timestamp(ms).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
