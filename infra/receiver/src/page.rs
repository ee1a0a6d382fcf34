//! `GET /`: what arrived, for a person to look at, newest first.
//!
//! One self-contained document without scripts. Whatever came from a request is escaped, and the policy that goes
//! with the page lets a browser load or run nothing.

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, request};
use url::form_urlencoded;

use crate::Shared;
use crate::delivery::{Delivery, SignatureCheck};
use crate::response::{Body, plain};

const PER_PAGE: usize = 50;
/// How much of a body is shown.
const SHOWN_BYTES: usize = 16 * 1024;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;\
color:#1c1c1c;background:#fff}h1{font-size:1.3rem}article{border:1px solid #ccc;border-radius:6px;margin:1rem 0;\
padding:.6rem 1rem}article h2{font-size:1rem;margin:0;overflow-wrap:anywhere}pre{background:#f4f4f4;padding:.6rem;\
white-space:pre-wrap;overflow-wrap:anywhere;margin:.4rem 0}table{border-collapse:collapse}td,th{padding:.1rem .8rem \
.1rem 0;text-align:left;vertical-align:top;font:13px ui-monospace,monospace;overflow-wrap:anywhere}\
.valid{color:#0a6b2d}.bad{color:#a3130d}.none{color:#555}@media(prefers-color-scheme:dark){body{background:#181818;\
color:#ddd}pre{background:#262626}article{border-color:#444}.valid{color:#5fd38a}.bad{color:#ff8a80}.none{color:#aaa}\
a{color:#8ab4f8}}";

pub(crate) fn answer(shared: &Shared, parts: &request::Parts) -> Response<Body> {
    let (mut path, mut before) = (None, u64::MAX);
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        match &*name {
            "path" if !value.is_empty() => path = Some(value.into_owned()),
            // A number that is none shows the newest, as no number does.
            "before" => before = value.parse().unwrap_or(u64::MAX),
            _ => {}
        }
    }
    let mut response = plain(StatusCode::OK, html(shared, path.as_deref(), before).into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

fn html(shared: &Shared, path: Option<&str>, before: u64) -> String {
    let totals = shared.store.totals();
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Receiver</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\">\
         <style>{STYLE}</style></head><body><h1>What arrived{}</h1><p>{} received, {} kept, {} dropped. \
         <a href=\"/{}\">Newest</a>{}</p>",
        path.map(|path| format!(" at {}", escape(path))).unwrap_or_default(),
        totals.received,
        totals.kept,
        totals.dropped,
        link_query(path, None),
        if path.is_some() { " · <a href=\"/\">All paths</a>" } else { "" },
    );
    let shown = shared.store.before(path, before, PER_PAGE + 1);
    if shown.is_empty() {
        page.push_str("<p>Nothing here. Any path of this address takes webhooks.</p>");
    }
    for delivery in shown.iter().take(PER_PAGE) {
        page.push_str(&article(delivery));
    }
    if let Some(last) = shown.get(PER_PAGE - 1).filter(|_| shown.len() > PER_PAGE) {
        page.push_str(&format!("<p><a href=\"/{}\">Older</a></p>", link_query(path, Some(last.number))));
    }
    page.push_str("</body></html>");
    page
}

fn article(delivery: &Delivery) -> String {
    let class = match delivery.signature {
        SignatureCheck::Valid => "valid",
        SignatureCheck::Missing | SignatureCheck::UnknownSecret => "none",
        SignatureCheck::Invalid | SignatureCheck::Malformed | SignatureCheck::Stale => "bad",
    };
    let query = delivery.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let headers: String = delivery
        .headers
        .iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(value)))
        .collect();
    let answered = delivery.answered.map_or_else(|| "no status".to_owned(), |code| code.to_string());
    format!(
        "<article><h2>{} · {} <a href=\"/{}\">{}</a>{}</h2><p>{} · answered {answered} · \
         <span class=\"{class}\">signature: {}</span></p><pre>{}</pre><details><summary>{} headers</summary>\
         <table>{headers}</table></details></article>",
        delivery.number,
        escape(delivery.method.as_str()),
        link_query(Some(&delivery.path), None),
        escape(&delivery.path),
        escape(&query),
        escape(&delivery.received_at()),
        delivery.signature.as_str(),
        body(&delivery.body),
        delivery.headers.len(),
    )
}

fn body(bytes: &[u8]) -> String {
    let shown = bytes.get(..SHOWN_BYTES).unwrap_or(bytes);
    let rest = bytes.len() - shown.len();
    let text = escape(&String::from_utf8_lossy(shown));
    if rest == 0 { text } else { format!("{text}… and {rest} bytes more") }
}

/// A link's query, escaped for an attribute.
fn link_query(path: Option<&str>, before: Option<u64>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(path) = path {
        query.append_pair("path", path);
    }
    if let Some(before) = before {
        query.append_pair("before", &before.to_string());
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{}", escape(&query)) }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_a_request_cannot_leave_its_place() {
        assert_eq!(escape("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
        assert_eq!(link_query(Some("/a b\"&c"), Some(7)), "?path=%2Fa+b%22%26c&amp;before=7");
    }

    #[test]
    fn a_long_body_is_shown_in_part() {
        assert_eq!(body(b"<x>"), "&lt;x&gt;");
        assert!(body(&vec![b'a'; SHOWN_BYTES + 5]).ends_with("a… and 5 bytes more"));
    }
}
