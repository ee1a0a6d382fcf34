//! What people publish on each network, found by a tick: one of each kind that there is.

use std::time::Duration;

use bytes::Bytes;
use carteiro_fake_networks::{Kind, Thing};
use carteiro_networks::network::Network;
use carteiro_networks::push::signature::AppSecret;
use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::pages::{Page, owner};
use super::{DELIVERY_LIMIT, Demonstration, DemonstrationAccount, DemonstrationError};

/// How long between two looks at a page whose last tick is not over.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Who writes to the pages: the network's id, and a name.
const CUSTOMER: (&str, &str) = ("1300000000000014", "cliente.demonstracao");

/// What was published.
struct Published<'a> {
    page: &'a Page,
    text: String,
}

/// Publishes on the page of one network.
struct Publisher<'a> {
    demonstration: &'a Demonstration<'a>,
    page: &'a Page,
    mark: &'a str,
    published: Vec<Published<'a>>,
}

impl Demonstration<'_> {
    /// Publishes on every network, runs a tick, and says how each thing was delivered. `pages` are those that are
    /// connected already.
    pub(super) async fn run_collection(
        &self,
        account: &DemonstrationAccount,
        mark: &str,
        mut pages: Vec<Page>,
    ) -> Result<(), DemonstrationError> {
        // What the tick before is still asking about, it could find too.
        for page in &pages {
            self.brought_in(page, account, Timestamp::MIN).await?;
        }
        for network in Network::ALL {
            if !pages.iter().any(|page| page.network == network) {
                pages.push(self.connect(network, &account.key, mark).await?);
            }
        }
        pages.sort_by_key(|page| Network::ALL.iter().position(|network| *network == page.network));
        let mut published = Vec::new();
        for page in &pages {
            published.extend(self.publish(page, mark).await?);
        }
        let ticked_at = self.now();
        self.tick().await?;
        let mut failures = Vec::new();
        for Published { page, text } in &published {
            match self.follow_text(page, text).await {
                Ok(line) => self.console.say(&line),
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            return Err(DemonstrationError::Items(failures));
        }
        let all = published.len();
        let networks = pages.len();
        self.console.say(&format!(
            "{all} of {all} things published on {networks} networks, found by a tick and delivered."
        ));
        if let Some(page) = pages.iter().find(|page| page.network == Network::X) {
            self.console.say(&state(page, &self.brought_in(page, account, ticked_at).await?)?);
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        let now_ms = i64::try_from(self.clock.now_ms()).unwrap_or_default();
        Timestamp::from_millisecond(now_ms).unwrap_or_default()
    }

    async fn publish<'a>(
        &'a self,
        page: &'a Page,
        mark: &'a str,
    ) -> Result<Vec<Published<'a>>, DemonstrationError> {
        let mut publisher = Publisher { demonstration: self, page, mark, published: Vec::new() };
        match page.network {
            Network::Facebook => {
                publisher.conversation()?;
                publisher.by_customer(Kind::Mention, "Vejam só o que comprei")?;
                publisher.review()?;
                publisher.by_customer(Kind::DirectMessage, "Vocês entregam no sábado?")?;
            }
            Network::Instagram => {
                publisher.conversation()?;
                publisher.put(Thing::new(Kind::Story, publisher.says("Só hoje")))?;
                publisher.by_customer(Kind::Tag, "Nós na loja")?;
                publisher.by_customer(Kind::DirectMessage, "Vocês entregam no sábado?")?;
                publisher.mention_that_is_pushed().await?;
            }
            Network::X => {
                let post = publisher.put(Thing::post(publisher.says("Novidades na loja")))?;
                publisher.put(by(Thing::reply(post, publisher.says("Quero!"))))?;
                publisher.by_customer(Kind::Mention, "Olá, @loja")?;
                publisher.by_customer(Kind::DirectMessage, "Vocês entregam no sábado?")?;
            }
            Network::Youtube => publisher.conversation()?,
            Network::GooglePlay => {
                let review = publisher.review()?;
                publisher.put(Thing::reply(review, publisher.says("Que bom!")))?;
            }
            Network::Linkedin => {
                publisher.conversation()?;
                let mention = Thing::new(Kind::Mention, publisher.says("Parceiros da loja"));
                let mention = publisher.put(by(mention))?;
                // The network pushes to who subscribed, and the tick asks for notifications less often then.
                let secret = self.network_secrets.linkedin.first().map_or("", AppSecret::reveal);
                let pushed = self.networks.push(page.network, &mention, secret).await;
                pushed.map_err(|error| failed(error.to_string()))?;
            }
        }
        Ok(publisher.published)
    }

    /// What is known of a page when a tick that began then, or later, is over.
    async fn brought_in(
        &self,
        page: &Page,
        account: &DemonstrationAccount,
        since: Timestamp,
    ) -> Result<Value, DemonstrationError> {
        let path = format!("/pages/{}", page.id);
        let looks = DELIVERY_LIMIT.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..looks {
            let shown = self.api.call(Method::GET, &path, &account.key, Bytes::new(), StatusCode::OK).await?;
            if ticked_at(shown.json()).is_some_and(|at| at >= since) {
                return Ok(shown.json().clone());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let limit = DELIVERY_LIMIT.as_secs();
        Err(failed(format!("the page of {} was not brought in within {limit} s", page.network)))
    }
}

fn failed(what: String) -> DemonstrationError {
    DemonstrationError::Items(vec![what])
}

/// When the last tick of a page began.
fn ticked_at(shown: &Value) -> Option<Timestamp> {
    shown["last_tick"]["at"].as_str()?.parse().ok()
}

/// The line on a page after its tick.
fn state(page: &Page, shown: &Value) -> Result<String, DemonstrationError> {
    let last = &shown["last_tick"];
    let word = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let (token, result) = (word(&shown["token"]["state"]), word(&last["result"]));
    let number = |field: &str| last[field].as_u64().unwrap_or_default();
    let line = format!(
        "  {:<10} {}  token {token}, last tick {result}: {} new, {} calls",
        page.network.as_str(),
        page.id,
        number("new"),
        number("calls")
    );
    let is_well = token == "ok" && result == "ok";
    if is_well { Ok(line) } else { Err(failed(format!("a page did not fare well:{line}"))) }
}

fn by(thing: Thing) -> Thing {
    thing.by(CUSTOMER.0, CUSTOMER.1)
}

impl Publisher<'_> {
    /// A text that nothing else has.
    fn says(&self, text: &str) -> String {
        let (network, mark, number) = (self.page.network, self.mark, self.published.len() + 1);
        format!("{text} ({network} {mark}-{number})")
    }

    /// Publishes a thing, and answers the network's id of it.
    fn put(&mut self, thing: Thing) -> Result<String, DemonstrationError> {
        let (page, text) = (self.page, thing.text.clone());
        let put = self.demonstration.networks.publish(page.network, page.owner, thing);
        let id = put.map_err(|error| failed(format!("{} did not take a thing: {error}", page.network)))?;
        self.published.push(Published { page, text });
        Ok(id)
    }

    fn by_customer(&mut self, kind: Kind, text: &str) -> Result<String, DemonstrationError> {
        self.put(by(Thing::new(kind, self.says(text))))
    }

    /// A post, a comment on it, and the page's answer.
    fn conversation(&mut self) -> Result<(), DemonstrationError> {
        let post = self.put(Thing::post(self.says("Novidades na loja")))?;
        let comment = self.put(by(Thing::comment(post, self.says("Quanto custa?"))))?;
        self.put(Thing::reply(comment, self.says("Custa 10 reais")))?;
        Ok(())
    }

    fn review(&mut self) -> Result<String, DemonstrationError> {
        self.put(by(Thing::review(5, self.says("Recomendo"))))
    }

    /// A mention that no list has: Instagram pushes its id, and the tick asks for what it says.
    async fn mention_that_is_pushed(&mut self) -> Result<(), DemonstrationError> {
        let id = self.by_customer(Kind::Mention, "Fui à @loja")?;
        let now_ms = i64::try_from(self.demonstration.clock.now_ms()).unwrap_or_default();
        self.demonstration.push(Network::Instagram, &mention(&id, now_ms)).await
    }
}

/// What Instagram pushes of a mention in somebody's media.
fn mention(media: &str, now_ms: i64) -> Bytes {
    let change = json!({"field": "mentions", "value": {"media_id": media}});
    let owner = owner(Network::Instagram);
    let body =
        json!({"object": "instagram", "entry": [{"id": owner, "time": now_ms / 1000, "changes": [change]}]});
    body.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page { network: Network::X, owner: "8", id: "page_1".to_owned() }
    }

    #[test]
    fn a_pages_line_shows_its_token_and_tick_and_whether_it_fails() {
        let shown = |result: &str| {
            json!({
                "token": {"state": "ok"},
                "last_tick": {"at": "2026-11-22T12:00:00Z", "result": result, "new": 4, "calls": 6},
            })
        };
        let line = state(&page(), &shown("ok")).unwrap();
        assert_eq!(line, "  x          page_1  token ok, last tick ok: 4 new, 6 calls");
        let failed = state(&page(), &shown("unavailable")).unwrap_err();
        assert!(failed.to_string().contains("unavailable"), "{failed}");
        assert_eq!(ticked_at(&shown("ok")), "2026-11-22T12:00:00Z".parse().ok());
        assert_eq!(ticked_at(&json!({"token": {"state": "unknown"}, "last_tick": null})), None);
    }
}
