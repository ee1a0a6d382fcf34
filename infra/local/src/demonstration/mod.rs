//! The demonstration: an account, a webhook at the receiver, one item of each type that bots produce, one push of each
//! network that pushes, and one of each kind of thing that the networks have, found by a tick: through the public HTTP
//! API, and the networks' stand-ins.
//!
//! Its account is made once for a data folder, and used again by later runs: `demonstration.json` in the folder holds
//! the account's key and the webhook's secret. Its pages are made anew by each run (see [`pages`]).

mod collected;
mod pages;
mod pushes;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carteiro_clock::Clock;
use carteiro_core::session::LINK_SECONDS;
use carteiro_fake_networks::Networks;
use carteiro_local::Stack;
use carteiro_receiver::{AddSecretError, Delivery, Receiver, SignatureCheck};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api_client::{ApiClient, CallError};
use crate::console::Console;
use crate::private_file;

pub(crate) use pages::delete_kept;
pub(crate) use pushes::NetworkSecrets;

/// The receiver's path that the webhook points at.
pub(crate) const PATH: &str = "/demonstration";

/// What the webhook takes.
const TAKEN: [&str; 5] = ["message", "event", "contact", "publication", "interaction"];

/// How long one item may take from its acceptance to the receiver.
const DELIVERY_LIMIT: Duration = Duration::from_secs(30);

/// Why the demonstration failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemonstrationError {
    /// A call of the API.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What it keeps for the next run.
    #[error("cannot keep {file}: {source}")]
    File {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The webhook's secret.
    #[error("the webhook's secret: {0}")]
    Secret(#[from] AddSecretError),
    /// There is no randomness for ids.
    #[error("the system gives no randomness: {0}")]
    Randomness(io::Error),
    /// Items that did not come through.
    #[error("{}", .0.join("; "))]
    Items(Vec<String>),
}

/// What the demonstration uses.
pub(crate) struct Demonstration<'a> {
    pub(crate) api: &'a ApiClient,
    pub(crate) stack: &'a Stack,
    pub(crate) network_secrets: &'a NetworkSecrets,
    pub(crate) receiver: &'a Receiver,
    pub(crate) networks: &'a Networks,
    pub(crate) admin_key: &'a str,
    /// The data folder, if there is one.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) clock: &'a Clock,
    pub(crate) console: Console,
}

/// The account that the demonstration made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DemonstrationAccount {
    pub(crate) account: String,
    /// The account's key.
    pub(crate) key: String,
    webhook: String,
    secret: String,
}

/// Gives the receiver the webhook's secret, where an earlier run made one. Whatever hinders it comes to light when the
/// demonstration itself needs the secret.
pub(crate) fn give_secret(folder: &Path, receiver: &Receiver) {
    let kept = private_file::read(&file(folder)).ok().flatten();
    if let Some(kept) = kept.and_then(|kept| serde_json::from_str::<DemonstrationAccount>(&kept).ok()) {
        _ = receiver.add_secret(&kept.secret);
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("demonstration.json")
}

/// The account that an earlier run made in this folder.
fn kept_in(folder: &Path) -> Result<Option<DemonstrationAccount>, DemonstrationError> {
    let file = file(folder);
    let failed = |source| DemonstrationError::File { file: file.display().to_string(), source };
    let Some(content) = private_file::read(&file).map_err(failed)? else { return Ok(None) };
    serde_json::from_str(&content).map(Some).map_err(|error| failed(error.into()))
}

/// One item of it.
struct Item {
    name: &'static str,
    route: &'static str,
    bytes: Bytes,
}

impl Demonstration<'_> {
    /// Runs it, and says what became of each item.
    pub(crate) async fn run(&self) -> Result<DemonstrationAccount, DemonstrationError> {
        let account = self.account().await?;
        self.receiver.add_secret(&account.secret)?;
        let random = private_file::random().map_err(DemonstrationError::Randomness)?;
        let now_ms = i64::try_from(self.clock.now_ms()).unwrap_or_default();
        let items = items(&random, now_ms);
        self.console.say(&format!("Demonstration: account {}, webhook {}", account.account, account.webhook));
        let mut sent = Vec::new();
        for item in &items {
            sent.push(self.send(item, &account.key).await);
        }
        let mut failures = Vec::new();
        for (item, sent) in items.iter().zip(sent) {
            let outcome = match sent {
                Ok(id) => self.follow(item, &id).await,
                Err(error) => Err(format!("{}: {error}", item.name)),
            };
            match outcome {
                Ok(line) => self.console.say(&line),
                Err(failure) => failures.push(failure),
            }
        }
        if !failures.is_empty() {
            return Err(DemonstrationError::Items(failures));
        }
        let all = items.len();
        self.console.say(&format!(
            "{all} of {all} items delivered: bytes unchanged, signatures verified by the receiver."
        ));
        let mark = random.iter().take(6).fold(0_u64, |mark, byte| mark << 8 | u64::from(*byte));
        let mark = format!("{mark:015}");
        let pages = self.run_pushes(&account, &mark, now_ms).await?;
        self.run_collection(&account, &mark, pages).await?;
        Ok(account)
    }

    /// An address that opens the account's console, once and within an hour.
    pub(crate) async fn link(&self, account: &DemonstrationAccount) -> Result<String, DemonstrationError> {
        let path = format!("/accounts/{}/links", account.account);
        let body = json!({"seconds": LINK_SECONDS.end()}).to_string().into();
        let made = self.api.call(Method::POST, &path, self.admin_key, body, StatusCode::CREATED).await?;
        Ok(made.text("url")?)
    }

    /// The account that an earlier run made, if it is still there; else a new one.
    async fn account(&self) -> Result<DemonstrationAccount, DemonstrationError> {
        if let Some(kept) = self.kept()? {
            match self.restore(&kept).await {
                Ok(()) => return Ok(kept),
                // Deleted since, or of a database that is gone.
                Err(error) if error.is_unknown() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let made = self.make().await?;
        if let Some(file) = self.file() {
            private_file::write(&file, json!(made).to_string().as_bytes())
                .map_err(|source| DemonstrationError::File { file: file.display().to_string(), source })?;
        }
        Ok(made)
    }

    fn file(&self) -> Option<PathBuf> {
        self.folder.as_deref().map(file)
    }

    fn kept(&self) -> Result<Option<DemonstrationAccount>, DemonstrationError> {
        self.folder.as_deref().map_or(Ok(None), kept_in)
    }

    /// Points the webhook at this run's receiver, whatever was changed about it since.
    async fn restore(&self, kept: &DemonstrationAccount) -> Result<(), CallError> {
        let path = format!("/webhooks/{}", kept.webhook);
        let body = json!({"url": self.receiver.url(PATH), "items": TAKEN, "enabled": true});
        self.api.call(Method::PATCH, &path, &kept.key, body.to_string().into(), StatusCode::OK).await?;
        Ok(())
    }

    async fn make(&self) -> Result<DemonstrationAccount, CallError> {
        let body = json!({"name": "Demonstration"}).to_string().into();
        let account =
            self.api.call(Method::POST, "/accounts", self.admin_key, body, StatusCode::CREATED).await?;
        let key = account.text("key")?;
        let body = json!({"url": self.receiver.url(PATH), "items": TAKEN});
        let body = body.to_string().into();
        let webhook = self.api.call(Method::POST, "/webhooks", &key, body, StatusCode::CREATED).await?;
        let (webhook, secret) = (webhook.text("id")?, webhook.text("secret")?);
        Ok(DemonstrationAccount { account: account.text("id")?, key, webhook, secret })
    }

    /// Hands one item in, and returns its id.
    async fn send(&self, item: &Item, key: &str) -> Result<String, CallError> {
        let path = format!("/bots/demonstration/{}", item.route);
        let bytes = item.bytes.clone();
        let accepted = self.api.call(Method::POST, &path, key, bytes, StatusCode::ACCEPTED).await?;
        // Somebody may have added webhooks to the account; without any, nothing will arrive, and waiting tells so.
        accepted.number("webhooks")?;
        accepted.text("id")
    }

    /// Runs a tick of the collector.
    async fn tick(&self) -> Result<(), DemonstrationError> {
        let failed = |what: String| DemonstrationError::Items(vec![what]);
        match self.stack.invoke("CollectFunction", Bytes::from_static(b"{}")).await {
            Ok(tick) if !tick.function_error => Ok(()),
            Ok(tick) => Err(failed(format!("the tick failed: {}", String::from_utf8_lossy(&tick.payload)))),
            Err(error) => Err(failed(format!("the tick: {error}"))),
        }
    }

    /// Waits for one item at the receiver, and says how it arrived.
    async fn follow(&self, item: &Item, id: &str) -> Result<String, String> {
        let wanted = |delivery: &Delivery| &*delivery.path == PATH && delivery.webhook_id() == Some(id);
        let delivery: Arc<Delivery> = self.receiver.wait_for(wanted, DELIVERY_LIMIT).await.map_err(|_| {
            format!("{} {id} did not arrive within {} s", item.name, DELIVERY_LIMIT.as_secs())
        })?;
        check(item, &delivery)
    }
}

fn check(item: &Item, delivery: &Delivery) -> Result<String, String> {
    let id = delivery.webhook_id().unwrap_or_default();
    let name = item.name;
    if delivery.body != item.bytes {
        return Err(format!("{name} {id} arrived altered"));
    }
    if delivery.signature != SignatureCheck::Valid {
        return Err(format!("{name} {id} arrived with a signature that is {}", delivery.signature.as_str()));
    }
    if delivery.header("carteiro-item-type") != Some(name) {
        return Err(format!("{name} {id} arrived as another item type"));
    }
    let attempt =
        delivery.attempt().ok_or_else(|| format!("{name} {id} arrived without its attempt's number"))?;
    let bytes = item.bytes.len();
    Ok(format!("  {name:<8} {id}  attempt {attempt}  {bytes} bytes equal  signature verified"))
}

/// One item of each type, in the shapes in which bot platforms produce them. Spaces, escapes and a number's trailing
/// zeros are part of them, so that an item that was parsed and written again on its way would be noticed.
fn items(random: &[u8; 32], now_ms: i64) -> [Item; 3] {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let uuid = uuid(random);
    let contact = "contact-7.demonstration@wa.gw.example";
    let message = format!(
        r##"{{ "type": "text/plain",  "content": "Ol\u00e1! Chegou a sua encomenda \ud83d\udce6 — obrigado",
  "id": "{uuid}", "from": "{contact}", "to": "demonstration@bots.example",
  "metadata": {{"#envelope.storageDate": "{now}", "#stateName": "Início"}} }}"##
    );
    let event = format!(
        r##"{{"ownerIdentity":"demonstration@bots.example","contact":{{"Identity":"{contact}"}},"messageId":"{uuid}","storageDate":"{now}","category":"flow","action":"Boas-vindas","value":1.50,"extras":{{"stateId":"welcome","#stateName":"Início","#messageId":"{uuid}"}}}}"##
    );
    let contact = format!(
        r#"{{"identity":"{contact}","name":"Contato de demonstração","lastMessageDate":"{now}","source":"WhatsApp","extras":{{"plano":"exemplo","pedido":"{uuid}"}}}}"#
    );
    [
        Item { name: "message", route: "messages", bytes: message.into() },
        Item { name: "event", route: "events", bytes: event.into() },
        Item { name: "contact", route: "contacts", bytes: contact.into() },
    ]
}

/// A version 4 UUID from random bits.
fn uuid(random: &[u8; 32]) -> String {
    let digits: String = random.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    // The two marked places say version and variant.
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use carteiro_core::item::read_head;

    use super::*;

    fn delivery(item: &Item) -> Delivery {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Delivery {
            number: 1,
            received_at_ms: 0,
            method: Method::POST,
            path: PATH.into(),
            query: None,
            headers: vec![
                header("webhook-id", "msg_1"),
                header("carteiro-item-type", item.name),
                header("carteiro-attempt", "1"),
            ],
            body: item.bytes.clone(),
            signature: SignatureCheck::Valid,
            answered: Some(200),
        }
    }

    #[test]
    fn the_api_accepts_every_item_and_each_has_its_type_field() {
        let items = items(&[7; 32], 1_790_000_000_000);
        for (item, field) in items.iter().zip(["type", "category", "lastMessageDate"]) {
            read_head(&item.bytes).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&item.bytes).unwrap();
            assert!(value[field].is_string(), "{}", item.name);
            assert_ne!(
                value.to_string().as_bytes(),
                &item.bytes[..],
                "{} would not tell rewriting",
                item.name
            );
        }
        assert_eq!(read_head(&items[0].bytes).unwrap().own_id.unwrap(), uuid(&[7; 32]));
    }

    #[test]
    fn an_id_is_a_version_4_uuid() {
        assert_eq!(uuid(&[0xab; 32]), "abababab-abab-4bab-8bab-abababababab");
    }

    #[test]
    fn a_delivery_is_good_only_unaltered_and_verified() {
        let [item, ..] = items(&[7; 32], 0);
        let good = delivery(&item);
        let line = check(&item, &good).unwrap();
        assert!(line.contains("message") && line.contains("msg_1") && line.contains("attempt 1"), "{line}");
        let altered = Delivery { body: Bytes::from_static(b"{}"), ..good.clone() };
        assert_eq!(check(&item, &altered).unwrap_err(), "message msg_1 arrived altered");
        let unsigned = Delivery { signature: SignatureCheck::Invalid, ..good.clone() };
        assert!(check(&item, &unsigned).unwrap_err().ends_with("a signature that is invalid"));
        let mut untyped = good;
        untyped.headers.remove(1);
        assert!(check(&item, &untyped).unwrap_err().ends_with("another item type"));
    }
}
