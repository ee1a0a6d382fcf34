//! What people publish on networks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a thing is. A network has some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A post of the page's, or of a visitor on it; a video; Instagram's media.
    Post,
    /// Instagram's, for 24 hours.
    Story,
    /// On a post.
    Comment,
    /// An answer to a comment, a post of X's or a review.
    Reply,
    /// A post or comment of somebody else's that names the page.
    Mention,
    /// A photo of somebody else's with the account tagged in it (Instagram).
    Tag,
    /// One message of a conversation.
    DirectMessage,
    /// Of a page, or of an app.
    Review,
    /// An ad of an ad account, which shows the post that is its parent.
    Ad,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The network's id.
    pub id: String,
    /// The name that people see.
    #[serde(default)]
    pub name: String,
}

/// What is to be published.
#[derive(Clone, Debug, Deserialize)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// What was written.
    #[serde(default)]
    pub text: String,
    /// The id of what it is on, or answers.
    #[serde(default)]
    pub parent: Option<String>,
    /// Whose it is; None: the page's own.
    #[serde(default)]
    pub author: Option<Author>,
    /// Of a page's own message, to whom.
    #[serde(default)]
    pub to: Option<Author>,
    /// The network's time of it, in milliseconds since the Unix epoch; None: now. What is of the future is not there
    /// before.
    #[serde(default)]
    pub at_ms: Option<u64>,
    /// From when it is in lists, where that is later than its time: networks show some things late.
    #[serde(default)]
    pub shown_from_ms: Option<u64>,
    /// Its id; None: one in the network's form.
    #[serde(default)]
    pub id: Option<String>,
    /// Of a review: 1 to 5.
    #[serde(default)]
    pub rating: Option<u8>,
    /// Whether it is in no list, so that it is found by its id alone (a comment on an advertisement, say).
    #[serde(default)]
    pub unlisted: bool,
    /// Members of the network's JSON, which stand in place of those that the stand-in would make.
    #[serde(default)]
    pub members: Map<String, Value>,
}

impl Thing {
    /// A thing of the page's own, published now.
    #[must_use]
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            parent: None,
            author: None,
            to: None,
            at_ms: None,
            shown_from_ms: None,
            id: None,
            rating: None,
            unlisted: false,
            members: Map::new(),
        }
    }

    /// A post.
    #[must_use]
    pub fn post(text: impl Into<String>) -> Self {
        Self::new(Kind::Post, text)
    }

    /// A comment on a post.
    #[must_use]
    pub fn comment(on: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Kind::Comment, text).on(on)
    }

    /// An answer to a comment, a post of X's or a review.
    #[must_use]
    pub fn reply(to: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Kind::Reply, text).on(to)
    }

    /// A message of somebody's.
    #[must_use]
    pub fn direct_message(from: impl Into<String>, text: impl Into<String>) -> Self {
        let from = from.into();
        Self::new(Kind::DirectMessage, text).by(from.clone(), format!("User {from}"))
    }

    /// A review of somebody's, 1 to 5.
    #[must_use]
    pub fn review(rating: u8, text: impl Into<String>) -> Self {
        Self { rating: Some(rating), ..Self::new(Kind::Review, text) }
    }

    /// An ad of an ad account (`act_` with digits) that shows a post of the page.
    #[must_use]
    pub fn ad(account: impl Into<Value>, post: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(Kind::Ad, name).on(post).with("account_id", account)
    }

    /// On what, or to what.
    #[must_use]
    pub fn on(mut self, parent: impl Into<String>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    /// By whom.
    #[must_use]
    pub fn by(mut self, id: impl Into<String>, name: impl Into<String>) -> Self {
        self.author = Some(Author { id: id.into(), name: name.into() });
        self
    }

    /// To whom.
    #[must_use]
    pub fn to(mut self, id: impl Into<String>, name: impl Into<String>) -> Self {
        self.to = Some(Author { id: id.into(), name: name.into() });
        self
    }

    /// When, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at(mut self, at_ms: u64) -> Self {
        self.at_ms = Some(at_ms);
        self
    }

    /// From when it is in lists.
    #[must_use]
    pub fn shown_from(mut self, at_ms: u64) -> Self {
        self.shown_from_ms = Some(at_ms);
        self
    }

    /// With this id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// In no list.
    #[must_use]
    pub fn unlisted(mut self) -> Self {
        self.unlisted = true;
        self
    }

    /// With a member of the network's JSON.
    #[must_use]
    pub fn with(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(member.into(), value.into());
        self
    }
}

/// What was published, as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Published {
    /// The network's id of it.
    pub id: String,
    /// On which page.
    pub page: String,
    /// What it is.
    pub kind: Kind,
    /// What it says now.
    pub text: String,
    /// On what it is, or what it answers.
    pub parent: Option<String>,
    /// Whose it is; None: the page's own.
    pub author: Option<Author>,
    /// Of a page's own message, to whom.
    pub to: Option<Author>,
    /// The network's time of it, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// From when it is in lists.
    pub shown_from_ms: u64,
    /// When it was last edited.
    pub edited_ms: Option<u64>,
    /// When it was removed: it is answered no more.
    pub removed_ms: Option<u64>,
    /// Of a review: 1 to 5.
    pub rating: Option<u8>,
    /// Whether it is in no list.
    pub unlisted: bool,
    /// Members of the network's JSON.
    pub members: Map<String, Value>,
    /// The ids that it had before (X gives an edited post a new one), oldest first.
    pub earlier_ids: Vec<String>,
    /// In which order things were published, to order those of one time.
    #[serde(skip)]
    pub(crate) sequence: u64,
}

impl Published {
    /// Whether it is there at a time, for who asks by its id.
    pub(crate) fn is_there(&self, now_ms: u64) -> bool {
        self.removed_ms.is_none() && self.at_ms <= now_ms
    }

    /// Whether it is in lists at a time, which may be later.
    pub(crate) fn is_listed(&self, now_ms: u64) -> bool {
        self.is_there(now_ms) && self.shown_from_ms <= now_ms && !self.unlisted
    }

    /// Whom the page writes with.
    pub(crate) fn counterpart(&self) -> Option<&Author> {
        self.author.as_ref().or(self.to.as_ref())
    }
}
