//! What Google Play answers: reviews, and the developer's answers to them.
//!
//! | what | thing | version |
//! |---|---|---|
//! | a review | `review:<id>` | when the user changed it last; without that, its text and stars |
//! | the developer's answer | `review_reply:<review's id>` | when it was changed last; without that, its text |
//!
//! A user has one review of an app, which they change: the id stays. Nothing of it is pushed, so that its own time may
//! be its version: stars that go from five to one and back are three items. Whether a review is new or edited is not in
//! an answer; who asked says so beside it.
//!
//! A review's text is its title, a tabulator and its body, as Google Play gives it. The developer's answer is a
//! publication, a reply to the review.
//!
//! Source: developers.google.com/android-publisher/api-ref/rest/v3/reviews.

use jiff::Timestamp;
use serde_json::Value;

use crate::collected::{Action, Author, Kind, Parent, Published, Rating};
use crate::inbox::{Event, Reading, Shape, Version};
use crate::network::NetworkId;
use crate::normalise::{reading_of, value};
use crate::versions::State;

/// What an event says, where it has an id.
pub(crate) fn read(event: &Event, owner: &NetworkId) -> Option<Reading> {
    let found = value::parse(&event.raw);
    let beside = event.beside.as_ref().unwrap_or(&Value::Null);
    match event.shape {
        Shape::GooglePlayReview => review(&found, beside, owner),
        Shape::GooglePlayReply => reply(&found, beside, owner),
        _ => None,
    }
}

fn review(found: &Value, beside: &Value, owner: &NetworkId) -> Option<Reading> {
    let id = value::id(found, "reviewId")?;
    let comments = found["comments"].as_array().into_iter().flatten();
    let said = comments.map(|one| &one["userComment"]).find(|said| said.is_object()).unwrap_or(&Value::Null);
    let text = text(said);
    let stars = value::id(said, "starRating").map(|stars| format!("stars:{stars}"));
    let version = match changed(said) {
        Some(at) => modified(at),
        None => Version::of_content(text.as_deref(), stars.as_deref()),
    };
    let action = if value::is_true(beside, "edited") { Action::Edited } else { Action::Created };
    let mut reading = reading_of(format!("review:{id}"), version, Kind::Review, action);
    reading.state = changed(said).is_none().then(State::default);
    let content = &mut reading.content;
    content.author =
        value::text(found, "authorName").map(|name| Author { name: Some(name), ..Author::default() });
    content.occurred_at = changed(said);
    content.text = text;
    content.rating = Rating::new(value::number(said, "starRating"), None);
    content.link = link(owner, &id);
    Some(reading)
}

fn reply(found: &Value, beside: &Value, owner: &NetworkId) -> Option<Reading> {
    let review = value::id(beside, "reviewId")?;
    let said = &found["developerComment"];
    let text = text(said);
    let version = match changed(said) {
        Some(at) => modified(at),
        None => Version::of_content(text.as_deref(), []),
    };
    let mut reading = reading_of(format!("review_reply:{review}"), version, Kind::Reply, Action::Created);
    reading.state = changed(said).is_none().then(State::default);
    let content = &mut reading.content;
    content.published = Published::ByThePage;
    content.author = Some(Author { id: Some(owner.to_string()), ..Author::default() });
    content.occurred_at = changed(said);
    content.text = text;
    content.link = link(owner, &review);
    content.parent = Some(Parent { id: review, kind: Some(Kind::Review) });
    Some(reading)
}

/// A text without the tabulator of a title that is not there.
fn text(said: &Value) -> Option<String> {
    let text = value::text(said, "text")?;
    let text = text.strip_prefix('\t').unwrap_or(&text);
    (!text.is_empty()).then(|| text.to_owned())
}

/// When a comment was changed last: seconds, as a text.
fn changed(said: &Value) -> Option<Timestamp> {
    value::time(&said["lastModified"], "seconds")
}

fn modified(at: Timestamp) -> Version {
    Version::of_action(["modified", &at.as_second().to_string()])
}

/// Where people see it: in the store, by a parameter that the store's own links have.
fn link(app: &NetworkId, review: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_plain = (1..=128).contains(&review.len()) && review.bytes().all(plain);
    is_plain.then(|| format!("https://play.google.com/store/apps/details?id={app}&reviewId={review}"))
}
