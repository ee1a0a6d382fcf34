//! What LinkedIn answers: posts, comments, and notifications of what others did.
//!
//! | what | thing | version |
//! |---|---|---|
//! | a post | `post:<urn>` | its text and its media's ids |
//! | a comment or an answer, listed or notified | `comment:<urn>`, in one spelling | its text |
//! | a comment that was pushed without its text, until it is asked for | the same | `pushed`, and when |
//! | a comment that was deleted | the same | `deleted` |
//! | a post that shares the page's, or names it | `post:<urn>` | its text |
//! | any other notification | `notification:<id>` | `created` |
//!
//! LinkedIn writes a comment's URN with the post as `activity:1` or as `urn:li:activity:1`; both are one thing
//! ([`spelled_out`]). A comment is found as a notification and in a list: whichever comes first, the text is the same.
//!
//! What the page itself posts and comments is a publication, an `ADMIN_COMMENT` too, whoever wrote it for the page.
//! Names of people are in no answer: an author is a URN.
//!
//! Source: learn.microsoft.com/linkedin (Posts, Comments, Organization Social Action Notifications).

use serde_json::Value;

use crate::collected::{Action, Attachment, Author, By, Kind, Parent, Published};
use crate::inbox::{Event, Reading, Shape, Version, Wanted};
use crate::linkedin::collect::MAX_URN_BYTES;
use crate::network::NetworkId;
use crate::normalise::media_url::lasting_part;
use crate::normalise::{deleted, reading_of, value};
use crate::versions::{Compared, State};

/// What an event says, where it has an id.
pub(crate) fn read(event: &Event, owner: &NetworkId) -> Option<Reading> {
    let found = value::parse(&event.raw);
    match event.shape {
        Shape::LinkedinPost => post(&found, owner),
        Shape::LinkedinComment => comment(&found, owner),
        Shape::LinkedinNotification => {
            let mut reading = notification(&found, owner)?;
            // One that was polled had its post's comments listed by then.
            let is_pushed = event.by == By::Push && is_comment(&found) && reading.content.text.is_none();
            let comment = reading.thing.strip_prefix("comment:").filter(|urn| urn.len() <= MAX_URN_BYTES);
            let wanted = comment.filter(|_| is_pushed).map(|urn| Wanted::Comment { comment: urn.to_owned() });
            if wanted.is_some() {
                // Each edit without its text is one more to ask for.
                let at = value::id(&found, "lastModifiedAt").unwrap_or_default();
                reading.key_alone(Version::of_action(["pushed", &at]));
            }
            reading.wanted = wanted;
            Some(reading)
        }
        _ => None,
    }
}

/// A comment's URN in the longer of its two spellings: with the whole URN of what it is on.
#[must_use]
pub(crate) fn spelled_out(urn: &str) -> String {
    match urn.strip_prefix("urn:li:comment:(") {
        Some(rest) if !rest.starts_with("urn:li:") => format!("urn:li:comment:(urn:li:{rest}"),
        _ => urn.to_owned(),
    }
}

/// Whether a notification is of a comment that was made or edited.
pub(crate) fn is_comment(told: &Value) -> bool {
    matches!(told["action"].as_str(), Some("COMMENT" | "ADMIN_COMMENT" | "COMMENT_EDIT" | "COMMENT_MENTION"))
}

/// What a notification says that somebody wrote.
pub(crate) fn said(told: &Value) -> Option<String> {
    let written = &told["decoratedGeneratedActivity"];
    ["comment", "share"].iter().find_map(|name| value::text(&written[*name], "text"))
}

fn author(urn: Option<String>) -> Option<Author> {
    urn.map(|urn| Author { id: Some(urn), ..Author::default() })
}

fn is_page(author: Option<&Author>, owner: &NetworkId) -> bool {
    let urn = author.and_then(|author| author.id.as_deref());
    let number = urn.and_then(|urn| {
        urn.strip_prefix("urn:li:organization:").or_else(|| urn.strip_prefix("urn:li:company:"))
    });
    number == Some(owner.as_str())
}

/// Where people see it; of a URN that needs no escaping.
fn link(urn: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_:".contains(&b);
    let is_plain = (1..=128).contains(&urn.len()) && urn.bytes().all(plain);
    is_plain.then(|| format!("https://www.linkedin.com/feed/update/{urn}"))
}

fn of_page(reading: &mut Reading, owner: &NetworkId) {
    if is_page(reading.content.author.as_ref(), owner) {
        reading.content.published = Published::ByThePage;
    }
}

fn post(found: &Value, owner: &NetworkId) -> Option<Reading> {
    let urn = value::id(found, "id")?;
    let shared = &found["specificContent"]["com.linkedin.ugc.ShareContent"];
    let text = value::text(found, "commentary").or_else(|| value::text(&shared["shareCommentary"], "text"));
    let attachments = attachments(&found["content"], shared);
    let id = |one: &Attachment| one.id.clone().or_else(|| one.url.as_deref().map(lasting_part));
    let ids: Vec<String> = attachments.iter().filter_map(id).collect();
    let version = Version::of_content(text.as_deref(), ids.iter().map(String::as_str));
    let context = &found["reshareContext"];
    let parent = value::id(context, "parent").or_else(|| value::id(context, "root"));
    let kind = if parent.is_some() { Kind::Share } else { Kind::Post };
    let edited = value::is_true(&found["lifecycleStateInfo"], "isEditedByAuthor");
    let action = if edited { Action::Edited } else { Action::Created };
    let mut reading = reading_of(format!("post:{urn}"), version, kind, action);
    let content = &mut reading.content;
    content.author = author(value::id(found, "author"));
    let published = ["publishedAt", "firstPublishedAt", "createdAt"].into_iter();
    let published = published.filter_map(|name| value::time(found, name)).next();
    let changed =
        value::time(found, "lastModifiedAt").or_else(|| value::time(&found["lastModified"], "time"));
    content.occurred_at = if edited { changed } else { published.or(changed) };
    reading.state = Some(State { at: changed.or(published), ..State::default() });
    content.text = text;
    content.parent = parent.map(|id| Parent { id, kind: Some(Kind::Post) });
    content.link = link(&urn);
    content.attachments = attachments;
    of_page(&mut reading, owner);
    Some(reading)
}

fn attachments(content: &Value, shared: &Value) -> Vec<Attachment> {
    let one = |kind: &str, id: Option<String>, url: Option<String>| {
        (id.is_some() || url.is_some()).then(|| Attachment { kind: kind.to_owned(), id, url })
    };
    let kind_of = |urn: &Option<String>| {
        let kind = urn.as_deref().and_then(|urn| urn.split(':').nth(2)).unwrap_or("media");
        kind.get(..64).unwrap_or(kind).to_owned()
    };
    let media = |media: &Value| {
        let id = value::id(media, "id").or_else(|| value::id(media, "media"));
        one(&kind_of(&id), id, value::text(media, "originalUrl"))
    };
    let images = content["multiImage"]["images"].as_array().into_iter().flatten();
    let article = &content["article"];
    let older = shared["media"].as_array().into_iter().flatten();
    [media(&content["media"]), one("article", None, value::text(article, "source"))]
        .into_iter()
        .chain(images.map(media))
        .chain(older.map(media))
        .flatten()
        .collect()
}

fn comment(found: &Value, owner: &NetworkId) -> Option<Reading> {
    let on = value::id(found, "object");
    let of_parts = || Some(format!("urn:li:comment:({},{})", on.clone()?, value::id(found, "id")?));
    let urn = value::id(found, "commentUrn").or_else(|| value::id(found, "$URN")).or_else(of_parts)?;
    let text = value::text(&found["message"], "text");
    let answers = value::id(found, "parentComment").map(|urn| spelled_out(&urn));
    let kind = if answers.is_some() { Kind::Reply } else { Kind::Comment };
    let (created, changed) =
        (value::time(&found["created"], "time"), value::time(&found["lastModified"], "time"));
    let edited = created.zip(changed).is_some_and(|(created, changed)| changed > created);
    let action = if edited { Action::Edited } else { Action::Created };
    let version = Version::of_content(text.as_deref(), []);
    let mut reading = reading_of(format!("comment:{}", spelled_out(&urn)), version, kind, action);
    let content = &mut reading.content;
    let by = value::id(found, "actor").or_else(|| value::id(&found["created"], "actor"));
    content.author = author(by);
    content.occurred_at = changed.or(created);
    reading.state = Some(State { at: changed.or(created), ..State::compared(Compared::ById) });
    content.text = text;
    content.link = on.as_deref().and_then(link);
    content.attachments = images(&found["content"]);
    let on = on.map(|id| Parent { id, kind: Some(Kind::Post) });
    content.parent = answers.map(|id| Parent { id, kind: Some(Kind::Comment) }).or(on);
    of_page(&mut reading, owner);
    Some(reading)
}

/// The images of a comment: by the image's URN, by that of an asset, which versions before 2022 have, or by its URL
/// alone.
///
/// Source: learn.microsoft.com/linkedin/marketing/community-management/shares/comments-api.
fn images(content: &Value) -> Vec<Attachment> {
    let image = |one: &Value| {
        let entity = &one["entity"];
        let of_entity = ["image", "digitalmediaAsset"].into_iter().find_map(|name| value::id(entity, name));
        let (id, url) = (of_entity.or_else(|| value::id(one, "entity")), value::text(one, "url"));
        let kind = value::text(one, "type").filter(|kind| kind.len() <= 64);
        let kind = kind.map_or_else(|| "image".to_owned(), |kind| kind.to_ascii_lowercase());
        (id.is_some() || url.is_some()).then_some(Attachment { kind, id, url })
    };
    content.as_array().into_iter().flatten().filter_map(image).collect()
}

fn notification(told: &Value, owner: &NetworkId) -> Option<Reading> {
    let verb = told["action"].as_str()?;
    let made = value::id(told, "generatedActivity");
    let text = said(told);
    let of_text = || Version::of_content(text.as_deref(), []);
    let comment = made.as_deref().map(|urn| format!("comment:{}", spelled_out(urn)));
    let post = made.as_deref().map(|urn| format!("post:{urn}"));
    let (thing, version, kind, action) = match verb {
        "COMMENT" | "ADMIN_COMMENT" => (comment, of_text(), Kind::Comment, Action::Created),
        "COMMENT_MENTION" => (comment, of_text(), Kind::Mention, Action::Created),
        "COMMENT_EDIT" => (comment, of_text(), Kind::Comment, Action::Edited),
        "COMMENT_DELETE" => (comment, deleted(), Kind::Comment, Action::Deleted),
        "SHARE" => (post, of_text(), Kind::Share, Action::Created),
        "SHARE_MENTION" => (post, of_text(), Kind::Mention, Action::Created),
        "LIKE" => (None, of_text(), Kind::Reaction, Action::Created),
        _ => (None, of_text(), Kind::Other, Action::Created),
    };
    let says = thing.is_some() && action != Action::Deleted;
    let (thing, version) = match thing {
        Some(thing) => (thing, version),
        None => {
            (format!("notification:{}", value::id(told, "notificationId")?), Version::of_action(["created"]))
        }
    };
    let mut reading = reading_of(thing, version, kind, action);
    let written = &told["decoratedGeneratedActivity"];
    let by = ["comment", "share"].iter().find_map(|name| value::id(&written[*name], "owner"));
    let content = &mut reading.content;
    content.author = author(by);
    content.reaction = (kind == Kind::Reaction).then(|| verb.to_ascii_lowercase());
    if verb == "ADMIN_COMMENT" {
        content.published = Published::ByThePage;
    }
    content.occurred_at = value::time(told, "lastModifiedAt");
    // A notification says nothing of images.
    reading.state = says.then(|| State { at: content.occurred_at, ..State::default() });
    content.text = text;
    let on = value::id(told, "sourcePost");
    content.link = on.as_deref().and_then(link);
    content.parent = on.map(|id| Parent { id, kind: Some(Kind::Post) });
    of_page(&mut reading, owner);
    Some(reading)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::collected::{By, Envelope, SCHEMA, render};
    use crate::network::Network;
    use carteiro_core::id::{ItemId, PageId};

    /// Any JSON with the names that the networks that are asked use.
    fn any_json() -> impl Strategy<Value = Value> {
        let names = "id|snippet|contentDetails|videoId|title|publishedAt|updatedAt|authorChannelId|value|textDisplay|\
            parentId|reviewId|comments|userComment|developerComment|lastModified|seconds|text|commentUrn|object|actor|\
            message|action|generatedActivity|decoratedGeneratedActivity|comment|owner|notificationId|content|media|\
            multiImage|images|specificContent|reshareContext|parent|created|time";
        let names = prop::sample::select(names.split('|').map(str::to_owned).collect::<Vec<_>>());
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "(COMMENT|COMMENT_DELETE|SHARE|urn:li:comment:\\(a,1\\)|urn:é:|\\PC{0,9})".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 60, 8, move |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                4 => prop::collection::btree_map(names.clone(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// What of the published schema an item's content can break.
    fn fits_the_schema(item: &[u8]) {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let item: Value = serde_json::from_slice(item).unwrap();
        for name in schema["required"].as_array().unwrap() {
            assert!(item.get(name.as_str().unwrap()).is_some(), "{name}");
        }
        for (name, value) in item.as_object().unwrap() {
            let words = &schema["properties"][name.as_str()]["enum"];
            assert!(words.as_array().is_none_or(|words| words.contains(value)), "{name}: {value}");
            assert!(schema["properties"].get(name).is_some(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_with_ids_that_are_not_empty(
            value in any_json(), beside in prop::option::of(any_json()),
        ) {
            let shapes = [
                (Network::Youtube, Shape::YoutubeVideo), (Network::Youtube, Shape::YoutubeComment),
                (Network::GooglePlay, Shape::GooglePlayReview), (Network::GooglePlay, Shape::GooglePlayReply),
                (Network::Linkedin, Shape::LinkedinPost), (Network::Linkedin, Shape::LinkedinComment),
                (Network::Linkedin, Shape::LinkedinNotification),
            ];
            for (network, shape) in shapes {
                let (raw, beside) = (to_raw_value(&value).unwrap(), beside.clone());
                let (by, field) = (By::Poll, "x".to_owned());
                let event = Event { network, by, shape, field, sent_at: None, raw, beside };
                let reading = crate::normalise::read(&event, &"1337".parse().unwrap());
                let envelope = Envelope {
                    id: &ItemId::from_bits(1),
                    network,
                    page: &PageId::from_bits(1),
                    thing: reading.network_id(),
                    collected_at: jiff::Timestamp::UNIX_EPOCH,
                    by: By::Poll,
                };
                fits_the_schema(&render(&reading.content, &envelope, &event.raw));
                prop_assert!(reading.thing.split_once(':').is_some_and(|(_, id)| !id.is_empty()));
                prop_assert!(reading.content.parent.is_none_or(|parent| !parent.id.is_empty()));
                prop_assert!(reading.content.text.is_none_or(|text| !text.is_empty()));
                prop_assert!(reading.content.author.is_none_or(|author| author != Author::default()));
            }
        }
    }
}
