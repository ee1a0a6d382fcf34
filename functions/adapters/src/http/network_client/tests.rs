//! Calls to servers on this machine that record the requests.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use carteiro_networks::page::AccessToken;
use carteiro_networks::poll::refresh::{GrantType, renewal};
use carteiro_networks::poll::{Auth, Endpoint, Method};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::error::chain;
use crate::runtime::settings::SettingsReader;

/// A secret that no error may show.
const SECRET: &str = "EAASecretToken";
const LONG: Duration = Duration::from_secs(60);
const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn time() -> CallTime {
    CallTime { now: now(), within: LONG }
}

/// A network that answers every request alike, or says nothing.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let (heard, counted, answer) =
            (Arc::clone(&requests), Arc::clone(&connections), Arc::new(answer.into()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&heard), Arc::clone(&answer)));
            }
        });
        Self { url, requests, connections }
    }

    /// A client for which all networks are this server, each below its own path.
    fn client(&self) -> NetworkClient {
        client_of(&self.url)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn only(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }
}

fn addresses_of(url: &str) -> Addresses {
    let lookup = |name: &str| Some(format!("{url}/{}", name.to_lowercase()));
    Addresses::read(&mut SettingsReader::new(&lookup)).unwrap()
}

fn client_of(url: &str) -> NetworkClient {
    NetworkClient::new(addresses_of(url))
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<String>>>, answer: Arc<Vec<u8>>) {
    while let Some(request) = read_request(&mut stream).await {
        heard.lock().unwrap().push(request);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = String::new();
    let mut buffer = [0; 8192];
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
        // A TLS handshake begins with this byte, and never holds the end of a head.
        if read.starts_with('\x16') {
            return Some(read);
        }
        let Some((head, body)) = read.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(read);
        }
    }
}

fn token() -> AccessToken {
    AccessToken::from_stored(SECRET.to_owned())
}

fn ask_with(auth: Auth) -> NetworkRequest {
    NetworkRequest {
        operation: "posts",
        to: Endpoint::Api,
        method: Method::Get,
        path: "/v26.0/1/feed".to_owned(),
        query: vec![("fields", "id,from{name}".to_owned()), ("since", "a b&c=é".to_owned())],
        headers: Vec::new(),
        auth,
        units: 1,
    }
}

async fn request(
    client: &NetworkClient,
    network: Network,
    request: &NetworkRequest,
) -> Result<Answered, CallError> {
    let (access_token, app) = (&token(), AccessToken::from_stored("1|app".to_owned()));
    client
        .request(
            network,
            request,
            Credentials { app_token: Some(&app), ..Credentials::of(access_token) },
            time(),
        )
        .await
}

fn line(request: &str) -> &str {
    request.lines().next().unwrap()
}

#[tokio::test]
async fn a_token_stands_where_the_ask_says_and_nowhere_else() {
    let query = "fields=id%2Cfrom%7Bname%7D&since=a%20b%26c%3D%C3%A9";
    for (auth, in_query, header) in [
        (Auth::Bearer, String::new(), Some("authorization: Bearer EAASecretToken")),
        (Auth::Query("access_token"), format!("&access_token={SECRET}"), None),
        (
            Auth::Inspected("input_token"),
            format!("&input_token={SECRET}"),
            Some("authorization: Bearer 1|app"),
        ),
        (Auth::None, String::new(), None),
    ] {
        let server = Server::answering(FINE).await;
        let answered = request(&server.client(), Network::Facebook, &ask_with(auth)).await.unwrap();
        assert_eq!((answered.status, &*answered.body), (200, &b"{}"[..]));
        let request = server.only();
        let expected = format!("GET /facebook_base_url/v26.0/1/feed?{query}{in_query} HTTP/1.1");
        assert_eq!(line(&request), expected);
        let authorization = request.lines().find(|line| line.starts_with("authorization"));
        assert_eq!(authorization, header, "{auth:?}");
        let places = usize::from(!in_query.is_empty()) + usize::from(auth == Auth::Bearer);
        assert_eq!(request.matches(SECRET).count(), places);
        assert!(request.contains(&format!("\r\nuser-agent: Carteiro/{}\r\n", env!("CARGO_PKG_VERSION"))));
    }
}

#[tokio::test]
async fn a_path_is_sent_as_it_is_with_its_query_and_the_asks_headers() {
    let server = Server::answering(FINE).await;
    let path = "/rest/socialActions/urn%3Ali%3Acomment%3A(a%2C1)/comments?q=List(a,b)&timeRange=(start:1)";
    let mut linkedin = NetworkRequest { path: path.to_owned(), query: Vec::new(), ..ask_with(Auth::Bearer) };
    linkedin.headers = vec![("Linkedin-Version", "202606".to_owned())];
    let client = server.client();
    request(&client, Network::Linkedin, &linkedin).await.unwrap();
    let more = NetworkRequest { query: vec![("start", "0".to_owned())], ..linkedin };
    request(&client, Network::Linkedin, &more).await.unwrap();
    let requests = server.requests();
    assert_eq!(line(&requests[0]), format!("GET /linkedin_base_url{path} HTTP/1.1"));
    assert_eq!(line(&requests[1]), format!("GET /linkedin_base_url{path}&start=0 HTTP/1.1"));
    assert!(requests[0].contains("\r\nlinkedin-version: 202606\r\n"), "{}", requests[0]);
}

#[tokio::test]
async fn tokens_of_instagrams_own_login_go_to_its_own_host() {
    let server = Server::answering(FINE).await;
    let client = server.client();
    for text in ["IGAAx", "EAAx"] {
        let access_token = &AccessToken::from_stored(text.to_owned());
        let credentials = Credentials::of(access_token);
        client.request(Network::Instagram, &ask_with(Auth::Bearer), credentials, time()).await.unwrap();
    }
    let requests = server.requests();
    assert!(line(&requests[0]).starts_with("GET /instagram_token_url/v26.0/1/feed?"));
    assert!(line(&requests[1]).starts_with("GET /instagram_base_url/v26.0/1/feed?"));
}

#[tokio::test]
async fn a_proof_goes_into_the_query_beside_the_token() {
    let server = Server::answering(FINE).await;
    let client = server.client();
    let (token, proof) = (token(), AccessToken::from_stored("0a1b".to_owned()));
    let credentials = Credentials { proof: Some(("appsecret_proof", &proof)), ..Credentials::of(&token) };
    client.request(Network::Facebook, &ask_with(Auth::Bearer), credentials, time()).await.unwrap();
    assert!(line(&server.only()).contains("&appsecret_proof=0a1b HTTP/1.1"), "{}", line(&server.only()));
    assert!(!format!("{credentials:?}").contains("0a1b"));
}

#[tokio::test]
async fn what_cannot_be_a_request_is_not_sent() {
    let server = Server::answering(FINE).await;
    let client = server.client();
    let refused = async |request: NetworkRequest, token: &str| {
        let access_token = &AccessToken::from_stored(token.to_owned());
        let credentials = Credentials::of(access_token);
        let error = client.request(Network::Facebook, &request, credentials, time()).await.unwrap_err();
        assert!(matches!(error, CallError::NotMade(_)) && error.is_unsent() && !error.is_transient());
        assert!(!format!("{error:?}{}", chain(&error)).contains("Secret"), "{error:?}");
    };
    refused(ask_with(Auth::Inspected("input_token")), SECRET).await;
    refused(ask_with(Auth::Bearer), "a\nSecret").await;
    for path in
        ["", "x.example.com/Secret", "/a#Secret", "/a Secret", &format!("/{}", "Secret".repeat(20_000))]
    {
        refused(NetworkRequest { path: path.to_owned(), ..ask_with(Auth::None) }, SECRET).await;
    }
    let header = vec![("x", "a\r\nSecret: b".to_owned())];
    refused(NetworkRequest { headers: header, ..ask_with(Auth::None) }, SECRET).await;
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_renewal_posts_its_form_to_the_token_address_as_it_is() {
    let refresh = AccessToken::from_stored("r+/=".to_owned());
    let secrets = RenewalSecrets {
        refresh_token: Some(&refresh),
        client_id: Some("id:1"),
        client_secret: Some("s&1"),
        assertion: Some("a.b.c"),
    };
    let refreshing = "grant_type=refresh_token&refresh_token=r%2B%2F%3D&client_id=id%3A1";
    let with_secret = format!("{refreshing}&client_secret=s%261");
    let asserting = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c";
    for (network, means, path, form) in [
        (Network::X, GrantType::RefreshToken, "x_token_url", refreshing),
        (Network::Youtube, GrantType::RefreshToken, "youtube_token_url", &*with_secret),
        (Network::Linkedin, GrantType::RefreshToken, "linkedin_token_url", &*with_secret),
        (Network::GooglePlay, GrantType::ServiceAccount, "google_play_token_url", asserting),
    ] {
        let server = Server::answering(FINE).await;
        let renewal = renewal(network, means).unwrap();
        server.client().renew(network, renewal, secrets, time()).await.unwrap();
        let request = server.only();
        assert_eq!(line(&request), format!("POST /{path} HTTP/1.1"));
        assert!(request.ends_with(&format!("\r\n\r\n{form}")), "{request}");
        assert!(request.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
        // "id%3A1:s%261"
        let basic = request.contains("\r\nauthorization: Basic aWQlM0ExOnMlMjYx\r\n");
        assert_eq!((basic, request.contains("authorization")), (renewal.basic, renewal.basic));
    }
}

#[tokio::test]
async fn only_an_apps_secret_may_be_missing_in_a_renewal() {
    let server = Server::answering(FINE).await;
    let refresh = AccessToken::from_stored("r".to_owned());
    let client = server.client();
    let x = renewal(Network::X, GrantType::RefreshToken).unwrap();
    let youtube = renewal(Network::Youtube, GrantType::RefreshToken).unwrap();
    let secrets =
        RenewalSecrets { refresh_token: Some(&refresh), client_id: Some("id"), ..RenewalSecrets::default() };
    client.renew(Network::X, x, secrets, time()).await.unwrap();
    client.renew(Network::Youtube, youtube, secrets, time()).await.unwrap();
    for request in server.requests() {
        assert!(!request.contains("authorization") && !request.contains("client_secret"), "{request}");
    }
    let play = renewal(Network::GooglePlay, GrantType::ServiceAccount).unwrap();
    let without = [
        (x, RenewalSecrets { refresh_token: None, ..secrets }),
        (x, RenewalSecrets { client_id: None, ..secrets }),
        (play, secrets),
    ];
    for (renewal, secrets) in without {
        let error = client.renew(Network::X, renewal, secrets, time()).await.unwrap_err();
        assert!(matches!(error, CallError::NotMade(_)));
        assert_eq!(format!("{secrets:?}"), "RenewalSecrets(…)");
    }
}

#[tokio::test]
async fn every_status_is_an_answer_that_prints_none_of_its_content() {
    let answer = "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nX-App-Usage: {\"a\":1}\r\ncontent-length: 14\r\n\r\nEAASecretToken";
    let server = Server::answering(answer).await;
    let answered = request(&server.client(), Network::Facebook, &ask_with(Auth::None)).await.unwrap();
    assert_eq!(answered.header("x-app-usage"), Some("{\"a\":1}"));
    let told = answered.parse(|answer| {
        (answer.status, (answer.header)("retry-after").map(str::to_owned), answer.body.len())
    });
    assert_eq!(told, (429, Some("7".to_owned()), 14));
    assert_eq!(format!("{answered:?}"), "Answered(429, 14 bytes)");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering(FINE).await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {}/\r\ncontent-length: 0\r\n\r\n", elsewhere.url);
    let server = Server::answering(answer).await;
    let answered = request(&server.client(), Network::Facebook, &ask_with(Auth::Bearer)).await.unwrap();
    assert_eq!(answered.status, 302);
    assert_eq!((server.requests().len(), elsewhere.connections.load(Ordering::SeqCst)), (1, 0));
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn answer_of(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn what_is_packed_is_unpacked_and_other_codings_are_no_answer() {
    let body = packed(b"{\"data\":[]}");
    let server = Server::answering(answer_of("content-encoding: gzip\r\n", &body)).await;
    let answered = request(&server.client(), Network::Youtube, &ask_with(Auth::None)).await.unwrap();
    assert_eq!(&*answered.body, b"{\"data\":[]}");
    assert!(server.only().contains("\r\naccept-encoding: gzip\r\n"));
    let server = Server::answering(answer_of("content-encoding: gzip\r\n", b"")).await;
    let answered = request(&server.client(), Network::Youtube, &ask_with(Auth::None)).await.unwrap();
    assert!(answered.body.is_empty());
    for (coding, body) in [("gzip", &body[..body.len() - 9]), ("br", b"x"), ("gzip, gzip", &body[..])] {
        let server = Server::answering(answer_of(&format!("content-encoding: {coding}\r\n"), body)).await;
        let error = request(&server.client(), Network::Youtube, &ask_with(Auth::None)).await.unwrap_err();
        assert_eq!(error, CallError::Broken, "{coding}");
    }
}

#[tokio::test]
async fn an_answer_above_the_bound_is_not_read_to_its_end() {
    let whole = vec![b'x'; MAX_BODY_BYTES];
    let server = Server::answering(answer_of("", &whole)).await;
    let answered = request(&server.client(), Network::Facebook, &ask_with(Auth::None)).await.unwrap();
    assert_eq!(answered.body.len(), MAX_BODY_BYTES);
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_BODY_BYTES + 1);
    let over = vec![b'x'; MAX_BODY_BYTES + 1];
    let without_length = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &over].concat();
    let bomb = answer_of("content-encoding: gzip\r\n", &packed(&over));
    for answer in [announced.into_bytes(), without_length, bomb] {
        let server = Server::answering(answer).await;
        let error = request(&server.client(), Network::Facebook, &ask_with(Auth::None)).await.unwrap_err();
        assert_eq!(error, CallError::TooLarge);
    }
}

#[tokio::test]
async fn a_call_ends_in_time_and_none_begins_without_time() {
    let nothing_yet = Server::answering("").await;
    let half = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
    let token = token();
    let credentials = Credentials::of(&token);
    for server in [&nothing_yet, &half] {
        let time = CallTime { now: now(), within: Duration::from_millis(300) };
        let stopwatch = crate::runtime::clock::Stopwatch::start();
        let told = server.client().request(Network::X, &ask_with(Auth::Bearer), credentials, time).await;
        assert_eq!(told.unwrap_err(), CallError::TimedOut);
        assert!((300..15_000).contains(&stopwatch.elapsed_ms()));
    }
    let time = CallTime { now: now(), within: Duration::ZERO };
    let fine = Server::answering(FINE).await;
    let told = fine.client().request(Network::X, &ask_with(Auth::Bearer), credentials, time).await;
    assert_eq!(told.unwrap_err(), CallError::NoTime);
    assert_eq!(fine.connections.load(Ordering::SeqCst), 0);
    let clock = InvocationClock::start(1_795_000_030_000, Duration::from_secs(30));
    assert!(CallTime::of(clock, Duration::from_secs(10)).within <= Duration::from_secs(20));
    assert_eq!(CallTime::of(clock, LONG).within, Duration::ZERO);
}

#[test]
fn no_call_may_take_longer_than_the_longest() {
    assert_eq!(time().limit(), LONGEST_CALL);
    let short = Duration::from_millis(1);
    assert_eq!(CallTime { within: short, ..time() }.limit(), short);
    assert!(LONGEST_CALL < carteiro_networks::poll::refresh::BUSY);
}

#[tokio::test]
async fn a_connection_is_kept_but_not_through_a_long_sleep() {
    let server = Server::answering(FINE).await;
    let client = server.client();
    let token = token();
    let credentials = Credentials::of(&token);
    for (seconds, connections) in [(0, 1), (1, 1), (14, 1), (900, 2), (901, 2)] {
        let now = now() + Duration::from_secs(seconds);
        let time = CallTime { now, within: LONG };
        client.request(Network::X, &ask_with(Auth::Bearer), credentials, time).await.unwrap();
        assert_eq!(server.connections.load(Ordering::SeqCst), connections, "{seconds}");
    }
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn http2_is_negotiated_with_trusted_certificates_only() {
    let authority = carteiro_hostile::Authority::new().unwrap();
    for (hostile, status) in [
        (carteiro_hostile::well_behaved::over_http2(), 204),
        (carteiro_hostile::well_behaved::over_tls(), 200),
    ] {
        let network = carteiro_hostile::Running::start(&hostile, &authority).await.unwrap();
        let url = network.url.trim_end_matches("/webhook");
        let client = NetworkClient::trusting(addresses_of(url), [authority.der()]).unwrap();
        for _ in 0..2 {
            let answered = request(&client, Network::X, &ask_with(Auth::Bearer)).await.unwrap();
            assert_eq!(answered.status, status);
        }
        assert_eq!(network.connections(), 1);
        let error = request(&client_of(url), Network::X, &ask_with(Auth::Bearer)).await.unwrap_err();
        assert_eq!(error, CallError::Tls);
    }
}

#[tokio::test]
async fn no_error_has_anything_of_a_token_or_a_url_in_it() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let plain = Server::answering(FINE).await;
    let broken = Server::answering("SSH-2.0-EAASecretToken\r\n\r\n").await;
    let large = Server::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", u32::MAX)).await;
    let half = Server::answering(answer_of("transfer-encoding: chunked\r\n", b"zz EAASecretToken")).await;
    for (url, expected) in [
        (nobody, CallError::NoConnection),
        ("https://nowhere.invalid".to_owned(), CallError::NoConnection),
        (plain.url.replace("http:", "https:"), CallError::Tls),
        (broken.url.clone(), CallError::Broken),
        (half.url.clone(), CallError::Broken),
        (large.url.clone(), CallError::TooLarge),
    ] {
        let error =
            request(&client_of(&url), Network::Facebook, &ask_with(Auth::Query("access_token"))).await;
        let error = error.unwrap_err();
        assert_eq!(error, expected, "{url}");
        let told = format!("{error:?} {error} {} {}", chain(&error), error.as_str());
        for secret in [SECRET, "127.0.0.1", "nowhere", "access_token", "feed"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
    let token = token();
    let credentials = Credentials::of(&token);
    assert!(!format!("{credentials:?}").contains(SECRET));
}
