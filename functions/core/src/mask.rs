//! Removes credentials from texts of others.
//!
//! A server may repeat a credential that it received: networks put the token of a call into links of their answers, and
//! a webhook's server shows the headers of a request in its error page. Texts that are kept are freed of them in the
//! forms in which servers write them: as they are, percent-encoded, in base64, and escaped for JSON or HTML.
//!
//! Not guaranteed: a credential in pieces or in another form, and one that is shorter than the bound of its kind,
//! because ordinary text contains such.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use url::Url;

use crate::signature::Signer;
use crate::webhook::Webhook;

/// The text in a credential's place.
pub const MASK: &str = "…";

/// The fewest bytes of a page's token that is looked for; no network's is so short.
const LEAST_TOKEN_BYTES: usize = 8;

/// The fewest bytes of a webhook's own value that is looked for: owners choose short ones, too.
const LEAST_VALUE_BYTES: usize = 4;

/// The fewest bytes of a part of such a value: the parts of a cookie, or what follows `Bearer`.
const LEAST_PART_BYTES: usize = 8;

/// The fewest characters of base64 that are looked for.
const LEAST_BASE64: usize = 6;

/// How many values of a webhook are looked for. Where it has more, everything is masked: the search takes time, and
/// others wait for it.
const MAX_VALUES: usize = 100;

/// The credentials that are taken out.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// Their forms, the longest first, so that one that begins another leaves no rest of it.
    forms: Vec<String>,
    /// Whether nothing at all is shown.
    is_total: bool,
}

impl Mask {
    /// Looks for the tokens of pages, in the forms that the JSON of networks has once it is read.
    #[must_use]
    pub fn of_tokens<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        let long = tokens.into_iter().filter(|token| token.len() >= LEAST_TOKEN_BYTES);
        Self::of_forms(long.flat_map(|token| {
            let encoded = percent_encoded(token, b"-._~");
            [token.to_owned(), small_digits(&encoded), encoded]
        }))
    }

    /// Looks for everything that lets others pass for a webhook's sender, or for its server: the values of its own
    /// headers, its signing keys at `now`, the signatures that were sent, and the values of its URL's query.
    #[must_use]
    pub fn of_webhook(webhook: &Webhook, signatures: &str, now: Timestamp) -> Self {
        let mut values = Vec::new();
        for value in webhook.settings.headers.values() {
            add_value(&mut values, value);
            if let Some(basic) =
                value.strip_prefix("Basic ").and_then(|basic| STANDARD.decode(basic.trim()).ok())
            {
                let pair = String::from_utf8_lossy(&basic).into_owned();
                values.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
                values.push(pair);
            }
        }
        for signer in webhook.signers_at(now) {
            if let Signer::Secret(secret) = signer {
                add_value(&mut values, &secret.reveal());
                values.push(secret.reveal().trim_start_matches("whsec_").to_owned());
            }
        }
        for signature in signatures.split(' ') {
            values.push(signature.split_once(',').map_or(signature, |(_, signature)| signature).to_owned());
        }
        if let Ok(url) = Url::parse(webhook.settings.url.as_str()) {
            values.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
            let raw = url.query().unwrap_or_default().split('&');
            values.extend(raw.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned()));
        }
        values.retain(|value| value.len() >= LEAST_VALUE_BYTES);
        values.sort();
        values.dedup();
        if values.len() > MAX_VALUES {
            return Self { forms: Vec::new(), is_total: true };
        }
        Self::of_forms(values.iter().flat_map(|value| written_forms(value)))
    }

    fn of_forms(forms: impl IntoIterator<Item = String>) -> Self {
        let mut forms: Vec<String> = forms.into_iter().collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms, is_total: false }
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty() && !self.is_total
    }

    /// The length of the longest form, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.forms.first().map_or(0, String::len)
    }

    /// Whether a text has a credential in it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.is_total || self.forms.iter().any(|form| text.contains(form.as_str()))
    }

    /// The text without credentials; None where there are none.
    #[must_use]
    pub fn masked(&self, text: &str) -> Option<String> {
        if self.is_total {
            return Some(MASK.to_owned());
        }
        let mut clean: Option<String> = None;
        for form in &self.forms {
            let so_far = clean.as_deref().unwrap_or(text);
            if so_far.contains(form.as_str()) {
                clean = Some(so_far.replace(form.as_str(), MASK));
            }
        }
        clean
    }

    /// The text without credentials.
    #[must_use]
    pub fn out_of(&self, text: &str) -> String {
        self.masked(text).unwrap_or_else(|| text.to_owned())
    }

    /// The same for a text that may have been cut anywhere: nor does the beginning of a credential stay at its end.
    #[must_use]
    pub fn out_of_cut(&self, text: &str) -> String {
        let mut clean = self.out_of(text);
        let begun = |form: &String| {
            let mut lengths = (LEAST_VALUE_BYTES..form.len()).rev();
            lengths.find(|&length| clean.as_bytes().ends_with(&form.as_bytes()[..length]))
        };
        if let Some(length) = self.forms.iter().filter_map(begun).max() {
            clean.truncate(clean.floor_char_boundary(clean.len() - length));
            clean.push_str(MASK);
        }
        clean
    }
}

/// A value, and its parts where it has some: the token behind `Bearer`, the values of a cookie.
fn add_value(values: &mut Vec<String>, value: &str) {
    values.push(value.to_owned());
    for part in value.split([' ', ';', ',']) {
        let inner = part.split_once('=').map_or("", |(_, inner)| inner).trim_matches('"');
        let long = [part, inner].into_iter().filter(|part| part.len() >= LEAST_PART_BYTES);
        values.extend(long.map(str::to_owned));
    }
}

/// The forms in which a server may write a text.
fn written_forms(text: &str) -> Vec<String> {
    let upper = percent_encoded(text, b"-._~");
    let component = percent_encoded(text, b"-._~!*'()");
    let json = serde_json::Value::from(text).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let mut forms = vec![
        text.to_owned(),
        small_digits(&upper),
        upper.replace("%20", "+"),
        upper,
        component,
        json.replace('/', "\\/"),
        ascii_json(&json),
        ascii_json(&json.replace('/', "\\/")),
        json,
    ];
    let angles = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for (quote, apostrophe) in [("&quot;", "&#39;"), ("&#34;", "&#x27;"), ("&quot;", "&#039;"), ("\"", "'")] {
        forms.push(angles.replace('"', quote).replace('\'', apostrophe));
    }
    forms.extend(base64_forms(text.as_bytes()));
    forms
}

/// The base64 forms of a text, whatever is around it: for each of its three possible offsets, the characters that it
/// alone decides.
fn base64_forms(text: &[u8]) -> impl Iterator<Item = String> {
    (0..3).flat_map(|before| {
        let shifted: Vec<u8> = std::iter::repeat_n(0, before).chain(text.iter().copied()).collect();
        let (first, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
        let alphabets = [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)];
        let decided = alphabets.map(|encoded| encoded.get(first..end).unwrap_or_default().to_owned());
        decided.into_iter().filter(|decided| decided.len() >= LEAST_BASE64)
    })
}

/// A text for one place of a path or a query: everything but letters, digits and these is escaped.
#[must_use]
pub fn percent_encoded(text: &str, plain: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Percent-encoded text with lower-case digits.
fn small_digits(encoded: &str) -> String {
    let mut lower = String::with_capacity(encoded.len());
    for (at, part) in encoded.split('%').enumerate() {
        if at > 0 {
            let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
            lower.push('%');
            lower.push_str(&digits.to_ascii_lowercase());
            lower.push_str(rest);
        } else {
            lower.push_str(part);
        }
    }
    lower
}

/// JSON in ASCII alone.
fn ascii_json(json: &str) -> String {
    use std::fmt::Write as _;
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => _ = write!(ascii, "\\u{unit:04x}"),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::PrivateTargets;
    use crate::credentials::Fresh;
    use crate::id::{AccountId, WebhookId};
    use crate::webhook::NewWebhook;
    use serde_json::json;

    const VALUE: &str = "top/se+cret&<é\"'>";
    const SIGNATURE: &str = "v1,c2lnbmF0dXJlLW9uZQ== v1a,c2lnbmF0dXJlLXR3bw==";

    fn webhook(settings: &serde_json::Value) -> Webhook {
        let given = settings.as_object().unwrap().clone();
        let new = NewWebhook::from_json(&given, &PrivateTargets::default()).unwrap();
        let fresh = Fresh::from_random([1; 32], [2; 32]);
        new.create(WebhookId::from_bits(1), AccountId::from_bits(2), fresh, Timestamp::UNIX_EPOCH)
    }

    fn mask_of(headers: &serde_json::Value, url: &str) -> Mask {
        let webhook = webhook(&json!({"url": url, "items": ["message"], "headers": headers}));
        Mask::of_webhook(&webhook, SIGNATURE, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_value_is_taken_out_in_each_form_that_servers_write() {
        let mask = Mask::of_forms(written_forms(VALUE));
        for form in [
            VALUE,
            "top%2Fse%2Bcret%26%3C%C3%A9%22%27%3E",
            "top%2fse%2bcret%26%3c%c3%a9%22%27%3e",
            "top%2Fse%2Bcret%26%3C%C3%A9%22'%3E",
            r#"top/se+cret&<é\"'>"#,
            r#"top\/se+cret&<é\"'>"#,
            r#"top\/se+cret&<\u00e9\"'>"#,
            "top/se+cret&amp;&lt;é&quot;&#39;&gt;",
            "top/se+cret&amp;&lt;é&#34;&#x27;&gt;",
            "top/se+cret&amp;&lt;é&quot;&#039;&gt;",
        ] {
            assert_eq!(mask.out_of(&format!("a {form} b")), "a … b", "{form}");
        }
        for around in ["", "x", "xy", "xyz"] {
            let packed = STANDARD.encode(format!("{around}{VALUE}{around}"));
            let clean = mask.out_of(&packed);
            assert!(clean.contains(MASK) && clean.len() < packed.len() / 2 + 8, "{packed}: {clean}");
        }
    }

    #[test]
    fn of_a_credential_that_was_cut_no_beginning_stays() {
        let mask = Mask::of_forms(written_forms("a-long-credential"));
        assert_eq!(mask.out_of_cut("sent: a-long-cred"), "sent: …");
        assert_eq!(mask.out_of_cut("é a-long-credential, a-lo"), "é …, …");
        assert_eq!(mask.out_of_cut("a-l"), "a-l", "too short to say anything");
        assert_eq!(Mask::default().out_of_cut("a-long"), "a-long");
    }

    #[test]
    fn all_that_a_webhook_sends_and_signs_with_is_taken_out() {
        let headers = json!({
            "authorization": "Basic dXNlcjpodW50ZXIyIQ==", "x-key": "Bearer planted-token",
            "x-cookie": "session=planted-session; a=b",
        });
        let mask = mask_of(&headers, "https://a.example/path?key=planted%2Fquery&x=1");
        for text in [
            "Basic dXNlcjpodW50ZXIyIQ==",
            "user:hunter2!",
            "hunter2!",
            "planted-token",
            "planted-session",
            "planted%2Fquery",
            "planted/query",
            "c2lnbmF0dXJlLW9uZQ==",
            "c2lnbmF0dXJlLXR3bw==",
        ] {
            assert!(mask.is_in(text), "{text}");
        }
        let webhook = webhook(&json!({"url": "https://a.example/", "items": ["message"]}));
        let mask = Mask::of_webhook(&webhook, "", Timestamp::UNIX_EPOCH);
        let mut secrets = webhook.signers_at(Timestamp::UNIX_EPOCH);
        let Some(Signer::Secret(secret)) = secrets.next() else { panic!("a secret") };
        assert!(mask.is_in(&secret.reveal()) && mask.is_in(&secret.reveal()["whsec_".len()..]));
        assert!(!mask.is_in("https://a.example/ a message"));
    }

    #[test]
    fn a_webhook_with_too_many_values_to_search_for_shows_nothing() {
        let many: Vec<String> = (0..150).map(|n| format!("v=value-{n}")).collect();
        let mask = mask_of(&json!({}), &format!("https://a.example/?{}", many.join("&")));
        assert_eq!(mask.out_of("anything"), MASK);
        assert!(!mask.is_empty());
    }
}
