//! What was heard, without the tokens that were asked with.
//!
//! Networks put the token of a call into links of their answers, and quote it. What is stored and handed on is their
//! own JSON, so a token in it would go to webhooks. It is taken out wherever it stands, as it is or percent-encoded: in
//! names, texts and links. Where none is, the JSON stays as it came, byte for byte. [`carteiro_core::mask`] says what
//! is looked for, and what is not guaranteed.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::body::value;
use super::{ParsedResponse, TokenTrouble, Verdict};
use crate::inbox::Event;
use crate::page::AccessToken;
use carteiro_core::mask::Mask;

impl ParsedResponse {
    /// The same without these tokens. A permission that is named like one of them is not named.
    #[must_use]
    pub fn without(self, tokens: &[&AccessToken]) -> Self {
        let clean = Clean(Mask::of_tokens(tokens.iter().map(|token| token.reveal())));
        let events = self.events.into_iter().map(|event| clean.out_of(event)).collect();
        let verdict = match self.verdict {
            Verdict::Token(TokenTrouble::Narrowed(Some(named))) if clean.0.is_in(&named) => {
                Verdict::Token(TokenTrouble::Narrowed(None))
            }
            other => other,
        };
        Self { events, verdict }
    }
}

/// Takes tokens out of JSON.
struct Clean(Mask);

impl Clean {
    fn out_of(&self, mut event: Event) -> Event {
        if let Some(raw) = self.out_of_raw(&event.raw) {
            event.raw = raw;
        }
        if let Some(beside) = &mut event.beside {
            self.mask(beside);
        }
        event
    }

    /// The JSON without tokens; None where there are none.
    fn out_of_raw(&self, raw: &RawValue) -> Option<Box<RawValue>> {
        // Behind a backslash a token may stand in another form.
        if self.0.is_empty() || !self.0.is_in(raw.get()) && !raw.get().contains('\\') {
            return None;
        }
        let mut tree = value(raw);
        self.mask(&mut tree).then(|| to_raw_value(&tree).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// Whether anything was taken out.
    fn mask(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => self.0.masked(text).is_some_and(|clean| {
                *text = clean;
                true
            }),
            Value::Array(list) => list.iter_mut().fold(false, |changed, value| self.mask(value) | changed),
            Value::Object(members) => {
                let mut changed =
                    members.values_mut().fold(false, |changed, value| self.mask(value) | changed);
                if members.keys().any(|name| self.0.is_in(name)) {
                    let named = std::mem::take(members).into_iter();
                    let clean = named.map(|(name, value)| (self.0.masked(&name).unwrap_or(name), value));
                    *members = clean.collect::<Map<_, _>>();
                    changed = true;
                }
                changed
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::collected::By;
    use crate::inbox::Shape;
    use crate::network::Network;

    const TOKEN: &str = "EAA|planted+Token/9";

    fn heard(raw: &str, verdict: Verdict) -> ParsedResponse {
        let event = Event {
            network: Network::X,
            by: By::Poll,
            shape: Shape::Unknown,
            field: "tweets".to_owned(),
            sent_at: None,
            raw: RawValue::from_string(raw.to_owned()).unwrap(),
            beside: Some(json!({"users": [{"url": format!("https://x.example/?{TOKEN}")}]})),
        };
        ParsedResponse { events: vec![event], verdict }
    }

    fn masked(raw: &str, token: &str) -> String {
        let token = AccessToken::from_stored(token.to_owned());
        let heard = heard(raw, Verdict::Fine).without(&[&token]);
        heard.events[0].raw.get().to_owned()
    }

    #[test]
    fn a_token_is_masked_in_names_texts_and_links() {
        let raw = json!({
            "id": "1", TOKEN: {"a": [format!("Bearer {TOKEN}, {TOKEN}")]},
            "link": "https://a.example/?t=EAA%7Cplanted%2BToken%2F9&b=1", "small": "EAA%7cplanted%2bToken%2f9",
        })
        .to_string();
        for raw in [raw.replace('/', "\\/"), raw] {
            let kept = masked(&raw, TOKEN);
            assert!(!kept.contains("planted") && kept.contains("Bearer …, …"), "{kept}");
            assert!(kept.contains("?t=…&b=1") && kept.contains(r#""small":"…""#), "{kept}");
        }
        let token = AccessToken::from_stored(TOKEN.to_owned());
        let heard = heard("{}", Verdict::Fine).without(&[&token]);
        assert_eq!(heard.events[0].beside.as_ref().unwrap()["users"][0]["url"], "https://x.example/?…");
    }

    #[test]
    fn what_has_no_token_in_it_stays_byte_for_byte() {
        for raw in [r#"{ "b":1.50, "a" : "\ud83d\udce6 EAA" }"#, r#"{"id":12345678901234567890123}"#, "[]"] {
            assert_eq!(masked(raw, TOKEN), raw);
        }
        assert_eq!(
            masked(r#"{"text": "a token"}"#, "token"),
            r#"{"text": "a token"}"#,
            "too short to be one"
        );
    }

    #[test]
    fn of_a_token_that_begins_another_no_rest_is_left() {
        let (short, long) = ("planted-token", "planted-token-and-more");
        let tokens = [short, long].map(|token| AccessToken::from_stored(token.to_owned()));
        let raw = json!({"a": long, "b": short}).to_string();
        let heard = heard(&raw, Verdict::Fine).without(&[&tokens[0], &tokens[1]]);
        assert_eq!(heard.events[0].raw.get(), r#"{"a":"…","b":"…"}"#);
    }

    #[test]
    fn a_token_is_the_name_of_no_permission() {
        let narrowed = |name: &str| Verdict::Token(TokenTrouble::Narrowed(Some(name.to_owned())));
        let token = AccessToken::from_stored("planted-token".to_owned());
        let verdict = |name: &str| heard("{}", narrowed(name)).without(&[&token]).verdict;
        assert_eq!(verdict("planted-token"), Verdict::Token(TokenTrouble::Narrowed(None)));
        assert_eq!(verdict("pages_messaging"), narrowed("pages_messaging"));
    }
}
