//! Requests, with the secrets in their places.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use carteiro_networks::page::{AccessToken, Login};
use carteiro_networks::poll::refresh::{Renewal, Slot};
use carteiro_networks::poll::{Auth, Endpoint, Method, NetworkRequest};
use carteiro_networks::push::signature::AppSecret;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Request, Uri};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::CallError;
use super::addresses::Address;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Everything but letters, digits and `-._~` is escaped (RFC 3986, 2.3), a space as `%20`: queries and forms are read
/// alike so.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The credentials of a request.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The page's access token. A network's [route](carteiro_networks::spec::TokenSpec::route) may choose the address
    /// by it.
    pub access_token: &'a AccessToken,
    /// The app's own token, `<app id>|<app secret>`, with which [inspections](Auth::Inspected) are made.
    pub app_token: Option<&'a AccessToken>,
    /// The secret that the page's pushes are to be signed with, which a [hub](Auth::PushSecret) is told.
    pub push_secret: Option<&'a AppSecret>,
    /// How the page was connected, where its owner said so: the address may depend on it.
    pub login: Option<Login>,
    /// The parameter of the query that proves that the call comes from the token's app, and its value.
    pub proof: Option<(&'static str, &'a AccessToken)>,
}

impl<'a> Credentials<'a> {
    /// A page's access token alone.
    #[must_use]
    pub fn of(access_token: &'a AccessToken) -> Self {
        Self { access_token, app_token: None, push_secret: None, login: None, proof: None }
    }
}

/// The credentials of a token's renewal, as far as they are set. It prints none of them.
#[derive(Clone, Copy, Default)]
pub struct RenewalSecrets<'a> {
    /// The page's refresh token.
    pub refresh_token: Option<&'a AccessToken>,
    /// The app's id at the network.
    pub client_id: Option<&'a str>,
    /// The app's secret. An app may have none; then its field is left out.
    pub client_secret: Option<&'a str>,
    /// A service account's signed [assertion](crate::http::service_account_token::assertion).
    pub assertion: Option<&'a str>,
}

impl std::fmt::Debug for RenewalSecrets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RenewalSecrets(…)")
    }
}

/// The HTTP request for a request about a page.
pub(super) fn of_page(
    address: &Address,
    request: &NetworkRequest,
    credentials: Credentials<'_>,
) -> Result<Request<Full<Bytes>>, CallError> {
    // A hub's address is whole; any other is only the beginning of one.
    if request.path.is_empty() && request.to != Endpoint::Hub {
        return Err(NOT_A_URL);
    }
    let token = credentials.access_token.reveal();
    let (in_query, bearer) = match request.auth {
        Auth::Bearer => (None, Some(token)),
        Auth::Query(name) => (Some((name, token)), None),
        Auth::Inspected(name) => {
            let app = credentials.app_token.ok_or(CallError::NotMade("there is no token of the app"))?;
            (Some((name, token)), Some(app.reveal()))
        }
        Auth::PushSecret(_) | Auth::None => (None, None),
    };
    let in_form = match request.auth {
        Auth::PushSecret(name) => {
            let secret = credentials.push_secret.ok_or(CallError::NotMade("there is no secret of pushes"))?;
            Some((name, secret.reveal()))
        }
        _ => None,
    };
    let proof = credentials.proof.map(|(name, proof)| (name, proof.reveal()));
    let own = request.query.iter().map(|(name, value)| (*name, value.as_str()));
    let (query, body): (Vec<_>, _) = match request.method {
        Method::Get => (own.chain(in_query).chain(proof).collect(), None),
        Method::Post => {
            let form: Vec<_> = own.chain(in_form).collect();
            let query = in_query.into_iter().chain(proof).collect();
            (query, Some((http::Method::POST, FORM, joined(&form))))
        }
        Method::Put => {
            let members: serde_json::Map<_, _> =
                own.map(|(name, value)| (name.to_owned(), value.into())).collect();
            let body = serde_json::Value::Object(members).to_string();
            (in_query.into_iter().chain(proof).collect(), Some((http::Method::PUT, JSON, body)))
        }
    };
    let mut http = http_request(url(address, &request.path, &query)?, body);
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else {
            return Err(CallError::NotMade("a header has what no header may have"));
        };
        http.headers_mut().append(name, value);
    }
    if let Some(token) = bearer {
        http.headers_mut().insert(AUTHORIZATION, secret(format!("Bearer {token}"))?);
    }
    Ok(http)
}

/// The request of a renewal to an address.
pub(super) fn of_renewal(
    address: &Address,
    renewal: &Renewal,
    secrets: RenewalSecrets<'_>,
) -> Result<Request<Full<Bytes>>, CallError> {
    let mut form = Vec::new();
    for (name, slot) in renewal.form {
        let value = match slot {
            Slot::Plain(text) => Some(*text),
            Slot::RefreshToken => {
                let token = secrets.refresh_token.map(AccessToken::reveal);
                Some(token.ok_or(CallError::NotMade("there is no refresh token"))?)
            }
            Slot::ClientId => Some(secrets.client_id.ok_or(CallError::NotMade("there is no id of the app"))?),
            Slot::ClientSecret => secrets.client_secret,
            Slot::Assertion => Some(secrets.assertion.ok_or(CallError::NotMade("there is no assertion"))?),
        };
        form.extend(value.map(|value| (*name, value)));
    }
    let uri = address.whole().parse().map_err(|_| NOT_A_URL)?;
    let mut request = http_request(uri, Some((http::Method::POST, FORM, joined(&form))));
    if let (true, Some(id), Some(secret_of_app)) = (renewal.basic, secrets.client_id, secrets.client_secret) {
        // Both are escaped before (RFC 6749, 2.3.1).
        let pair = format!("{}:{}", escaped(id), escaped(secret_of_app));
        request.headers_mut().insert(AUTHORIZATION, secret(format!("Basic {}", STANDARD.encode(pair)))?);
    }
    Ok(request)
}

const NOT_A_URL: CallError = CallError::NotMade("its URL is none, or too long");

/// The path stays as it is: some networks' paths have a query, whose brackets and commas must not be escaped.
fn url(address: &Address, path: &str, query: &[(&str, &str)]) -> Result<Uri, CallError> {
    // Else the path could go on with the host's name, or end where a fragment begins, which is not sent.
    if !path.is_empty() && !path.starts_with('/') || path.contains('#') {
        return Err(NOT_A_URL);
    }
    let mut text = format!("{}{path}", address.base());
    if !query.is_empty() {
        text.push(if path.contains('?') { '&' } else { '?' });
        text.push_str(&joined(query));
    }
    text.parse().map_err(|_| NOT_A_URL)
}

fn http_request(uri: Uri, body: Option<(http::Method, HeaderValue, String)>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(crate::http::sender::USER_AGENT));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    if let Some((method, content_type, body)) = body {
        headers.insert(CONTENT_TYPE, content_type);
        *request.method_mut() = method;
        *request.body_mut() = Full::from(body);
    }
    request
}

fn joined(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join("&")
}

fn escaped(text: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(text, ESCAPED)
}

/// A header's value that nothing prints.
fn secret(text: String) -> Result<HeaderValue, CallError> {
    let value = HeaderValue::try_from(text);
    let mut value = value.map_err(|_| CallError::NotMade("a secret has what no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}
