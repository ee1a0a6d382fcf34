//! Subscriptions to pushes: YouTube's WebSub hub, `/youtube/hub`, and what a hub and LinkedIn send.
//!
//! A subscription is verified at once, as `hub.verify=sync` asks: the hub calls the address that it is given with a
//! challenge, answers 204 where that was echoed, and 409 where it was not. A push is sent once; a refused one is not
//! repeated, as the tests repeat what they want.
//!
//! Sources: "PubSubHubbub Core 0.3" (synchronous verification, content distribution), "0.4" (signatures);
//! developers.google.com/youtube/v3/guides/push_notifications; learn.microsoft.com/linkedin (webhook-validation).

use bytes::Bytes;
use carteiro_networks::network::Network;
use http::{Method, Request as HttpRequest, request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use ring::hmac;
use serde_json::json;
use url::form_urlencoded;

use crate::call::Call;
use crate::request::Reply;
use crate::shelf::Shelf;
use crate::thing::Published;
use crate::{NotDone, Shared, linkedin};

/// Where the hub is.
pub(crate) const PATH: &str = "/youtube/hub";
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a lease lasts, in seconds, where no time is asked for, and at most.
const LEASE: u64 = 432_000;
const LONGEST_LEASE: u64 = 864_000;

/// Somebody who gets pushes of a page.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) page: String,
    pub(crate) callback: String,
    /// What pushes are signed with; empty where the app's secret does.
    pub(crate) secret: String,
    pub(crate) ends_ms: u64,
}

/// A push to be sent.
pub(crate) struct Push {
    callback: String,
    content_type: &'static str,
    header: &'static str,
    signature: String,
    body: String,
}

/// Answers a request to the hub.
pub(crate) async fn answer(shared: &Shared, parts: &request::Parts, body: &Bytes) -> Reply {
    let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let now_ms = shared.clock.now_ms();
    let lease =
        field("hub.lease_seconds").and_then(|text| text.parse().ok()).unwrap_or(LEASE).min(LONGEST_LEASE);
    let topic = field("hub.topic").unwrap_or_default();
    let channel = topic.split_once("videos.xml?channel_id=").map(|(_, channel)| channel);
    let reply = match (parts.method == Method::POST, field("hub.mode"), channel, field("hub.callback")) {
        (true, Some(mode @ ("subscribe" | "unsubscribe")), Some(channel), Some(callback)) => {
            let challenge = format!("{:x}", crate::hash(&(channel, callback, now_ms)));
            if agrees(
                callback,
                &[
                    ("hub.mode", mode),
                    ("hub.topic", topic),
                    ("hub.challenge", &challenge),
                    ("hub.lease_seconds", &lease.to_string()),
                ],
                &challenge,
            )
            .await
            {
                let (page, callback) = (channel.to_owned(), callback.to_owned());
                let secret = field("hub.secret").unwrap_or_default().to_owned();
                let ends_ms = if mode == "subscribe" { now_ms + lease * 1000 } else { 0 };
                let new = Subscription { page, callback, secret, ends_ms };
                shared.state().shelf(Network::Youtube).subscribe(new);
                Reply::typed(204, "text/plain", "")
            } else {
                Reply::typed(409, "text/plain", "The subscriber did not verify the request.")
            }
        }
        _ => Reply::typed(400, "text/plain", "Invalid request."),
    };
    let mut state = shared.state();
    state.calls += 1;
    let number = state.calls;
    state.shelf(Network::Youtube).calls.push(Call {
        number,
        at_ms: now_ms,
        kind: "hub".to_owned(),
        path: PATH.to_owned(),
        query: String::new(),
        page: channel.map(str::to_owned),
        status: Some(reply.status),
        units: 0,
        over_limit: false,
        dead_token: false,
        fault: None,
    });
    reply
}

/// Whether an address echoes a challenge.
async fn agrees(callback: &str, query: &[(&str, &str)], challenge: &str) -> bool {
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let joint = if callback.contains('?') { '&' } else { '?' };
    let request = HttpRequest::get(format!("{callback}{joint}{query}")).body(Full::default());
    let Ok(request) = request else { return false };
    call(request)
        .await
        .is_some_and(|(status, body)| (200..300).contains(&status) && body == challenge.as_bytes())
}

async fn call(request: HttpRequest<Full<Bytes>>) -> Option<(u16, Bytes)> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.ok()?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.ok()?;
    Some((status, body.to_bytes()))
}

/// Sends a push, and answers the status; 0 where there is none.
pub(crate) async fn send(push: Push) -> u16 {
    let request = HttpRequest::post(push.callback)
        .header("content-type", push.content_type)
        .header(push.header, push.signature)
        .body(Full::from(push.body));
    match request {
        Ok(request) => call(request).await.map_or(0, |(status, _)| status),
        Err(_) => 0,
    }
}

/// The pushes of a thing to those who subscribed to its page.
pub(crate) fn pushes(shelf: &Shelf, id: &str, app_secret: &str, now_ms: u64) -> Result<Vec<Push>, NotDone> {
    let thing = shelf.find(id).ok_or_else(|| NotDone::NoSuchThing(id.to_owned()))?;
    let live = shelf.subscriptions.iter().filter(|one| one.page == thing.page && one.ends_ms > now_ms);
    Ok(live.map(|subscription| push(shelf, thing, subscription, (app_secret, now_ms))).collect())
}

fn push(
    shelf: &Shelf,
    thing: &Published,
    subscription: &Subscription,
    (app_secret, now_ms): (&str, u64),
) -> Push {
    let callback = subscription.callback.clone();
    if shelf.network == Network::Linkedin {
        let notifications: Vec<_> = linkedin::told_last(shelf, thing, now_ms).into_iter().collect();
        let kind = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS";
        let body = json!({"type": kind, "notifications": notifications}).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
        let signature = hexadecimal(hmac::sign(&key, format!("hmacsha256={body}").as_bytes()).as_ref());
        return Push {
            callback,
            content_type: "application/json",
            header: "x-li-signature",
            signature,
            body,
        };
    }
    let body = feed(thing);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, subscription.secret.as_bytes());
    let signature = format!("sha1={}", hexadecimal(hmac::sign(&key, body.as_bytes()).as_ref()));
    Push { callback, content_type: "application/atom+xml", header: "x-hub-signature", signature, body }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A feed with one video, or with the word that it is gone.
fn feed(video: &Published) -> String {
    let at = |ms: u64| crate::timestamp(ms).strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (id, channel) = (&video.id, &video.page);
    if let Some(removed_ms) = video.removed_ms {
        let when = at(removed_ms);
        return format!(
            r#"<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns:at="http://purl.org/atompub/tombstones/1.0" xmlns="http://www.w3.org/2005/Atom"><at:deleted-entry ref="yt:video:{id}" when="{when}">
  <link href="https://www.youtube.com/watch?v={id}"/>
</at:deleted-entry></feed>
"#
        );
    }
    let title = escaped(video.text.split('\n').next().unwrap_or_default());
    let (published, updated) = (at(video.at_ms), at(video.edited_ms.unwrap_or(video.at_ms)));
    format!(
        r#"<?xml version='1.0' encoding='UTF-8'?>
<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom"><link rel="hub" href="https://pubsubhubbub.appspot.com"/><link rel="self" href="https://www.youtube.com/xml/feeds/videos.xml?channel_id={channel}"/><title>YouTube video feed</title><updated>{updated}</updated><entry>
  <id>yt:video:{id}</id>
  <yt:videoId>{id}</yt:videoId>
  <yt:channelId>{channel}</yt:channelId>
  <title>{title}</title>
  <link rel="alternate" href="https://www.youtube.com/watch?v={id}"/>
  <author>
   <name>Channel {channel}</name>
   <uri>https://www.youtube.com/channel/{channel}</uri>
  </author>
  <published>{published}</published>
  <updated>{updated}</updated>
</entry></feed>
"#
    )
}
