//! YouTube Data v3: `channels`, `playlistItems`, `commentThreads` and `comments`, and the project's quota.
//!
//! A [`Post`](Kind::Post) is a video: the first line of its text is its title, the rest its description. Its members
//! stand in its playlist item: `status` with another `privacyStatus`, say. One of its own is `commentsDisabled`. A
//! [`Comment`](Kind::Comment) begins a thread, a [`Reply`](Kind::Reply) is in it, at whatever it is directed; their
//! members stand in the snippet, and with a `moderationStatus` they are shown to who asks for that alone.
//!
//! Chosen where the documentation leaves it open: threads show the newest five replies; `comments` answers the newest
//! first, as captured answers do; a token without the scope of comments may ask for videos; a channel that never had a
//! video has no playlist of uploads.
//!
//! Sources: developers.google.com/youtube/v3/docs (channels, playlistItems, commentThreads, comments, errors),
//! /determine_quota_cost; captured answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::google::{self, Refusal, etag};
use crate::limit::LimitOf;
use crate::listing::{Order, Part, Place, part};
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::shelf::{Api, Draft};
use crate::thing::{Author, Kind, Published};
use crate::token::Holder;

/// Units a day, of a project.
const QUOTA: u64 = 10_000;
/// How many replies a thread shows.
const SHOWN: usize = 5;
const READING: &str = "youtube.readonly";
const COMMENTS: &str = "youtube.force-ssl";

pub(crate) struct Youtube;

impl Api for Youtube {
    fn lasts_seconds(&self) -> Option<u64> {
        Some(3600)
    }

    fn kind(&self, request: &Request) -> String {
        if request.to_token_address { "token".to_owned() } else { last(request) }
    }

    fn answer(&self, shelf: &mut Shelf, request: &Request) -> Reply {
        if request.to_token_address {
            return google::token(shelf, request);
        }
        let holder = match google::holder(shelf, request) {
            Ok(holder) => holder,
            Err(refusal) => return refusal.reply(),
        };
        let ends_ms = midnight_pacific(request.now_ms);
        let (_, taken) = shelf.take(LimitOf::App, "", "", QUOTA, 1, request.now_ms, ends_ms);
        if taken.over {
            return out_of_quota().over_limit(true);
        }
        let answered = View { shelf, holder: &holder, request }.read();
        answered.map_or_else(|refusal| refusal.reply(), |body| Reply::json(200, &body))
    }

    fn unavailable(&self, status: u16) -> Reply {
        Refusal::failure(status).reply()
    }

    fn limited(&self, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply {
        let was_spent = !shelf.spend(LimitOf::App, "", "", request.now_ms, until_ms);
        Refusal::rate(until_ms.saturating_sub(request.now_ms)).over_limit(was_spent)
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Post, Kind::Comment, Kind::Reply]
    }

    fn id(&self, draft: &Draft<'_>) -> String {
        let salt = letters(crate::hash(&(draft.page, draft.sequence, draft.at_ms)));
        match draft.thing.kind {
            Kind::Post => salt.chars().take(11).collect(),
            Kind::Reply => {
                let parent = draft.thing.parent.as_deref().unwrap_or_default();
                format!("{}.{salt}{salt}", parent.split('.').next().unwrap_or_default())
            }
            _ => format!("Ug{salt}{}4AaABAg", salt.chars().take(6).collect::<String>()),
        }
    }
}

fn last(request: &Request) -> String {
    request.segments.last().cloned().unwrap_or_default()
}

/// Eleven letters and digits.
fn letters(mut salt: u64) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut letters = String::new();
    for _ in 0..11 {
        let at = usize::try_from(salt % 62).unwrap_or_default();
        letters.push(char::from(LETTERS[at]));
        salt /= 62;
    }
    letters
}

fn out_of_quota() -> Reply {
    let message = "The request cannot be completed because you have exceeded your \
                   <a href=\"/youtube/v3/getting-started#quota\">quota</a>.";
    Refusal::new(403, "youtube.quota", "quotaExceeded", message).reply()
}

/// The end of the day in California.
fn midnight_pacific(now_ms: u64) -> u64 {
    let zone = TimeZone::posix("PST8PDT,M3.2.0,M11.1.0").unwrap_or(TimeZone::UTC);
    let tomorrow = crate::timestamp(now_ms).to_zoned(zone).tomorrow().and_then(|day| day.start_of_day());
    let ends = tomorrow.map(|day| day.timestamp().as_millisecond());
    ends.ok().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(now_ms + 86_400_000)
}

fn uploads(page: &str) -> String {
    format!("UU{}", page.strip_prefix("UC").unwrap_or(page))
}

fn time(ms: u64) -> String {
    crate::timestamp(ms).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn place(thing: &Published) -> Place {
    Place(thing.at_ms, thing.sequence)
}

/// `published`, `heldForReview`, `likelySpam`, `rejected`.
fn moderation(thing: &Published) -> &str {
    thing.members.get("moderationStatus").and_then(Value::as_str).unwrap_or("published")
}

fn privacy(video: &Published) -> &str {
    video.members.get("status").and_then(|status| status["privacyStatus"].as_str()).unwrap_or("public")
}

fn has_comments_disabled(video: &Published) -> bool {
    video.members.get("commentsDisabled").is_some_and(|is| is == true)
}

/// One call, with a good token.
struct View<'a> {
    shelf: &'a Shelf,
    holder: &'a Holder,
    request: &'a Request,
}

impl<'a> View<'a> {
    fn read(&self) -> Result<Value, Refusal> {
        let not_there = || Refusal::new(404, "global", "notFound", "Method not found.");
        let ("GET", [api, version, name]) = (self.request.method.as_str(), self.request.segments.as_slice())
        else {
            return Err(not_there());
        };
        if api != "youtube" || version != "v3" {
            return Err(not_there());
        }
        match name.as_str() {
            "channels" => self.may(READING).and_then(|()| self.channels()),
            "playlistItems" => self.may(READING).and_then(|()| self.playlist_items()),
            "commentThreads" => self.may(COMMENTS).and_then(|()| self.threads()),
            "comments" => self.may(COMMENTS).and_then(|()| self.comments()),
            _ => Err(not_there()),
        }
    }

    fn may(&self, scope: &str) -> Result<(), Refusal> {
        let full = format!("https://www.googleapis.com/auth/{scope}");
        if self.holder.may(scope) && self.holder.may(&full) { Ok(()) } else { Err(Refusal::scope()) }
    }

    /// The parts that are asked for, all of which there must be.
    fn parts(&self, known: &[&str]) -> Result<Vec<String>, Refusal> {
        let missing = "No filter selected. Expected one of: part";
        let part = self.request.query("part").filter(|part| !part.is_empty());
        let part = part.ok_or_else(|| required(missing).of_parameter("part"))?;
        let parts: Vec<String> = part.split(',').map(|one| one.trim().to_owned()).collect();
        match parts.iter().find(|one| !known.contains(&one.as_str())) {
            Some(other) => {
                Err(Refusal::new(400, "youtube.part", "unknownPart", format!("'{other}'"))
                    .of_parameter("part"))
            }
            None => Ok(parts),
        }
    }

    fn cut(
        &self,
        name: &str,
        things: impl Iterator<Item = &'a Published>,
        (usual, most): (usize, usize),
    ) -> Result<(Part<&'a Published>, usize), Refusal> {
        let size = google::page_size(self.shelf, self.request, usual, most)?;
        let elements = things.map(|thing| (place(thing), thing)).collect();
        let cut = part(name, elements, Order::NewestFirst, self.request.query("pageToken"), size);
        let refuse = |_| {
            let message = "The request specifies an invalid page token.";
            Refusal::new(400, "youtube.parameter", "invalidPageToken", message).of_parameter("pageToken")
        };
        Ok((cut.map_err(refuse)?, size))
    }

    fn channels(&self) -> Result<Value, Refusal> {
        let parts = self.parts(&["id", "snippet", "contentDetails", "statistics", "status"])?;
        let ids: Vec<&str> = match (self.request.query("mine"), self.request.query("id")) {
            (Some("true"), None) => vec![&self.holder.id],
            (None, Some(ids)) => ids.split(',').filter(|id| self.shelf.pages.contains_key(*id)).collect(),
            _ => return Err(required("No filter selected. Expected one of: forHandle, id, mine")),
        };
        // Who has no channel has an id that is none.
        let ids = ids.into_iter().filter(|id| id.starts_with("UC") || self.shelf.pages.contains_key(*id));
        let channels: Vec<Value> = ids.map(|id| self.channel(id, &parts)).collect();
        let info = json!({"totalResults": channels.len(), "resultsPerPage": 5});
        let mut body = json!({"kind": "youtube#channelListResponse", "pageInfo": info});
        if !channels.is_empty() {
            body["items"] = channels.into();
        }
        Ok(with_etag(body))
    }

    fn channel(&self, id: &str, parts: &[String]) -> Value {
        let mut channel = json!({"kind": "youtube#channel", "id": id});
        if asked(parts, "snippet") {
            channel["snippet"] = json!({"title": self.name_of(id), "description": ""});
        }
        if asked(parts, "contentDetails") {
            channel["contentDetails"] = json!({"relatedPlaylists": {"likes": "", "uploads": uploads(id)}});
        }
        if asked(parts, "statistics") {
            channel["statistics"] = json!({"videoCount": self.videos(id).count().to_string()});
        }
        if asked(parts, "status") {
            channel["status"] = json!({"privacyStatus": "public", "isLinked": true});
        }
        with_etag(channel)
    }

    /// The videos of a channel that the token's holder may see.
    fn videos(&self, page: &'a str) -> impl Iterator<Item = &'a Published> {
        let is_own = self.holder.id == page;
        let videos = self.shelf.listed_of(page, self.request.now_ms);
        videos.filter(move |thing| thing.kind == Kind::Post && (is_own || privacy(thing) == "public"))
    }

    fn playlist_items(&self) -> Result<Value, Refusal> {
        let parts = self.parts(&["id", "snippet", "contentDetails", "status"])?;
        let refuse = || {
            let message = "The playlist identified with the request's <code>playlistId</code> parameter cannot be found.";
            Refusal::new(404, "youtube.playlistItem", "playlistNotFound", message).of_parameter("playlistId")
        };
        let playlist = self.request.query("playlistId");
        let playlist =
            playlist.ok_or_else(|| required("No filter selected. Expected one of: id, playlistId"))?;
        let page = self.shelf.pages.keys().find(|page| uploads(page) == playlist).ok_or_else(refuse)?;
        if !self.shelf.all_of(page).any(|thing| thing.kind == Kind::Post) {
            return Err(refuse());
        }
        let wanted = self.request.query("videoId");
        let videos = || self.videos(page).filter(|video| wanted.is_none_or(|wanted| wanted == video.id));
        let total = videos().count();
        let (cut, size) = self.cut(playlist, videos(), (5, 50))?;
        let items: Vec<Value> =
            cut.elements.iter().map(|video| self.playlist_item(video, page, &parts)).collect();
        Ok(listed(
            "youtube#playlistItemListResponse",
            &items,
            &cut,
            &json!({"totalResults": total, "resultsPerPage": size}),
        ))
    }

    fn playlist_item(&self, video: &Published, page: &str, parts: &[String]) -> Value {
        let playlist = uploads(page);
        let id = STANDARD_NO_PAD.encode(format!("{playlist}.{:016X}", crate::hash(&video.id)));
        let mut item = json!({"kind": "youtube#playlistItem", "id": id});
        let (title, description) = video.text.split_once('\n').unwrap_or((&video.text, ""));
        let is_private = privacy(video) == "private";
        if asked(parts, "snippet") {
            item["snippet"] = json!({
                "publishedAt": time(video.at_ms), "channelId": page, "title": title, "description": description,
                "thumbnails": {}, "channelTitle": self.name_of(page), "playlistId": playlist, "position": 0,
                "resourceId": {"kind": "youtube#video", "videoId": video.id},
                "videoOwnerChannelTitle": self.name_of(page), "videoOwnerChannelId": page,
            });
        }
        if asked(parts, "contentDetails") {
            item["contentDetails"] = json!({"videoId": video.id});
            if !is_private {
                item["contentDetails"]["videoPublishedAt"] = time(video.at_ms).into();
            }
        }
        if asked(parts, "status") {
            item["status"] = json!({"privacyStatus": privacy(video)});
        }
        let own = video.members.iter().filter(|(name, _)| *name != "commentsDisabled" && asked(parts, name));
        own.for_each(|(name, value)| item[name] = value.clone());
        with_etag(item)
    }

    fn name_of(&self, page: &str) -> String {
        self.shelf.pages.get(page).map_or_else(|| format!("Channel {page}"), |page| page.name.clone())
    }

    /// The comments that begin threads: of all of a channel, or of one video.
    fn threads_of(&self) -> Result<Vec<&'a Published>, Refusal> {
        let now_ms = self.request.now_ms;
        let not_found = |what: &'static str, reason: &'static str| {
            Refusal::new(404, "youtube.commentThread", reason, format!("The {what} cannot be found."))
                .of_parameter(what)
        };
        let tops: Vec<&Published> = match (
            self.request.query("allThreadsRelatedToChannelId"),
            self.request.query("videoId"),
        ) {
            (Some(page), None) => {
                let known = self.shelf.pages.contains_key(page);
                let page = known.then_some(page);
                let page =
                    page.ok_or_else(|| not_found("allThreadsRelatedToChannelId", "channelNotFound"))?;
                self.shelf.listed_of(page, now_ms).collect()
            }
            (None, Some(video)) => {
                let video = self.shelf.present(video, now_ms).filter(|video| video.kind == Kind::Post);
                let video = video.ok_or_else(|| not_found("videoId", "videoNotFound"))?;
                if has_comments_disabled(video) {
                    let message =
                        "The video identified by the <code>videoId</code> parameter has disabled comments.";
                    let refusal = Refusal::new(403, "youtube.commentThread", "commentsDisabled", message);
                    return Err(refusal.of_parameter("videoId"));
                }
                self.shelf.listed_below(&video.id, now_ms).collect()
            }
            _ => {
                return Err(required(
                    "No filter selected. Expected one of: allThreadsRelatedToChannelId, id, videoId",
                ));
            }
        };
        let status = self.request.query("moderationStatus").unwrap_or("published");
        let shown =
            |top: &&Published| top.kind == Kind::Comment && moderation(top) == status && self.is_open(top);
        let tops: Vec<&Published> = tops.into_iter().filter(shown).collect();
        // What is held is shown to the owner alone.
        if status != "published" && tops.iter().any(|top| top.page != self.holder.id) {
            let message = "The request cannot be performed with insufficient permissions.";
            return Err(Refusal::new(403, "youtube.commentThread", "forbidden", message));
        }
        Ok(tops)
    }

    /// Whether a comment's video is there to see, with its comments.
    fn is_open(&self, comment: &Published) -> bool {
        let video = self.shelf.present(self.shelf.root(&comment.id), self.request.now_ms);
        video.is_some_and(|video| {
            !has_comments_disabled(video) && (privacy(video) != "private" || self.holder.id == video.page)
        })
    }

    fn threads(&self) -> Result<Value, Refusal> {
        let parts = self.parts(&["id", "snippet", "replies"])?;
        if !matches!(self.request.query("order"), None | Some("time" | "relevance")) {
            let message = "The order parameter has no such value.";
            return Err(Refusal::new(400, "global", "invalidParameter", message).of_parameter("order"));
        }
        let filter =
            self.request.query("videoId").or_else(|| self.request.query("allThreadsRelatedToChannelId"));
        let name = format!("threads/{}", filter.unwrap_or_default());
        let (cut, size) = self.cut(&name, self.threads_of()?.into_iter(), (20, 100))?;
        let items: Vec<Value> = cut.elements.iter().map(|top| self.thread(top, &parts)).collect();
        let info = json!({"totalResults": items.len(), "resultsPerPage": size});
        Ok(listed("youtube#commentThreadListResponse", &items, &cut, &info))
    }

    /// The replies of a thread, newest first.
    fn replies(&self, top: &str) -> Vec<&'a Published> {
        let mut replies = self.shelf.listed_under(top, self.request.now_ms);
        replies.retain(|reply| reply.kind == Kind::Reply && moderation(reply) == "published");
        replies.sort_by_key(|reply| std::cmp::Reverse(place(reply)));
        replies
    }

    fn thread(&self, top: &Published, parts: &[String]) -> Value {
        let video = self.shelf.root(&top.id);
        let replies = self.replies(&top.id);
        let mut thread = json!({"kind": "youtube#commentThread", "id": top.id});
        if asked(parts, "snippet") {
            thread["snippet"] = json!({
                "channelId": top.page, "videoId": video, "topLevelComment": self.comment(top, Some(video), None),
                "canReply": true, "totalReplyCount": replies.len(), "isPublic": true,
            });
        }
        if asked(parts, "replies") && !replies.is_empty() {
            let shown =
                replies.iter().take(SHOWN).map(|reply| self.comment(reply, Some(video), Some(&top.id)));
            thread["replies"] = json!({"comments": shown.collect::<Vec<_>>()});
        }
        with_etag(thread)
    }

    fn comments(&self) -> Result<Value, Refusal> {
        self.parts(&["id", "snippet"])?;
        let parent = self.request.query("parentId");
        let parent = parent.ok_or_else(|| required("No filter selected. Expected one of: id, parentId"))?;
        let top = self.shelf.present(parent, self.request.now_ms);
        let Some(top) = top.filter(|top| top.kind == Kind::Comment && self.is_open(top)) else {
            let message = "The <code>parentId</code> parameter specifies an invalid or unsupported comment.";
            return Err(
                Refusal::new(404, "youtube.comment", "commentNotFound", message).of_parameter("parentId")
            );
        };
        let (cut, size) = self.cut(parent, self.replies(&top.id).into_iter(), (20, 100))?;
        let items: Vec<Value> =
            cut.elements.iter().map(|reply| self.comment(reply, None, Some(parent))).collect();
        Ok(listed("youtube#commentListResponse", &items, &cut, &json!({"resultsPerPage": size})))
    }

    fn comment(&self, of: &Published, video: Option<&str>, parent: Option<&str>) -> Value {
        let own = || Author { id: of.page.clone(), name: self.name_of(&of.page) };
        let author = of.author.clone().unwrap_or_else(own);
        let shown = if self.request.query("textFormat") == Some("plainText") {
            of.text.clone()
        } else {
            html(&of.text)
        };
        let mut snippet = json!({
            "channelId": of.page, "textDisplay": shown, "textOriginal": of.text,
            "authorDisplayName": author.name, "authorProfileImageUrl": "",
            "authorChannelUrl": format!("http://www.youtube.com/channel/{}", author.id),
            "authorChannelId": {"value": author.id}, "canRate": true, "viewerRating": "none", "likeCount": 0,
            "publishedAt": time(of.at_ms), "updatedAt": time(of.edited_ms.unwrap_or(of.at_ms)),
        });
        for (name, value) in [("videoId", video), ("parentId", parent)] {
            if let Some(value) = value {
                snippet[name] = value.into();
            }
        }
        of.members.iter().for_each(|(name, value)| snippet[name] = value.clone());
        with_etag(json!({"kind": "youtube#comment", "id": of.id, "snippet": snippet}))
    }
}

fn asked(parts: &[String], part: &str) -> bool {
    parts.iter().any(|one| one == part)
}

fn required(message: &str) -> Refusal {
    Refusal::new(400, "youtube.parameter", "missingRequiredParameter", message)
}

fn with_etag(mut value: Value) -> Value {
    value["etag"] = etag(&value).into();
    value
}

fn listed(kind: &str, items: &[Value], cut: &Part<&Published>, info: &Value) -> Value {
    let mut body = json!({"kind": kind, "items": items, "pageInfo": info});
    if let Some(after) = cut.after.as_ref().filter(|_| cut.more) {
        body["nextPageToken"] = after.as_str().into();
    }
    with_etag(body)
}

fn html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;").replace('\n', "<br>")
}
