//! Looking for secrets where none may be.
//!
//! A secret is looked for as it is and as it may have been written: escaped as JSON, percent-encoded, and within base64
//! wherever it begins there. Secrets of less than [`LEAST_BYTES`] are not looked for: they stand in ordinary text.

use std::collections::BTreeMap;
use std::io::Read as _;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use flate2::read::DeflateDecoder;
use serde_json::Value;

/// The fewest bytes of a secret that is looked for.
pub const LEAST_BYTES: usize = 8;

/// The most that something deflated is inflated to.
const MOST_INFLATED: u64 = 8 * 1024 * 1024;

/// How much is shown around what was found.
const SHOWN: usize = 60;

/// A place that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where accounts' webhooks are kept, with their secrets.
    Configuration(String),
    /// Anything else.
    Elsewhere(String),
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Configuration(name) | Self::Elsewhere(name) => name,
        }
    }
}

/// A secret that there is.
#[derive(Clone, Debug)]
pub struct Secret {
    /// What it is, in words.
    pub what: String,
    /// Its text.
    pub text: String,
    /// Whether it is kept with the configuration.
    pub is_configuration: bool,
}

impl Secret {
    /// One that may be nowhere.
    #[must_use]
    pub fn new(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self { what: what.into(), text: text.into(), is_configuration: false }
    }

    /// One of a webhook's, which may be with the configuration.
    #[must_use]
    pub fn of_webhook(text: impl Into<String>) -> Self {
        Self { is_configuration: true, ..Self::new("a webhook's secret", text) }
    }
}

/// A secret where it may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// What it is.
    pub what: String,
    /// Where it is.
    pub place: String,
    /// What is around it.
    pub around: String,
}

/// Looks for many secrets at once.
pub struct Search {
    secrets: Vec<Secret>,
    /// Which secret each of the patterns is of.
    of: Vec<usize>,
    patterns: AhoCorasick,
}

impl Search {
    /// For these secrets. What is too short to be looked for is left out.
    ///
    /// # Panics
    /// Where there are more than can be looked for.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.text.len() >= LEAST_BYTES);
        // The same text is the same secret; one that may be nowhere wins.
        let mut by_text = BTreeMap::new();
        for secret in secrets {
            let known: &mut Secret = by_text.entry(secret.text.clone()).or_insert_with(|| secret.clone());
            known.is_configuration &= secret.is_configuration;
        }
        let secrets: Vec<Secret> = by_text.into_values().collect();
        let (mut of, mut patterns) = (Vec::new(), Vec::new());
        for (index, secret) in secrets.iter().enumerate() {
            let forms = forms(secret.text.as_bytes());
            of.extend(forms.iter().map(|_| index));
            patterns.extend(forms);
        }
        let patterns = AhoCorasick::new(patterns).expect("the search takes all patterns");
        Self { secrets, of, patterns }
    }

    /// How many secrets are looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Looks at some bytes; the first leak of each secret is reported.
    pub fn look(&self, place: &Place, bytes: &[u8], leaks: &mut Vec<Leak>) {
        let mut seen = Vec::new();
        for found in self.patterns.find_overlapping_iter(bytes) {
            let index = self.of[found.pattern().as_usize()];
            let secret = &self.secrets[index];
            let is_at_home = secret.is_configuration && matches!(place, Place::Configuration(_));
            if is_at_home || seen.contains(&index) {
                continue;
            }
            seen.push(index);
            let (from, to) = (found.start().saturating_sub(SHOWN), (found.end() + SHOWN).min(bytes.len()));
            leaks.push(Leak {
                what: secret.what.clone(),
                place: place.name().to_owned(),
                around: String::from_utf8_lossy(&bytes[from..to]).into_owned(),
            });
        }
    }

    /// Looks at a row, in DynamoDB's own JSON, and into its bytes, which may be deflated.
    pub fn look_at_row(&self, place: &Place, row: &Value, leaks: &mut Vec<Leak>) {
        self.look(place, row.to_string().as_bytes(), leaks);
        let mut left = vec![row];
        while let Some(value) = left.pop() {
            match value {
                Value::Object(members) => {
                    if let Some(bytes) = members.get("B").and_then(Value::as_str) {
                        self.look_into(place, bytes, leaks);
                    }
                    left.extend(members.values());
                }
                Value::Array(values) => left.extend(values),
                _ => {}
            }
        }
    }

    fn look_into(&self, place: &Place, base64: &str, leaks: &mut Vec<Leak>) {
        let Ok(bytes) = STANDARD.decode(base64) else { return };
        self.look(place, &bytes, leaks);
        // An event's first byte says in which form it is.
        let mut inflated = Vec::new();
        let rest = bytes.get(1..).unwrap_or_default();
        if DeflateDecoder::new(rest).take(MOST_INFLATED).read_to_end(&mut inflated).is_ok() {
            self.look(place, &inflated, leaks);
        }
    }
}

/// The forms in which a secret may be found.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(secret);
    let json = serde_json::to_string(&text).expect("a text is JSON");
    let json = json[1..json.len() - 1].to_owned();
    let percent = |keep: &str, upper: bool| -> String {
        let one = |byte: &u8| {
            let is_kept = byte.is_ascii_alphanumeric() || keep.as_bytes().contains(byte);
            match (is_kept, upper) {
                (true, _) => char::from(*byte).to_string(),
                (false, true) => format!("%{byte:02X}"),
                (false, false) => format!("%{byte:02x}"),
            }
        };
        secret.iter().map(one).collect()
    };
    let mut forms: Vec<Vec<u8>> = vec![secret.to_vec(), json.replace('/', "\\/").into(), json.into()];
    for upper in [true, false] {
        // As parts of a URL are written, and as forms are.
        forms.extend(["-._~", "-._*", "-._~!$'()*+,;:@/|", ""].map(|keep| percent(keep, upper).into_bytes()));
    }
    for before in 0..3 {
        forms.extend([within(&STANDARD_NO_PAD, secret, before), within(&URL_SAFE_NO_PAD, secret, before)]);
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The part of a base64 text that is a secret's alone, where `before` bytes stand before the secret.
fn within(base64: &impl base64::Engine, secret: &[u8], before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret);
    let encoded = base64.encode(&bytes).into_bytes();
    let (from, to) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded[from..to].to_vec()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use serde_json::json;

    use super::*;

    const TOKEN: &str = "EAA|planted+token/\"x\"";

    fn leaks(secret: Secret, place: &Place, bytes: &[u8]) -> Vec<Leak> {
        let mut leaks = Vec::new();
        Search::new([secret]).look(place, bytes, &mut leaks);
        leaks
    }

    fn elsewhere() -> Place {
        Place::Elsewhere("here".to_owned())
    }

    #[test]
    fn a_secret_is_found_in_every_form_and_place_in_base64() {
        let search = Search::new([Secret::new("a token", TOKEN)]);
        let mut forms = vec![
            format!("x{TOKEN}y"),
            json!({"message": format!("the token {TOKEN} is bad")}).to_string(),
            json!(json!({ "a": TOKEN }).to_string()).to_string().replace("\\\\\\\"", "\\\""),
            "?a=EAA%7Cplanted%2Btoken%2F%22x%22&b".to_owned(),
            "?a=EAA%7cplanted%2btoken%2f%22x%22&b".to_owned(),
        ];
        for before in ["", "a", "ab", "abc", "Bearer "] {
            for after in ["", "z", "zz"] {
                forms.push(STANDARD.encode(format!("{before}{TOKEN}{after}")));
                forms.push(URL_SAFE_NO_PAD.encode(format!("{before}{TOKEN}{after}")));
            }
        }
        for form in forms {
            let mut leaks = Vec::new();
            search.look(&elsewhere(), form.as_bytes(), &mut leaks);
            assert_eq!(leaks.len(), 1, "{form}");
            assert_eq!((&*leaks[0].what, &*leaks[0].place), ("a token", "here"));
        }
    }

    #[test]
    fn a_secret_is_found_in_a_rows_bytes_also_deflated() {
        let mut deflated = DeflateEncoder::new(vec![1], Compression::best());
        deflated.write_all(format!("{TOKEN} {TOKEN}").as_bytes()).unwrap();
        let deflated = deflated.finish().unwrap();
        let search = Search::new([Secret::new("a token", TOKEN)]);
        for bytes in [deflated, format!("\u{0}{TOKEN}").into_bytes()] {
            let row =
                json!({"pk": {"S": "a"}, "in": {"L": [{"M": {"event": {"B": STANDARD.encode(bytes)}}}]}});
            let mut leaks = Vec::new();
            search.look_at_row(&elsewhere(), &row, &mut leaks);
            assert!(!leaks.is_empty());
        }
        let mut leaks = Vec::new();
        search.look_at_row(&elsewhere(), &json!({"pk": {"S": "a"}, "b": {"B": "AAAA"}}), &mut leaks);
        assert_eq!(leaks, []);
    }

    #[test]
    fn a_webhooks_secret_is_at_home_in_the_configuration_alone() {
        let secret = Secret::of_webhook("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let configuration = Place::Configuration("there".to_owned());
        let text = secret.text.clone();
        assert_eq!(leaks(secret.clone(), &configuration, text.as_bytes()), []);
        assert_eq!(leaks(secret.clone(), &elsewhere(), text.as_bytes()).len(), 1);
        let mut found = Vec::new();
        // A token that somebody made a webhook's secret of is a token all the same.
        Search::new([secret, Secret::new("a token", &text)]).look(
            &configuration,
            text.as_bytes(),
            &mut found,
        );
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn too_short_secrets_are_skipped_and_none_hides_a_shorter_one() {
        assert!(Search::new([Secret::new("a token", "t"), Secret::new("another", "seven77")]).is_empty());
        let search = Search::new([Secret::new("one", "abcdefgh"), Secret::new("two", "abcdefgh2")]);
        let mut leaks = Vec::new();
        search.look(&elsewhere(), b"abcdefgh2", &mut leaks);
        assert_eq!(leaks.len(), 2);
    }
}
