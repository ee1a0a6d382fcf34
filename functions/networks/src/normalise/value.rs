//! Reading a network's JSON with tolerance: ids and times come as numbers and as texts, and anything may be missing.

use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::collected::Location;
use crate::push::members::{Members, elements};

/// How deep JSON is read; what is deeper is taken as its text. The same as `serde_json`'s own limit or less.
const MAX_DEPTH: usize = 64;

/// From here on a floating-point number may have been an integer with more digits than it keeps.
const MAX_EXACT: f64 = 1e15;

/// JSON as a tree. What `serde_json` refuses, or keeps with fewer digits than it had, is read part by part: a number
/// as its text, half of a surrogate pair as the replacement character.
pub(crate) fn parse(raw: &RawValue) -> Value {
    match serde_json::from_str(raw.get()) {
        Ok(value) if !is_inexact(&value) => value,
        _ => lenient(raw, 0),
    }
}

fn is_inexact(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.is_f64() && number.as_f64().is_none_or(|number| number.abs() >= MAX_EXACT)
        }
        Value::Array(list) => list.iter().any(is_inexact),
        Value::Object(map) => map.values().any(is_inexact),
        _ => false,
    }
}

fn lenient(raw: &RawValue, depth: usize) -> Value {
    let text = raw.get();
    if depth < MAX_DEPTH {
        if let Some(members) = Members::of(raw) {
            let members = members.0.into_iter().map(|(name, raw)| (name, lenient(raw, depth + 1)));
            return Value::Object(members.collect::<Map<_, _>>());
        }
        if let Some(list) = elements(raw) {
            return Value::Array(list.into_iter().map(|raw| lenient(raw, depth + 1)).collect());
        }
    }
    if text.starts_with('"') {
        let replaced = || serde_json::from_slice(&without_halves(text)).ok();
        return serde_json::from_str(text).ok().or_else(replaced).unwrap_or_else(|| text.into());
    }
    let exact = text.parse::<Number>().ok().filter(|number| number.to_string() == text);
    match text {
        "null" => Value::Null,
        "true" | "false" => Value::Bool(text == "true"),
        _ => exact.map_or_else(|| text.into(), Value::Number),
    }
}

/// A JSON text in which an escape of half a surrogate pair is one of U+FFFD.
fn without_halves(text: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    while at < bytes.len() {
        let long = match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.extend_from_slice(b"\\ufffd");
                at += 6;
                continue;
            }
            // Both bytes, or the second backslash of `\\u` would seem to begin an escape.
            _ if bytes[at] == b'\\' => 2,
            _ => 1,
        };
        out.extend_from_slice(&bytes[at..bytes.len().min(at + long)]);
        at += long;
    }
    out
}

/// An id: a text that is not empty, or an integer.
pub(crate) fn id_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The id in a member.
pub(crate) fn id(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(id_of)
}

/// The text in a member; an empty one is none.
pub(crate) fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The integer in a member, also as a text; a truth is 1 or 0.
pub(crate) fn number(value: &Value, name: &str) -> Option<i64> {
    match value.get(name)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        Value::Bool(is) => Some(i64::from(*is)),
        _ => None,
    }
}

/// Whether a member is true, also as the text `"true"` or the number 1.
pub(crate) fn is_true(value: &Value, name: &str) -> bool {
    match value.get(name) {
        Some(Value::Bool(is)) => *is,
        Some(Value::String(text)) => text == "true" || text == "1",
        Some(Value::Number(number)) => number.as_u64() == Some(1),
        _ => false,
    }
}

/// A place, where anything of it is known. Coordinates are taken together, and only such as are on Earth.
pub(crate) fn location(
    id: Option<String>,
    name: Option<String>,
    (latitude, longitude): (&Value, &Value),
) -> Option<Location> {
    let degrees = |value: &Value, most: f64| {
        let number = match value {
            Value::Number(number) => Some(number.clone()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number: &Number| number.as_f64().is_some_and(|degrees| degrees.abs() <= most))
    };
    let (latitude, longitude) = degrees(latitude, 90.0).zip(degrees(longitude, 180.0)).unzip();
    let location = Location { id, name, latitude, longitude };
    (location != Location::default()).then_some(location)
}

/// The time in a member.
pub(crate) fn time(value: &Value, name: &str) -> Option<Timestamp> {
    value.get(name).and_then(time_of)
}

/// A time: Unix seconds, milliseconds, microseconds or nanoseconds, told apart by their size, as a number or a text;
/// or ISO 8601.
pub(crate) fn time_of(value: &Value) -> Option<Timestamp> {
    let whole = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let digits = whole.split_once('.').map_or(whole.as_str(), |(digits, _)| digits);
    let Ok(number) = digits.parse::<i64>() else {
        return whole.parse().ok();
    };
    // Smaller ones are counters or samples' inventions: no network is as old as 2001.
    match number {
        1_000_000_000..100_000_000_000 => Timestamp::from_second(number).ok(),
        100_000_000_000..100_000_000_000_000 => Timestamp::from_millisecond(number).ok(),
        100_000_000_000_000..100_000_000_000_000_000 => Timestamp::from_microsecond(number).ok(),
        100_000_000_000_000_000.. => Timestamp::from_nanosecond(i128::from(number)).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(text: &str) -> Value {
        parse(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_time_is_read_in_every_form_that_meta_sends() {
        let expected: Timestamp = "2021-09-08T06:34:04Z".parse().unwrap();
        for form in [
            json!(1_631_082_844),
            json!("1631082844"),
            json!(1_631_082_844_000_i64),
            json!("1631082844000"),
            json!("1631082844.25"),
            json!("2021-09-08T06:34:04+0000"),
            json!("2021-09-08T06:34:04+00:00"),
            json!("2021-09-08T03:34:04-0300"),
            json!("2021-09-08T06:34:04Z"),
        ] {
            assert_eq!(time_of(&form), Some(expected), "{form}");
        }
        for none in [
            json!(null),
            json!(0),
            json!(12_341),
            json!(-5),
            json!("soon"),
            json!(""),
            json!({}),
            json!(1e300),
        ] {
            assert_eq!(time_of(&none), None, "{none}");
        }
    }

    #[test]
    fn ids_keep_all_of_their_digits() {
        let value =
            parsed(r#"{"a":123456789012345678901234567890,"b":"x","c":1e999,"d":17841405309211844,"e":1.5}"#);
        assert_eq!(id(&value, "a").as_deref(), Some("123456789012345678901234567890"));
        assert_eq!(id(&value, "b").as_deref(), Some("x"));
        assert_eq!(id(&value, "c").as_deref(), Some("1e999"));
        assert_eq!(id(&value, "d").as_deref(), Some("17841405309211844"));
        assert_eq!(id(&value, "e").as_deref(), Some("1.5"));
    }

    #[test]
    fn coordinates_are_a_place_together_and_on_earth() {
        let at = |latitude: Value, longitude: Value| location(None, None, (&latitude, &longitude));
        let place = at(json!(-23.55), json!("-46.6333")).unwrap();
        assert_eq!(
            (place.latitude.unwrap().to_string(), place.longitude.unwrap().to_string()),
            ("-23.55".into(), "-46.6333".into())
        );
        for (latitude, longitude) in [
            (json!(1), json!(null)),
            (json!(90.5), json!(0)),
            (json!(0), json!(-181)),
            (json!("x"), json!({})),
        ] {
            assert_eq!(at(latitude, longitude), None);
        }
        assert!(location(Some("7".into()), None, (&Value::Null, &Value::Null)).is_some());
    }

    #[test]
    fn half_a_surrogate_pair_spoils_nothing_but_itself() {
        let value = parsed(r#"{"text":"a\ud83d b\ud83d\ude4f \\ud83d \udc00","id":"7"}"#);
        assert_eq!(value["text"], "a\u{fffd} b🙏 \\ud83d \u{fffd}");
        assert_eq!(value["id"], "7");
    }

    #[test]
    fn what_is_nested_too_deeply_is_taken_as_its_text() {
        let deep = format!("{{\"id\":\"7\",\"deep\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        let value = parsed(&deep);
        assert_eq!(value["id"], "7");
        assert!(value["deep"].is_array());
    }
}
