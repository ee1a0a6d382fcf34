//! Google Play: the reviews of an app, `androidpublisher/v3/applications/{package}/reviews`, by list and by id.
//!
//! A [`Review`](Kind::Review) has stars, a text and mostly an author; a [`Reply`](Kind::Reply) on it is its developer's
//! answer. Members of a review stand in its `userComment`.
//!
//! Chosen where the documentation leaves it open: an answer of the developer's moves its review neither up nor back into
//! the week; a developer's answer that was replaced is gone; an hour of the quota is one of the clock's, and begins for
//! each app with the first call in it.
//!
//! Sources: developers.google.com/android-publisher/reply-to-reviews, /api-ref/rest/v3/reviews. The words
//! of the refusals are from memory.

use serde_json::{Value, json};

use crate::google::{self, Refusal};
use crate::limit::LimitOf;
use crate::listing::{Order, Place, part};
use crate::request::{Reply, Request};
use crate::shelf::Shelf;
use crate::shelf::{Api, Draft};
use crate::thing::{Kind, Published};
use crate::token::Holder;

/// GETs an hour, of an app.
const QUOTA: u64 = 200;
const HOUR_MS: u64 = 3_600_000;
/// How long a review is listed after its last change.
const WEEK_MS: u64 = 7 * 24 * HOUR_MS;

pub(crate) struct GooglePlay;

impl Api for GooglePlay {
    fn lasts_seconds(&self) -> Option<u64> {
        Some(3600)
    }

    fn kind(&self, request: &Request) -> String {
        match request.segments.as_slice() {
            _ if request.to_token_address => "token".to_owned(),
            [_, _, _, _, reviews] => reviews.clone(),
            [_, _, _, _, _, _] => "review".to_owned(),
            _ => "nothing".to_owned(),
        }
    }

    fn answer(&self, shelf: &mut Shelf, request: &Request) -> Reply {
        if request.to_token_address {
            return google::token(shelf, request);
        }
        let holder = match google::holder(shelf, request) {
            Ok(holder) => holder,
            Err(refusal) => return refusal.reply(),
        };
        let Some((package, review)) = target(request) else {
            return Refusal::new(404, "global", "notFound", "Not Found").reply();
        };
        if let Err(refusal) = allowed(shelf, &holder, package) {
            return refusal.reply();
        }
        let ends_ms = (request.now_ms / HOUR_MS + 1) * HOUR_MS;
        let (_, taken) = shelf.take(LimitOf::Page, "", package, QUOTA, 1, request.now_ms, ends_ms);
        if taken.over {
            return out_of_quota().over_limit(true);
        }
        let answered = match review {
            Some(id) => one(shelf, request, package, id),
            None => list(shelf, request, package),
        };
        answered.map_or_else(|refusal| refusal.reply(), |body| Reply::json(200, &body))
    }

    fn unavailable(&self, status: u16) -> Reply {
        Refusal::failure(status).reply()
    }

    fn limited(&self, shelf: &mut Shelf, request: &Request, until_ms: u64) -> Reply {
        let package = target(request).map(|(package, _)| package).unwrap_or_default();
        let was_spent = !shelf.spend(LimitOf::Page, "", package, request.now_ms, until_ms);
        Refusal::rate(until_ms.saturating_sub(request.now_ms)).over_limit(was_spent)
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Review, Kind::Reply]
    }

    fn id(&self, draft: &Draft<'_>) -> String {
        let salt = crate::hash(&(draft.page, draft.sequence, draft.at_ms));
        format!(
            "{salt:016x}-{:04x}-4{:03x}-8000-{:012x}",
            draft.sequence & 0xffff,
            salt & 0xfff,
            draft.sequence
        )
    }
}

/// The app that is asked about, and the review.
fn target(request: &Request) -> Option<(&str, Option<&str>)> {
    let (api, rest) = request.segments.split_first()?;
    let (version, rest) = rest.split_first()?;
    let is_known = api == "androidpublisher" && version == "v3" && request.method == http::Method::GET;
    match rest {
        [applications, package, reviews, more @ ..]
            if is_known && applications == "applications" && reviews == "reviews" && more.len() < 2 =>
        {
            Some((package, more.first().map(String::as_str)))
        }
        _ => None,
    }
}

/// Who is not of the app is refused alike, whether there is such an app or not; its owner learns that there is none.
fn allowed(shelf: &Shelf, holder: &Holder, package: &str) -> Result<(), Refusal> {
    if holder.lacks.as_deref().is_some_and(|lacks| lacks.contains("androidpublisher")) {
        return Err(Refusal::scope());
    }
    if holder.id == package && holder.lacks.is_none() && shelf.pages.contains_key(package) {
        return Ok(());
    }
    Err(Refusal::new(403, "global", "forbidden", "The caller does not have permission")
        .named("PERMISSION_DENIED"))
}

fn out_of_quota() -> Reply {
    let message = "Quota exceeded for quota metric 'Review retrieval requests' and limit 'Review retrieval requests per \
                   hour' of service 'androidpublisher.googleapis.com'.";
    let refusal = Refusal::new(429, "global", "rateLimitExceeded", message).named("RESOURCE_EXHAUSTED");
    refusal.detailed("RATE_LIMIT_EXCEEDED").reply()
}

fn changed_ms(thing: &Published) -> u64 {
    thing.edited_ms.unwrap_or(thing.at_ms)
}

fn list(shelf: &Shelf, request: &Request, package: &str) -> Result<Value, Refusal> {
    let oldest = request.now_ms.saturating_sub(WEEK_MS);
    let reviews = shelf.listed_of(package, request.now_ms).filter(|review| {
        review.kind == Kind::Review && !review.text.trim().is_empty() && changed_ms(review) >= oldest
    });
    let elements = reviews.map(|review| (Place(changed_ms(review), review.sequence), review)).collect();
    let size = google::page_size(shelf, request, 10, 100)?.max(1);
    let cut = part(package, elements, Order::NewestFirst, request.query("token"), size).map_err(|_| {
        let message = "Request contains an invalid argument.";
        Refusal::new(400, "global", "badRequest", message).named("INVALID_ARGUMENT")
    })?;
    let reviews: Vec<Value> = cut.elements.iter().map(|review| rendered(shelf, request, review)).collect();
    let mut body = json!({});
    if !reviews.is_empty() {
        body["reviews"] = reviews.into();
    }
    if let Some(after) = cut.after.filter(|_| cut.more) {
        body["tokenPagination"] = json!({"nextPageToken": after});
    }
    Ok(body)
}

fn one(shelf: &Shelf, request: &Request, package: &str, id: &str) -> Result<Value, Refusal> {
    let review = shelf.present(id, request.now_ms);
    let review = review.filter(|review| review.kind == Kind::Review && review.page == package);
    let refuse =
        || Refusal::new(404, "global", "notFound", "Requested entity was not found.").named("NOT_FOUND");
    review.map(|review| rendered(shelf, request, review)).ok_or_else(refuse)
}

/// A time as the API writes it: its seconds are a text.
fn time(ms: u64) -> Value {
    json!({"seconds": (ms / 1000).to_string(), "nanos": ms % 1000 * 1_000_000})
}

fn rendered(shelf: &Shelf, request: &Request, review: &Published) -> Value {
    // What has no title begins with the mark that ends it.
    let text = if review.text.contains('\t') { review.text.clone() } else { format!("\t{}", review.text) };
    let mut user = json!({
        "text": text, "lastModified": time(changed_ms(review)), "starRating": review.rating.unwrap_or(5),
        "reviewerLanguage": "pt", "device": "panther", "androidOsVersion": 34, "appVersionCode": 1042,
        "appVersionName": "10.4.2", "thumbsUpCount": 0, "thumbsDownCount": 0,
    });
    review.members.iter().for_each(|(name, value)| user[name] = value.clone());
    let mut comments = vec![json!({"userComment": user})];
    let answers = shelf.listed_below(&review.id, request.now_ms).filter(|answer| answer.kind == Kind::Reply);
    if let Some(answer) = answers.max_by_key(|answer| answer.sequence) {
        let answer = json!({"text": answer.text, "lastModified": time(changed_ms(answer))});
        comments.push(json!({"developerComment": answer}));
    }
    let mut body = json!({"reviewId": review.id, "comments": comments});
    if let Some(author) = review.author.as_ref().filter(|author| !author.name.is_empty()) {
        body["authorName"] = author.name.as_str().into();
    }
    body
}
