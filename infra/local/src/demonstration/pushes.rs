//! One push of each network that pushes, signed as the network signs, brought in by a tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use carteiro_fake_networks::Thing;
use carteiro_networks::network::Network;
use carteiro_networks::push::address;
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::{linkedin, meta, x, youtube};
use carteiro_receiver::{Delivery, SignatureCheck};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::pages::{Page, owner};
use super::{DELIVERY_LIMIT, Demonstration, DemonstrationAccount, DemonstrationError, PATH};

/// What the networks sign with: the template's parameters, as this stack sets them.
#[derive(Clone, Debug)]
pub(crate) struct NetworkSecrets {
    /// Meta's, for Facebook and Instagram.
    pub(crate) meta: Vec<AppSecret>,
    /// X's.
    pub(crate) x: Vec<AppSecret>,
    /// LinkedIn's.
    pub(crate) linkedin: Vec<AppSecret>,
    /// Those of which the secrets of YouTube's channels are derived.
    pub(crate) youtube: Vec<AppSecret>,
}

impl NetworkSecrets {
    /// Those among a deployment's parameters.
    pub(crate) fn of(parameters: &BTreeMap<String, String>) -> Self {
        let list = |name: &str| AppSecret::list(parameters.get(name).map_or("", String::as_str));
        let linkedin = ["LinkedinClientSecrets", "LinkedinClientSecret"].into_iter().flat_map(list).collect();
        Self {
            meta: list("MetaAppSecrets"),
            x: list("XConsumerSecrets"),
            linkedin,
            youtube: list("YoutubeHubSecret"),
        }
    }
}

/// One push.
struct Pushed {
    network: Network,
    /// What the item is to say.
    text: String,
    body: Bytes,
}

impl Demonstration<'_> {
    /// Connects the pages of the networks that push, sends a push of each, runs a tick, says how each was delivered,
    /// and answers the pages.
    pub(super) async fn run_pushes(
        &self,
        account: &DemonstrationAccount,
        mark: &str,
        now_ms: i64,
    ) -> Result<Vec<Page>, DemonstrationError> {
        let mut all: Vec<Pushed> = comments(mark, now_ms).into();
        let mut pages = Vec::new();
        for comment in &all {
            pages.push(self.connect(comment.network, &account.key, mark).await?);
            self.push(comment.network, &comment.body).await?;
        }
        let channel = self.connect(Network::Youtube, &account.key, mark).await?;
        let video = self.video(&channel, mark)?;
        self.push(Network::Youtube, &video.body).await?;
        pages.push(channel);
        all.push(video);
        self.tick().await?;
        let mut failures = Vec::new();
        for (comment, page) in all.iter().zip(&pages) {
            match self.follow_text(page, &comment.text).await {
                Ok(line) => self.console.say(&line),
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            return Err(DemonstrationError::Items(failures));
        }
        let all = all.len();
        self.console.say(&format!("{all} of {all} pushes brought in by a tick and delivered."));
        Ok(pages)
    }

    /// Publishes a video, and answers the feed that a hub sends of it: the rest of it is to be asked for.
    fn video(&self, channel: &Page, mark: &str) -> Result<Pushed, DemonstrationError> {
        let (network, title) = (channel.network, format!("Nova coleção ({mark})"));
        let failed = |what: String| DemonstrationError::Items(vec![what]);
        let thing = Thing::post(format!("{title}\nJá nas lojas."));
        let id = self.networks.publish(network, channel.owner, thing);
        let id = id.map_err(|error| failed(format!("no video is published: {error}")))?;
        let body = feed(channel.owner, &id, &title, self.now()).into();
        Ok(Pushed { network, text: format!("{title}\n\nJá nas lojas."), body })
    }

    /// Sends a push as the network does.
    pub(super) async fn push(&self, network: Network, body: &Bytes) -> Result<(), DemonstrationError> {
        let secrets = match network {
            Network::X => &self.network_secrets.x,
            Network::Linkedin => &self.network_secrets.linkedin,
            Network::Youtube => &self.network_secrets.youtube,
            _ => &self.network_secrets.meta,
        };
        let failed = || {
            let failure = format!("no secret of {network} is set, to sign its push with");
            DemonstrationError::Items(vec![failure])
        };
        let secret = secrets.first().ok_or_else(failed)?;
        let (header, signature) = match network {
            Network::X => (x::signature::HEADER, x::signature::sign(secret, body)),
            Network::Linkedin => (linkedin::push::HEADER, linkedin::push::sign(secret, body)),
            Network::Youtube => {
                let channel = owner(network).parse().map_err(|_| failed())?;
                let own = address::secrets_of(secrets, network, &channel);
                (youtube::push::HEADER, youtube::push::sign(own.first().ok_or_else(failed)?, body))
            }
            _ => (meta::signature::HEADER, meta::signature::sign(secret, body)),
        };
        let page = owner(network).parse().map_err(|_| failed())?;
        let path = address::of_page("", network, &page, secrets).ok_or_else(failed)?;
        self.api.push(&path, (header, &signature), body.clone()).await?;
        Ok(())
    }

    /// Waits for the item of a page that says this, and says how it arrived.
    pub(super) async fn follow_text(&self, page: &Page, text: &str) -> Result<String, String> {
        let (network, source) = (page.network, format!("page:{}", page.id));
        let said = |delivery: &Delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap_or_default();
        let wanted = |delivery: &Delivery| {
            &*delivery.path == PATH
                && delivery.header("carteiro-source") == Some(&source)
                && said(delivery)["text"] == text
        };
        let delivery: Arc<Delivery> = self.receiver.wait_for(wanted, DELIVERY_LIMIT).await.map_err(|_| {
            format!("{text:?} of {network} was not delivered within {} s", DELIVERY_LIMIT.as_secs())
        })?;
        if delivery.signature != SignatureCheck::Valid {
            return Err(format!(
                "the item of {network} has a signature that is {}",
                delivery.signature.as_str()
            ));
        }
        let item = said(&delivery);
        let word = |field: &str| item[field].as_str().unwrap_or("?").to_owned();
        let id = delivery.webhook_id().unwrap_or_default();
        Ok(format!(
            "  {:<10} {id}  {} {} {}  signature verified",
            network.as_str(),
            word("type"),
            word("kind"),
            word("action")
        ))
    }
}

/// A comment on each network, in the network's own shape. `mark` makes its ids new.
fn comments(mark: &str, now_ms: i64) -> [Pushed; 4] {
    let seconds = now_ms / 1000;
    let said = |network: &str| format!("Chegou rápido, obrigado! ({network} {mark})");
    let (facebook, instagram, x) = (said("facebook"), said("instagram"), said("x"));
    let (page, account, user) = (owner(Network::Facebook), owner(Network::Instagram), owner(Network::X));
    let post = format!("{page}_200000000000002");
    let facebook_body = json!({"object": "page", "entry": [{"id": page, "time": seconds, "changes": [{
        "field": "feed",
        "value": {
            "item": "comment", "verb": "add", "comment_id": format!("200000000000002_{mark}"),
            "post_id": post, "parent_id": post, "created_time": seconds, "message": facebook,
            "from": {"id": "300000000000003", "name": "Cliente de demonstração"},
        },
    }]}]});
    let instagram_body = json!({"object": "instagram", "entry": [{
        "id": account, "time": seconds, "changes": [{
            "field": "comments",
            "value": {
                "id": format!("5{mark}"), "text": instagram,
                "from": {"id": "600000000000006", "username": "cliente.demonstracao"},
                "media": {"id": "700000000000007", "media_product_type": "FEED"},
            },
        }],
    }]});
    let x_body = json!({"for_user_id": user, "tweet_create_events": [{
        "id_str": format!("9{mark}"), "text": x, "timestamp_ms": now_ms.to_string(),
        "in_reply_to_status_id_str": "1000000000000010", "in_reply_to_user_id_str": user,
        "user": {"id_str": "1100000000000011", "name": "Cliente", "screen_name": "cliente_demo"},
    }]});
    let linkedin = said("linkedin");
    let (company, activity) = (owner(Network::Linkedin), "urn:li:activity:7100000000000000016");
    let linkedin_body = json!({"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": [{
        "notificationId": now_ms, "organizationalEntity": format!("urn:li:organization:{company}"),
        "action": "COMMENT", "sourcePost": activity, "lastModifiedAt": now_ms,
        "generatedActivity": format!("urn:li:comment:(activity:7100000000000000016,{mark})"),
        "decoratedGeneratedActivity": {"comment": {
            "entity": format!("urn:li:comment:({activity},{mark})"), "object": activity,
            "owner": "urn:li:person:cliente", "text": linkedin,
        }},
    }]});
    let comment = |network, text, body: Value| Pushed { network, text, body: body.to_string().into() };
    [
        comment(Network::Facebook, facebook, facebook_body),
        comment(Network::Instagram, instagram, instagram_body),
        comment(Network::X, x, x_body),
        comment(Network::Linkedin, linkedin, linkedin_body),
    ]
}

/// What a hub sends of a new video.
fn feed(channel: &str, video: &str, title: &str, now: Timestamp) -> String {
    format!(
        r#"<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom"><entry>
<id>yt:video:{video}</id><yt:videoId>{video}</yt:videoId><yt:channelId>{channel}</yt:channelId><title>{title}</title>
<author><name>Loja</name><uri>https://www.youtube.com/channel/{channel}</uri></author>
<published>{now}</published><updated>{now}</updated></entry></feed>"#
    )
}

#[cfg(test)]
mod tests {
    use carteiro_networks::collected::Kind;
    use carteiro_networks::network::NetworkId;
    use carteiro_networks::{normalise, push};

    use super::*;

    #[test]
    fn the_feed_is_a_new_video_of_its_channel() {
        let page: NetworkId = owner(Network::Youtube).parse().unwrap();
        let body = feed(page.as_str(), "v1", "Nova coleção", Timestamp::UNIX_EPOCH);
        let updates = push::split(Network::Youtube, body.as_bytes());
        assert_eq!(updates[0].owners.first(), Some(&page));
        let read = normalise::read(&updates[0].event, &page);
        assert_eq!((read.content.text.as_deref(), read.wanted.is_some()), (Some("Nova coleção"), true));
    }

    #[test]
    fn every_push_is_a_comment_or_reply_of_its_page_with_its_text() {
        for one in comments("42", 1_790_000_000_000) {
            let updates = push::split(one.network, &one.body);
            let page: NetworkId = owner(one.network).parse().unwrap();
            assert_eq!((updates.len(), updates[0].owners.first()), (1, Some(&page)));
            let content = normalise::read(&updates[0].event, &page).content;
            assert_eq!(content.text.as_deref(), Some(&*one.text));
            assert!([Kind::Comment, Kind::Reply].contains(&content.kind), "{:?}", content.kind);
        }
    }
}
