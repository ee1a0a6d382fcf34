//! What of an answer's JSON is kept: all but tokens.
//!
//! Meta puts the token of the call, and its proof, into the links of `paging`, also into those of nested edges. Members
//! of that name are cut off, and a token in any other link is cut out. What people wrote is left as it is: it makes the
//! version, and the network puts no token there.

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::normalise::value::parse;

/// Members with what people wrote.
const WRITTEN: [&str; 5] = ["message", "text", "caption", "review_text", "snippet"];
/// What stands before a token in a link, also in one within another.
const BEFORE: [&str; 6] = [
    "access_token=",
    "access_token%3d",
    "appsecret_proof=",
    "appsecret_proof%3d",
    "input_token=",
    "input_token%3d",
];

/// The JSON without what may hold a token; unchanged where nothing does.
pub(crate) fn scrubbed(raw: &RawValue, without: &[&str]) -> Box<RawValue> {
    let mut value = parse(raw);
    if !scrub(&mut value, without) {
        return raw.to_owned();
    }
    to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Whether anything was taken away.
fn scrub(value: &mut Value, without: &[&str]) -> bool {
    match value {
        Value::Object(map) => {
            let before = map.len();
            map.retain(|name, _| {
                let secret = name.ends_with("access_token") || name == "appsecret_proof" || name == "paging";
                !secret && !without.contains(&name.as_str())
            });
            let mut changed = map.len() != before;
            for (name, value) in map.iter_mut() {
                let written = value.is_string() && WRITTEN.contains(&name.as_str());
                changed |= !written && scrub(value, &[]);
            }
            changed
        }
        Value::Array(list) => {
            let mut changed = false;
            list.iter_mut().for_each(|value| changed |= scrub(value, &[]));
            changed
        }
        Value::String(text) => without_tokens(text).is_some_and(|clean| {
            *text = clean;
            true
        }),
        _ => false,
    }
}

fn without_tokens(text: &str) -> Option<String> {
    let small = text.to_ascii_lowercase();
    let found = BEFORE.into_iter().filter_map(|mark| Some(small.find(mark)? + mark.len())).min()?;
    let rest = &text[found..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "|_-.~".contains(c))).unwrap_or(rest.len());
    let after = &rest[end..];
    let after = without_tokens(after).unwrap_or_else(|| after.to_owned());
    Some(format!("{}…{after}", &text[..found]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> String {
        scrubbed(&to_raw_value(value).unwrap(), &["replies"]).get().to_owned()
    }

    #[test]
    fn a_token_is_in_nothing_that_is_kept() {
        let kept = of(&json!({
            "id": "1", "replies": {"data": []}, "page_access_token": "EAAsecret",
            "attachments": {"data": [{"url": "https://x.example/?a=1&Access_Token=EAAsecret&b=2&access_token=EAAsecret"}],
                "paging": {"next": "https://graph.example/?access_token=EAAsecret"}},
            "link": "https://l.example/?u=https%3A%2F%2Fg%2F%3Faccess_token%3DEAAsecret%26c%3D3",
        }));
        assert!(
            !kept.contains("EAAsecret") && !kept.contains("paging") && !kept.contains("replies"),
            "{kept}"
        );
        assert!(kept.contains("&b=2") && kept.contains("%26c%3D3"), "{kept}");
    }

    #[test]
    fn what_has_no_token_is_kept_to_the_letter() {
        let raw = r#"{ "id":12345678901234567890123, "message":"see ?access_token=x", "a": "ok" }"#;
        assert_eq!(scrubbed(&RawValue::from_string(raw.to_owned()).unwrap(), &[]).get(), raw);
    }
}
