//! What X's parameters may be. One that is not known is refused, as is a value.

use super::problem;
use crate::request::{Reply, Request};

const TWEET_FIELDS: &str = "\
    article,attachments,author_id,card_uri,community_id,context_annotations,conversation_id,created_at,\
    display_text_range,edit_controls,edit_history_tweet_ids,entities,geo,id,in_reply_to_user_id,lang,\
    media_metadata,non_public_metrics,note_tweet,organic_metrics,paid_partnership,possibly_sensitive,\
    promoted_metrics,public_metrics,referenced_tweets,reply_settings,scopes,source,suggested_source_links,\
    text,withheld";
const USER_FIELDS: &str = "\
    affiliation,confirmed_email,connection_status,created_at,description,entities,id,is_identity_verified,\
    location,most_recent_tweet_id,name,parody,pinned_tweet_id,profile_banner_url,profile_image_url,\
    protected,public_metrics,receives_your_dm,subscription,subscription_type,url,username,verified,\
    verified_followers_count,verified_type,withheld";
const MEDIA_FIELDS: &str = "\
    alt_text,duration_ms,height,media_key,non_public_metrics,organic_metrics,preview_image_url,\
    promoted_metrics,public_metrics,type,url,variants,width";
const TWEET_EXPANSIONS: &str = "\
    article.cover_media,article.media_entities,attachments.media_keys,attachments.media_source_tweet,\
    attachments.poll_ids,author_id,edit_history_tweet_ids,entities.mentions.username,\
    entities.note.mentions.username,geo.place_id,in_reply_to_user_id,referenced_tweets.id,\
    referenced_tweets.id.attachments.media_keys,referenced_tweets.id.author_id";
const MESSAGE_FIELDS: &str = "\
    attachments,created_at,dm_conversation_id,entities,event_type,id,participant_ids,referenced_tweets,\
    sender_id,text";
const MESSAGE_EXPANSIONS: &str = "attachments.media_keys,participant_ids,referenced_tweets.id,sender_id";
const PLACE_AND_POLL: &str = "contained_within,country,full_name,geo,id,name,options";

/// What a parameter is.
enum Takes {
    /// Some of these, which commas part.
    SomeOf(&'static str),
    Number(u64, u64),
    Id,
    Time,
    /// Whatever the list itself says.
    Cursor,
}

/// The parameters of a list of posts.
fn of_posts(name: &str, of_own: bool) -> Option<Takes> {
    Some(match name {
        "since_id" | "until_id" => Takes::Id,
        "start_time" | "end_time" => Takes::Time,
        "max_results" => Takes::Number(5, 100),
        "pagination_token" => Takes::Cursor,
        "exclude" if of_own => Takes::SomeOf("replies,retweets"),
        _ => return of_post(name),
    })
}

/// Those of one post.
fn of_post(name: &str) -> Option<Takes> {
    Some(Takes::SomeOf(match name {
        "tweet.fields" => TWEET_FIELDS,
        "user.fields" => USER_FIELDS,
        "media.fields" => MEDIA_FIELDS,
        "expansions" => TWEET_EXPANSIONS,
        "place.fields" | "poll.fields" => PLACE_AND_POLL,
        _ => return None,
    }))
}

/// Those of messages.
fn of_messages(name: &str) -> Option<Takes> {
    Some(match name {
        "dm_event.fields" => Takes::SomeOf(MESSAGE_FIELDS),
        "expansions" => Takes::SomeOf(MESSAGE_EXPANSIONS),
        "event_types" => Takes::SomeOf("MessageCreate,ParticipantsJoin,ParticipantsLeave"),
        "max_results" => Takes::Number(1, 100),
        "pagination_token" => Takes::Cursor,
        "tweet.fields" | "user.fields" | "media.fields" => return of_post(name),
        _ => return None,
    })
}

/// The refusal of the first parameter that is not as it should be.
pub(super) fn check(request: &Request, kind: &str) -> Result<(), Reply> {
    for (name, value) in &request.query {
        let takes = match kind {
            "tweets" => of_posts(name, true),
            "mentions" => of_posts(name, false),
            "dm_events" => of_messages(name),
            "me" | "user" => of_post(name).filter(|_| name != "media.fields"),
            _ => of_post(name),
        };
        let Some(takes) = takes else {
            let list = "the parameters of this endpoint";
            return Err(problem::invalid(
                name,
                value,
                &format!("The query parameter [{name}] is not one of {list}"),
            ));
        };
        if !fits(&takes, value) {
            let said = format!("The `{name}` query parameter value [{value}] is not valid");
            return Err(problem::invalid(name, value, &said));
        }
    }
    Ok(())
}

fn fits(takes: &Takes, value: &str) -> bool {
    match takes {
        Takes::SomeOf(known) => value.split(',').all(|one| known.split(',').any(|name| name == one)),
        Takes::Number(least, most) => {
            value.parse().is_ok_and(|number: u64| (*least..=*most).contains(&number))
        }
        Takes::Id => (1..=19).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit()),
        Takes::Time => value.parse::<jiff::Timestamp>().is_ok(),
        Takes::Cursor => !value.is_empty(),
    }
}
