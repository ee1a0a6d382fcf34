//! An answer's body, taken apart without a copy of what is inside.

use serde_json::Value;
use serde_json::value::RawValue;

use super::response::NetworkResponse;
use crate::push::members::{Members, elements};
use carteiro_core::mask::percent_encoded;

/// The members of a body that is a JSON object.
pub(crate) fn members(body: &[u8]) -> Option<Members<'_>> {
    let whole: &RawValue = serde_json::from_slice(body).ok()?;
    Members::of(whole)
}

/// The elements of a member that is an array; of one that is not there, none. A member that is anything else is in no
/// known form.
pub(crate) fn list<'a>(members: &Members<'a>, name: &str) -> Option<Vec<&'a RawValue>> {
    match members.get(name) {
        None => Some(Vec::new()),
        Some(raw) if raw.get() == "null" => Some(Vec::new()),
        Some(raw) => elements(raw),
    }
}

/// A value as a tree.
pub(crate) fn value(raw: &RawValue) -> Value {
    crate::normalise::value::parse(raw)
}

/// The whole body as a tree; null where it is no JSON.
pub(crate) fn tree(body: &[u8]) -> Value {
    serde_json::from_slice::<&RawValue>(body).map_or(Value::Null, value)
}

/// JSON of names and values that are JSON.
pub(crate) fn object(members: &[(&str, &str)]) -> Option<Box<RawValue>> {
    let members: Vec<String> = members.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
    RawValue::from_string(format!("{{{}}}", members.join(","))).ok()
}

/// A text for one place of a path or a query: everything but letters, digits and `-._~` is escaped.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoded(text, b"-._~")
}

/// A header that is a whole number.
pub(crate) fn number_header(answer: &NetworkResponse<'_>, name: &str) -> Option<i64> {
    (answer.header)(name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_list_is_empty_and_another_value_is_none() {
        let of = |body: &'static str| list(&members(body.as_bytes()).unwrap(), "a").map(|list| list.len());
        assert_eq!([of("{}"), of(r#"{"a":null}"#), of(r#"{"a":[1, {}]}"#)], [Some(0), Some(0), Some(2)]);
        assert_eq!(of(r#"{"a":{}}"#), None);
        for body in [&b""[..], b"[]", b"<html>", b"{\"a\"", b"\xff\xfe"] {
            assert!(members(body).is_none());
            assert!(!tree(body).is_object());
        }
    }

    #[test]
    fn what_a_urn_has_of_its_own_is_escaped() {
        assert_eq!(encoded("urn:li:comment:(a,1)"), "urn%3Ali%3Acomment%3A%28a%2C1%29");
    }
}
