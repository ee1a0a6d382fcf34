//! One push of each network that pushes, signed as the network signs, brought in by a tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use carteiro_networks::network::Network;
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::{meta, x};
use carteiro_receiver::{Delivery, SignatureCheck};
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
}

impl NetworkSecrets {
    /// Those among a deployment's parameters.
    pub(crate) fn of(parameters: &BTreeMap<String, String>) -> Self {
        let list = |name: &str| AppSecret::list(parameters.get(name).map_or("", String::as_str));
        Self { meta: list("MetaAppSecrets"), x: list("XConsumerSecrets") }
    }
}

/// One push.
struct Comment {
    network: Network,
    /// What the item is to say.
    text: String,
    body: Bytes,
}

impl Demonstration<'_> {
    /// Connects the pages of the networks that push, sends a push of each, runs a tick, and says how each was delivered.
    /// Answers the pages.
    pub(super) async fn run_pushes(
        &self,
        account: &DemonstrationAccount,
        mark: &str,
        now_ms: i64,
    ) -> Result<Vec<Page>, DemonstrationError> {
        let comments = comments(mark, now_ms);
        let mut pages = Vec::new();
        for comment in &comments {
            pages.push(self.connect(comment.network, &account.key, mark).await?);
            self.push(comment.network, &comment.body).await?;
        }
        self.tick().await?;
        let mut failures = Vec::new();
        for (comment, page) in comments.iter().zip(&pages) {
            match self.follow_text(page, &comment.text).await {
                Ok(line) => self.console.say(&line),
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            return Err(DemonstrationError::Items(failures));
        }
        let all = comments.len();
        self.console.say(&format!("{all} of {all} pushes brought in by a tick and delivered."));
        Ok(pages)
    }

    /// Sends a push as the network does.
    pub(super) async fn push(&self, network: Network, body: &Bytes) -> Result<(), DemonstrationError> {
        let (secrets, header) = match network {
            Network::X => (&self.network_secrets.x, x::signature::HEADER),
            _ => (&self.network_secrets.meta, meta::signature::HEADER),
        };
        let Some(secret) = secrets.first() else {
            let failure = format!("no secret of {network} is set, to sign its push with");
            return Err(DemonstrationError::Items(vec![failure]));
        };
        let signature = match network {
            Network::X => x::signature::sign(secret, body),
            _ => meta::signature::sign(secret, body),
        };
        self.api.push(&format!("/push/{network}"), (header, &signature), body.clone()).await?;
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
fn comments(mark: &str, now_ms: i64) -> [Comment; 3] {
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
    let comment = |network, text, body: Value| Comment { network, text, body: body.to_string().into() };
    [
        comment(Network::Facebook, facebook, facebook_body),
        comment(Network::Instagram, instagram, instagram_body),
        comment(Network::X, x, x_body),
    ]
}

#[cfg(test)]
mod tests {
    use carteiro_networks::collected::Kind;
    use carteiro_networks::network::NetworkId;
    use carteiro_networks::{normalise, push};

    use super::*;

    #[test]
    fn every_push_is_a_comment_or_reply_of_its_page_that_says_its_text() {
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
