//! The demonstration's pages: one on each network, connected at the stand-ins and at Carteiro.
//!
//! The stand-ins know a page's tokens as long as the program runs, and nobody else can say later whether they are good.
//! So a page is kept no longer than they are: the pages that an earlier run made are deleted when the stack is up
//! ([`delete_kept`]), with a demonstration or without, before they are taken for pages whose access was taken back; and
//! each run connects its own.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use carteiro_fake_networks::{Connection, Networks};
use carteiro_networks::network::Network;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Demonstration, DemonstrationAccount, DemonstrationError, kept_in};
use crate::api_client::{ApiClient, CallError};

/// The networks' ids of the pages.
const PAGES: [(Network, &str); 6] = [
    (Network::Facebook, "100000000000001"),
    (Network::Instagram, "400000000000004"),
    (Network::X, "800000000000008"),
    (Network::Youtube, "UC_demonstration_0000012"),
    (Network::GooglePlay, "com.example.demonstracao"),
    (Network::Linkedin, "1200000000000013"),
];

/// A page that is connected.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) network: Network,
    /// The network's id of it.
    pub(super) owner: &'static str,
    /// Carteiro's.
    pub(super) id: String,
}

/// The network's id of the page there.
pub(super) fn owner(network: Network) -> &'static str {
    PAGES.iter().find(|(of, _)| *of == network).map_or("", |(_, id)| *id)
}

/// Deletes the pages of an earlier run's demonstration, if there was one in this folder and its account is still there.
pub(crate) async fn delete_kept(folder: &Path, api: &ApiClient) -> Result<(), DemonstrationError> {
    let Some(account) = kept_in(folder)? else { return Ok(()) };
    let pages = match pages_of(api, &account).await {
        Ok(pages) => pages,
        Err(error) if error.is_unknown() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let is_ours = |page: &Value| {
        PAGES.iter().any(|(network, id)| page["network"] == network.as_str() && page["network_id"] == *id)
    };
    for page in pages.iter().filter(|page| is_ours(page)) {
        let path = format!("/pages/{}", page["id"].as_str().unwrap_or_default());
        let deleted = api.call(Method::DELETE, &path, &account.key, Bytes::new(), StatusCode::OK).await;
        deleted.map(drop).or_else(|error| if error.is_unknown() { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

async fn pages_of(api: &ApiClient, account: &DemonstrationAccount) -> Result<Vec<Value>, CallError> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/pages?limit=100{cursor}");
        let listed = api.call(Method::GET, &path, &account.key, Bytes::new(), StatusCode::OK).await?;
        pages.extend(listed.json()["data"].as_array().into_iter().flatten().cloned());
        match listed.json()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(pages),
        }
    }
}

impl Demonstration<'_> {
    /// Connects the page of a network, with a token of this run's.
    pub(super) async fn connect(&self, network: Network, key: &str, mark: &str) -> Result<Page, CallError> {
        let owner = owner(network);
        let mut page = give_token(self.networks, network, owner, mark);
        (page["network"], page["network_id"]) = (network.as_str().into(), owner.into());
        page["name"] = "Loja de demonstração".into();
        let created =
            self.api.call(Method::POST, "/pages", key, page.to_string().into(), StatusCode::CREATED).await?;
        Ok(Page { network, owner, id: created.text("id")? })
    }
}

/// Makes a token at a network's stand-in, and answers it as the API takes it.
fn give_token(networks: &Networks, network: Network, owner: &str, mark: &str) -> Value {
    let token = match network {
        Network::Facebook | Network::Instagram => format!("EAAdemonstration{mark}"),
        Network::X => format!("x-demonstration-{mark}"),
        Network::Youtube => format!("ya29.demonstration-{mark}"),
        Network::GooglePlay => return json!({"access_token": networks.service_account(owner)}),
        Network::Linkedin => format!("AQXdemonstration{mark}"),
    };
    if network != Network::X {
        networks.connect(network, owner, &token);
        return json!({ "access_token": token });
    }
    // Its time is over, so that the first thing that is asked for is a new one.
    let refresh = format!("x-demonstration-refresh-{mark}");
    let connection = Connection::new(owner, &token).refresh_token(&refresh).expires_in(Duration::ZERO);
    networks.connect_with(network, connection);
    json!({"access_token": token, "refresh_token": refresh, "expires_at": jiff::Timestamp::UNIX_EPOCH})
}

#[cfg(test)]
mod tests {
    use carteiro_clock::testing;
    use carteiro_networks::page::NewPage;

    use super::*;

    #[tokio::test]
    async fn every_network_has_a_page_with_tokens_that_the_api_accepts() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let networks = Networks::start(listener, testing::clock()).unwrap();
        for network in Network::ALL {
            let mut page = give_token(&networks, network, owner(network), "000000000000042");
            (page["network"], page["network_id"]) = (network.as_str().into(), owner(network).into());
            page["name"] = "p".into();
            let page = NewPage::from_json(page.as_object().unwrap()).unwrap();
            assert_eq!(page.network, network);
            let known = networks.secrets(network);
            let is_key = page.access_token.reveal().starts_with('{');
            assert!(is_key || known.iter().any(|token| token == page.access_token.reveal()), "{network}");
            let refresh = page.refresh_token.map(|token| token.reveal().to_owned());
            assert_eq!(refresh.is_some(), network == Network::X);
            assert!(refresh.is_none_or(|refresh| known.contains(&refresh)));
        }
        networks.stop().await;
    }
}
