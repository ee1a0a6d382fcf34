//! The HTTP client that `deliver` uses, alone: `plain_client <requests> <at once> <bytes of a body> <URL>…`.
//!
//! It posts the same body again and again, by turns to each URL, and reads the answers. Then it waits for a line on
//! its standard input, posts as many again, and so on, until the input ends. Each round's end is a line on its standard
//! output.

use std::io::{BufRead, Error, ErrorKind, Write};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};

/// As many sessions as `deliver` keeps.
const SESSIONS: usize = 16_000;

type Plain = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || -> Result<usize, Error> {
        let number = arguments.next().and_then(|text| text.parse().ok());
        number.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a number is missing"))
    };
    let (requests, at_once, bytes) = (number()?, number()?, number()?);
    let urls = arguments.map(|url| url.parse::<Uri>()).collect::<Result<Vec<_>, _>>()?;
    let (client, body) = (client()?, Bytes::from(vec![b'x'; bytes]));
    for line in std::io::stdin().lock().lines() {
        line?;
        let mut targets = urls.iter().cycle().take(requests).cloned().peekable();
        while targets.peek().is_some() {
            let batch: Vec<_> = targets.by_ref().take(at_once).map(|url| post(&client, url, &body)).collect();
            let under_way: Vec<_> = batch.into_iter().map(tokio::task::spawn).collect();
            for each in under_way {
                each.await??;
            }
        }
        writeln!(std::io::stdout(), "done")?;
    }
    Ok(())
}

fn client() -> Result<Plain, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.resumption = Resumption::in_memory_sessions(SESSIONS);
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn post(client: &Plain, url: Uri, body: &Bytes) -> impl Future<Output = Result<(), Error>> + Send + 'static {
    let (client, body) = (client.clone(), body.clone());
    async move {
        let request = Request::post(url)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(Error::other)?;
        let answer = client.request(request).await.map_err(Error::other)?;
        answer.into_body().collect().await.map_err(Error::other)?;
        Ok(())
    }
}
