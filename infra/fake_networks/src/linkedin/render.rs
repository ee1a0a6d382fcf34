//! Posts and comments as LinkedIn writes them.

use serde_json::{Value, json};

use super::activity;
use crate::shelf::Shelf;
use crate::thing::{Kind, Published};

/// Makes the JSON of what there is at a time.
pub(super) struct Render<'a> {
    pub(super) shelf: &'a Shelf,
    pub(super) now_ms: u64,
}

/// The URN of the member whose token is a company's.
pub(super) fn member_of(page: &str) -> String {
    format!("urn:li:person:m{page}")
}

/// The URN of who did something; names are nowhere.
pub(super) fn actor(of: &Published) -> String {
    match &of.author {
        Some(author) if author.id.starts_with("urn:li:") => author.id.clone(),
        Some(author) => format!("urn:li:person:{}", author.id),
        None => format!("urn:li:organization:{}", of.page),
    }
}

fn changed_ms(of: &Published) -> u64 {
    of.edited_ms.unwrap_or(of.at_ms)
}

fn with_members(mut value: Value, of: &Published) -> Value {
    let own = of.members.iter().filter(|(name, _)| *name != "decoratedGeneratedActivity");
    own.for_each(|(name, member)| value[name] = member.clone());
    value
}

impl<'a> Render<'a> {
    pub(super) fn post(&self, post: &Published) -> Value {
        let body = json!({
            "id": post.id, "author": actor(post), "commentary": post.text, "visibility": "PUBLIC",
            "distribution": {"feedDistribution": "MAIN_FEED", "targetEntities": [], "thirdPartyDistributionChannels": []},
            "lifecycleState": "PUBLISHED", "isReshareDisabledByAuthor": false, "createdAt": post.at_ms,
            "publishedAt": post.at_ms, "lastModifiedAt": changed_ms(post),
            "lifecycleStateInfo": {"isEditedByAuthor": post.edited_ms.is_some()},
        });
        with_members(body, post)
    }

    /// The comment that a reply is below.
    fn top_of(&self, reply: &'a Published) -> Option<&'a Published> {
        let mut above = reply;
        while above.kind == Kind::Reply {
            above = self.shelf.find(above.parent.as_deref()?)?;
        }
        Some(above)
    }

    /// All replies below a comment.
    pub(super) fn replies(&self, comment: &str) -> Vec<&'a Published> {
        let mut replies = self.shelf.listed_under(comment, self.now_ms);
        replies.retain(|reply| reply.kind == Kind::Reply);
        replies
    }

    pub(super) fn comment(&self, comment: &'a Published) -> Value {
        let number = comment.id.trim_end_matches(')').rsplit(',').next().unwrap_or_default();
        let actor = actor(comment);
        let replies = self.replies(&comment.id).len();
        let mut body = json!({
            "id": number, "commentUrn": comment.id, "$URN": comment.id, "actor": actor,
            "object": activity(self.shelf.root(&comment.id)), "message": {"attributes": [], "text": comment.text},
            "created": {"actor": actor, "time": comment.at_ms, "impersonator": "urn:li:servicePrincipal:feed"},
            "lastModified": {"actor": actor, "time": changed_ms(comment)},
            "likesSummary": {"selectedLikes": [], "aggregatedTotalLikes": 0, "likedByCurrentUser": false, "totalLikes": 0},
        });
        if replies > 0 {
            body["commentsSummary"] = json!({
                "selectedComments": [], "totalFirstLevelComments": replies, "aggregatedTotalComments": replies,
            });
        }
        if let Some(top) = self.top_of(comment).filter(|top| top.id != comment.id) {
            body["parentComment"] = top.id.as_str().into();
        }
        with_members(body, comment)
    }
}
