//! How the answer to a GET is sent: with a validator, so that a client that has it already reads no body again, and
//! compressed for the clients that take that.
//!
//! It is one rule for all answers. A successful GET has an `ETag`, and `cache-control: no-cache, private` unless its
//! handler said something else; `If-None-Match` with that tag is answered 304. Every other answer, and one whose
//! handler says `no-store` because it carries a secret, is neither stored nor compressed: compression beside text that
//! somebody else chose would tell of the secret by its length.
//!
//! The platform has no compression of its own for HTTP APIs. It sends the bytes of a body that is marked as base64,
//! whatever their type.

use std::borrow::Cow;
use std::io::Write;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH, VARY,
};
use sha2::{Digest, Sha256};

/// Bodies up to this size are sent as they are: compressed, they fit into no fewer packets.
const COMPRESSED_ABOVE: usize = 1024;

/// How many bytes of a body's digest its tag has.
const TAG_BYTES: usize = 16;

/// What the tag of a compressed body ends with: one tag names one sequence of bytes (RFC 9110, 8.8.3.3).
const COMPRESSED_TAG: &str = "-gzip";

/// What a 304 repeats of the answer that it stands for (RFC 9110, 15.4.5).
const OF_UNCHANGED: [HeaderName; 3] = [CACHE_CONTROL, ETAG, VARY];

/// What a client said of the representation that it wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    is_get: bool,
    takes_gzip: bool,
    /// The tags that it knows: `If-None-Match`.
    known: Option<String>,
}

impl Wanted {
    /// Reads it from a request's headers.
    #[must_use]
    pub fn read(route: &str, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| -> Option<String> {
            let values: Vec<Cow<'_, str>> =
                headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        Self {
            is_get: route.starts_with("GET "),
            takes_gzip: text(ACCEPT_ENCODING).is_some_and(|codings| takes_gzip(&codings)),
            known: text(IF_NONE_MATCH),
        }
    }

    /// The answer as it is sent to this client.
    #[must_use]
    pub fn of(&self, mut response: ApiGatewayV2httpResponse) -> ApiGatewayV2httpResponse {
        let is_secret = response.headers.get(CACHE_CONTROL).is_some_and(|value| value == "no-store");
        if !self.is_get || response.status_code != 200 || is_secret {
            response.headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            return response;
        }
        let Some(Body::Text(body)) = &response.body else { return response };
        let tag = tag(body, response.headers.get(CONTENT_SECURITY_POLICY));
        let is_compressed = self.takes_gzip && body.len() > COMPRESSED_ABOVE;
        // A client that knows the answer needs no bytes of it.
        let is_known = self.known.as_ref().is_some_and(|known| knows(known, &tag));
        let compressed = if is_compressed && !is_known { gzip(body) } else { None };
        // One that compression makes longer goes as it is.
        let is_compressed = is_compressed && (is_known || compressed.is_some());
        let shown = format!("\"{tag}{}\"", if is_compressed { COMPRESSED_TAG } else { "" });
        let headers = &mut response.headers;
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(shown) = HeaderValue::try_from(shown) {
            headers.insert(ETAG, shown);
        }
        if is_known {
            return unchanged(response);
        }
        if let Some(compressed) = compressed {
            response.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response.body = Some(Body::Binary(compressed));
            response.is_base64_encoded = true;
        }
        response
    }
}

/// The answer that says that the client's copy is still right.
fn unchanged(mut response: ApiGatewayV2httpResponse) -> ApiGatewayV2httpResponse {
    response.status_code = 304;
    response.body = None;
    let whole = std::mem::take(&mut response.headers);
    for name in OF_UNCHANGED {
        if let Some(value) = whole.get(&name) {
            response.headers.insert(name, value.clone());
        }
    }
    response
}

/// The tag of a body and of the policy under which a page is shown: a 304 leaves a client with the policy that it has.
fn tag(body: &str, policy: Option<&HeaderValue>) -> String {
    let digest = Sha256::new().chain_update(body).chain_update(policy.map_or(&[][..], HeaderValue::as_bytes));
    URL_SAFE_NO_PAD.encode(&digest.finalize()[..TAG_BYTES])
}

/// Whether a list of tags has this one, in either form. What is on the way may have made a strong tag a weak one.
fn knows(list: &str, tag: &str) -> bool {
    list.split(',').map(str::trim).any(|known| {
        if known == "*" {
            return true;
        }
        let known = known.strip_prefix("W/").unwrap_or(known);
        let known = known.strip_prefix('"').and_then(|known| known.strip_suffix('"'));
        known.is_some_and(|known| known.strip_suffix(COMPRESSED_TAG).unwrap_or(known) == tag)
    })
}

/// Whether `Accept-Encoding` takes gzip: named, or by `*`, and not with the quality 0 (RFC 9110, 12.5.3).
fn takes_gzip(codings: &str) -> bool {
    let mut any = false;
    for coding in codings.split(',') {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        let is_taken = quality.is_ok_and(|quality| quality > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return is_taken,
            "*" => any = is_taken,
            _ => {}
        }
    }
    any
}

fn gzip(body: &str) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body.as_bytes()).ok()?;
    encoder.finish().ok().filter(|compressed| compressed.len() < body.len())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::runtime::http_api::{answer, empty};

    fn wanted(route: &str, given: &[(HeaderName, &'static str)]) -> Wanted {
        let pairs = given.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        Wanted::read(route, &pairs.collect())
    }

    fn body(bytes: usize) -> String {
        "0123456789".chars().cycle().take(bytes).collect()
    }

    fn sent(wanted: &Wanted, body: &str) -> ApiGatewayV2httpResponse {
        wanted.of(answer(200, "application/json", body.to_owned()))
    }

    fn header(response: &ApiGatewayV2httpResponse, name: HeaderName) -> Option<&str> {
        response.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_client_that_has_the_body_reads_none_again() {
        let first = sent(&wanted("GET /webhooks", &[]), "{}");
        let etag = header(&first, ETAG).unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() == 24, "{etag}");
        assert_eq!(header(&first, CACHE_CONTROL), Some("no-cache, private"));
        let bare = etag.trim_matches('"').to_owned();
        for (known, status) in [
            (etag.clone(), 304),
            (format!("W/{etag}"), 304),
            (format!("\"other\", {etag}"), 304),
            (format!("\"{bare}-gzip\""), 304),
            (bare, 200),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (String::new(), 200),
        ] {
            let wanted = Wanted { is_get: true, takes_gzip: false, known: Some(known.clone()) };
            let again = sent(&wanted, "{}");
            assert_eq!(again.status_code, status, "{known}");
            assert_eq!(again.body.is_none(), status == 304, "{known}");
            assert_eq!(header(&again, ETAG), Some(etag.as_str()));
            assert_eq!(header(&again, CONTENT_TYPE).is_none(), status == 304);
            let changed = sent(&wanted, "[]").status_code;
            assert_eq!(changed, if known == "*" { 304 } else { 200 }, "{known}: what changed is sent");
        }
    }

    #[test]
    fn an_unchanged_answer_is_small() {
        let first = sent(&wanted("GET /webhooks", &[]), &body(50_000));
        let known = header(&first, ETAG).unwrap().to_owned();
        let again = sent(&Wanted { is_get: true, takes_gzip: true, known: Some(known) }, &body(50_000));
        assert_eq!((again.status_code, again.is_base64_encoded), (304, false));
        let headers = again.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        // The gateway adds its id of the request, the date and the connection: less than 90 bytes.
        assert!(headers.sum::<usize>() < 110, "{:?}", again.headers);
    }

    #[test]
    fn a_long_body_is_compressed_where_that_is_taken() {
        for (codings, bytes, expected) in [
            ("gzip", 1025, true),
            ("gzip", 1024, false),
            ("br, GZIP;q=0.5", 5000, true),
            ("gzip;q=0", 5000, false),
            ("*", 5000, true),
            ("*, gzip;q=0.0", 5000, false),
            ("*;q=0", 5000, false),
            ("gzip;q=x", 5000, false),
            ("br, deflate", 5000, false),
            ("", 5000, false),
        ] {
            let answered = sent(&wanted("GET /webhooks", &[(ACCEPT_ENCODING, codings)]), &body(bytes));
            assert_eq!(header(&answered, CONTENT_ENCODING), expected.then_some("gzip"), "{codings} {bytes}");
            assert_eq!(answered.is_base64_encoded, expected);
            assert_eq!(header(&answered, VARY), Some("accept-encoding"));
            let is_of_compressed = header(&answered, ETAG).unwrap().ends_with("-gzip\"");
            assert_eq!(is_of_compressed, expected, "one tag, one sequence of bytes");
            match answered.body.unwrap() {
                Body::Binary(compressed) => {
                    let mut read = String::new();
                    GzDecoder::new(&compressed[..]).read_to_string(&mut read).unwrap();
                    assert_eq!(read, body(bytes));
                }
                text => assert_eq!(text, Body::Text(body(bytes))),
            }
        }
    }

    #[test]
    fn what_is_no_successful_get_is_never_stored() {
        let gzip = [(ACCEPT_ENCODING, "gzip")];
        for (route, status) in
            [("POST /webhooks", 201), ("PATCH /webhooks/{webhook}", 200), ("GET /webhooks", 404)]
        {
            let answered = wanted(route, &gzip).of(answer(status, "application/json", body(5000)));
            assert_eq!(header(&answered, CACHE_CONTROL), Some("no-store"), "{route} {status}");
            assert_eq!((header(&answered, ETAG), header(&answered, CONTENT_ENCODING)), (None, None));
            assert_eq!(answered.body, Some(Body::Text(body(5000))));
        }
        let done = wanted("DELETE /webhooks/{webhook}", &[]).of(empty(204));
        assert_eq!((done.status_code, done.body), (204, None));
    }

    #[test]
    fn a_secret_that_is_read_is_neither_tagged_nor_compressed() {
        let mut secret = answer(200, "application/json", body(5000));
        secret.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let answered = wanted("GET /console/session", &[(ACCEPT_ENCODING, "gzip")]).of(secret);
        assert_eq!((header(&answered, ETAG), header(&answered, CONTENT_ENCODING)), (None, None));
        assert_eq!(answered.body, Some(Body::Text(body(5000))));
    }

    #[test]
    fn what_a_handler_says_of_keeping_its_answer_stands() {
        let mut schema = answer(200, "application/json", "{}".to_owned());
        schema.headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        let answered = wanted("GET /schemas/collected-item.json", &[]).of(schema);
        assert_eq!(header(&answered, CACHE_CONTROL), Some("public, max-age=3600"));
        assert!(header(&answered, ETAG).is_some());
    }
}
