//! One push of each network that pushes, signed as the network signs, brought in by a tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use carteiro_core::network::Network;
use carteiro_core::push::signature::{AppSecret, META_HEADER, X_HEADER, sign_as_meta, sign_as_x};
use carteiro_receiver::{Delivery, SignatureCheck};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{DELIVERY_LIMIT, Demonstration, DemonstrationAccount, DemonstrationError, PATH};
use crate::api_client::CallError;

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

/// The token of the demonstration's pages, at the stand-ins.
const TOKEN: &str = "token-of-the-demonstration";

/// One push.
struct Push {
    network: Network,
    /// The network's id of the page.
    owner: &'static str,
    /// What the item is to say.
    text: String,
    body: Bytes,
}

impl Demonstration<'_> {
    /// Sends a push of each network, runs a tick, and says how each was delivered.
    pub(super) async fn run_pushes(
        &self,
        account: &DemonstrationAccount,
        mark: &str,
        now_ms: i64,
    ) -> Result<(), DemonstrationError> {
        let pushes = pushes(mark, now_ms);
        let mut waiting = Vec::new();
        for push in &pushes {
            let page = self.page(push, &account.key).await?;
            self.push(push).await?;
            waiting.push((push, page));
        }
        let tick = self.stack.invoke("CollectFunction", Bytes::from_static(b"{}")).await;
        match tick {
            Ok(tick) if !tick.function_error => {}
            Ok(tick) => {
                let said = String::from_utf8_lossy(&tick.payload).into_owned();
                return Err(DemonstrationError::Items(vec![format!("the tick failed: {said}")]));
            }
            Err(error) => return Err(DemonstrationError::Items(vec![format!("the tick: {error}")])),
        }
        let mut failures = Vec::new();
        for (push, page) in waiting {
            match self.follow_push(push, &page).await {
                Ok(line) => self.console.say(&line),
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            return Err(DemonstrationError::Items(failures));
        }
        let all = pushes.len();
        self.console.say(&format!("{all} of {all} pushes brought in by a tick and delivered."));
        Ok(())
    }

    /// The page that a push is of: connected by an earlier run, or now.
    async fn page(&self, push: &Push, key: &str) -> Result<String, CallError> {
        // The stand-ins keep nothing over a restart.
        self.networks.connect(push.network, push.owner, TOKEN);
        let listed =
            self.api.call(Method::GET, "/pages?limit=100", key, Bytes::new(), StatusCode::OK).await?;
        let is_it =
            |page: &&Value| page["network"] == push.network.as_str() && page["network_id"] == push.owner;
        let known = listed.json()["data"].as_array().and_then(|pages| pages.iter().find(is_it));
        if let Some(id) = known.and_then(|page| page["id"].as_str()) {
            return Ok(id.to_owned());
        }
        let page = json!({
            "network": push.network,
            "network_id": push.owner,
            "name": "Loja de demonstração",
            "access_token": TOKEN,
        });
        let created =
            self.api.call(Method::POST, "/pages", key, page.to_string().into(), StatusCode::CREATED).await?;
        created.text("id")
    }

    /// Sends a push as the network does.
    async fn push(&self, push: &Push) -> Result<(), DemonstrationError> {
        let (secrets, header) = match push.network {
            Network::X => (&self.network_secrets.x, X_HEADER),
            _ => (&self.network_secrets.meta, META_HEADER),
        };
        let Some(secret) = secrets.first() else {
            let failure = format!("no secret of {} is set, to sign its push with", push.network);
            return Err(DemonstrationError::Items(vec![failure]));
        };
        let signature = match push.network {
            Network::X => sign_as_x(secret, &push.body),
            _ => sign_as_meta(secret, &push.body),
        };
        let path = format!("/push/{}", push.network);
        self.api.push(&path, (header, &signature), push.body.clone()).await?;
        Ok(())
    }

    /// Waits for a push's item at the receiver, and says how it arrived.
    async fn follow_push(&self, push: &Push, page: &str) -> Result<String, String> {
        let (network, source) = (push.network, format!("page:{page}"));
        let said = |delivery: &Delivery| serde_json::from_slice::<Value>(&delivery.body).unwrap_or_default();
        let wanted = |delivery: &Delivery| {
            &*delivery.path == PATH
                && delivery.header("carteiro-source") == Some(&source)
                && said(delivery)["text"] == push.text.as_str()
        };
        let delivery: Arc<Delivery> = self.receiver.wait_for(wanted, DELIVERY_LIMIT).await.map_err(|_| {
            format!("the push of {network} was not delivered within {} s", DELIVERY_LIMIT.as_secs())
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
            "  {:<9} {id}  {} {} {}  signature verified",
            network.as_str(),
            word("type"),
            word("kind"),
            word("action")
        ))
    }
}

/// A comment on each network, in the network's own shape. `mark` makes its ids new.
fn pushes(mark: &str, now_ms: i64) -> [Push; 3] {
    let seconds = now_ms / 1000;
    let said = |network: &str| format!("Chegou rápido, obrigado! ({network} {mark})");
    let (facebook, instagram, x) = (said("facebook"), said("instagram"), said("x"));
    let page = "100000000000001";
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
        "id": "400000000000004", "time": seconds, "changes": [{
            "field": "comments",
            "value": {
                "id": format!("5{mark}"), "text": instagram,
                "from": {"id": "600000000000006", "username": "cliente.demonstracao"},
                "media": {"id": "700000000000007", "media_product_type": "FEED"},
            },
        }],
    }]});
    let x_body = json!({"for_user_id": "800000000000008", "tweet_create_events": [{
        "id_str": format!("9{mark}"), "text": x, "timestamp_ms": now_ms.to_string(),
        "in_reply_to_status_id_str": "1000000000000010", "in_reply_to_user_id_str": "800000000000008",
        "user": {"id_str": "1100000000000011", "name": "Cliente", "screen_name": "cliente_demo"},
    }]});
    let push =
        |network, owner, text, body: Value| Push { network, owner, text, body: body.to_string().into() };
    [
        push(Network::Facebook, page, facebook, facebook_body),
        push(Network::Instagram, "400000000000004", instagram, instagram_body),
        push(Network::X, "800000000000008", x, x_body),
    ]
}

#[cfg(test)]
mod tests {
    use carteiro_core::collected::Kind;
    use carteiro_core::network::NetworkId;
    use carteiro_core::{normalise, push};

    use super::*;

    #[test]
    fn every_push_is_a_comment_or_reply_of_its_page_that_says_its_text() {
        for one in pushes("42", 1_790_000_000_000) {
            let updates = push::split(one.network, &one.body);
            let owner: NetworkId = one.owner.parse().unwrap();
            assert_eq!((updates.len(), updates[0].owners.first()), (1, Some(&owner)));
            let content = normalise::read(&updates[0].event, &owner).content;
            assert_eq!(content.text.as_deref(), Some(&*one.text));
            assert!([Kind::Comment, Kind::Reply].contains(&content.kind), "{:?}", content.kind);
        }
    }
}
