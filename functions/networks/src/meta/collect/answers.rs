//! The lists that the Graph API answers.

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use super::walk::MAX_CURSOR_BYTES;
use crate::collected::By;
use crate::inbox::{Event, Shape};
use crate::network::Network;
use crate::normalise::value::{id, parse, text};
use crate::push::members::{Members, elements};

/// What stands before a time in a cursor of an edge that is paged by time.
const BY_TIME: &str = "until:";

/// One element of a list.
pub(crate) struct Element {
    pub(crate) raw: Box<RawValue>,
    pub(crate) value: Value,
}

/// A list, and where it goes on.
pub(crate) struct Listed {
    pub(crate) elements: Vec<Element>,
    pub(crate) after: Option<String>,
}

impl Listed {
    /// A body's list; `None` where it has none. A map from ids to objects, as is answered to `ids`, is a list too.
    pub(crate) fn of(body: &RawValue, value: &Value, asked_after: Option<&str>) -> Option<Self> {
        let members = Members::of(body)?;
        let raws = match members.get("data") {
            Some(data) => elements(data)?,
            None => {
                let by_id = |(name, raw): &(String, &RawValue)| id(&parse(raw), "id").as_ref() == Some(name);
                (!members.0.is_empty() && members.0.iter().all(by_id))
                    .then(|| members.0.iter().map(|(_, raw)| *raw).collect())?
            }
        };
        let element = |raw: &RawValue| Element { raw: raw.to_owned(), value: parse(raw) };
        let elements = raws.into_iter().map(element).filter(|one| one.value.is_object()).collect();
        let after = after(value).filter(|after| Some(after.as_str()) != asked_after);
        Some(Self { elements, after })
    }

    /// One object as a list of one; None where the body is another's.
    pub(crate) fn single(body: &RawValue, value: &Value, asked: &str) -> Option<Self> {
        let element = Element { raw: body.to_owned(), value: value.clone() };
        (id(value, "id").as_deref() == Some(asked)).then(|| Self { elements: vec![element], after: None })
    }

    /// A list in a member of an element: it has been read already.
    pub(crate) fn nested(value: &Value) -> Self {
        let list = value.get("data").and_then(Value::as_array).into_iter().flatten();
        let element = |value: &Value| Some(Element { raw: to_raw_value(value).ok()?, value: value.clone() });
        Self {
            elements: list.filter(|one| one.is_object()).filter_map(element).collect(),
            after: after(value),
        }
    }
}

/// Where a list goes on, if it does. Cursors are given on the last page too; a link to the next one is not.
fn after(value: &Value) -> Option<String> {
    let paging = value.get("paging")?;
    let next = text(paging, "next")?;
    let beside = paging.get("cursors").and_then(|cursors| id(cursors, "after"));
    let cursor = beside.or_else(|| {
        let next = Url::parse(&next).ok()?;
        let of = |name: &str| {
            next.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        of("after").or_else(|| Some(format!("{BY_TIME}{}", of("until")?)))
    })?;
    (!cursor.is_empty() && cursor.len() <= MAX_CURSOR_BYTES).then_some(cursor)
}

/// A cursor as a parameter.
pub(crate) fn parameter(cursor: &str) -> (&'static str, String) {
    match cursor.strip_prefix(BY_TIME) {
        Some(until) => ("until", until.to_owned()),
        None => ("after", cursor.to_owned()),
    }
}

/// What was found, as it is stored.
pub(crate) fn event(network: Network, field: &str, raw: Box<RawValue>, beside: Value) -> Event {
    Event {
        network,
        by: By::Poll,
        shape: Shape::MetaObject,
        field: field.to_owned(),
        sent_at: None,
        raw,
        beside: (!beside.is_null()).then_some(beside),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(value: &Value) -> Option<Listed> {
        Listed::of(&to_raw_value(value).unwrap(), value, Some("same"))
    }

    #[test]
    fn a_list_goes_on_by_its_cursor_alone() {
        let of =
            |paging: Value| listed(&json!({"data": [{"id": 1}, 7, null], "paging": paging})).unwrap().after;
        let next = "https://graph.example/v1/1/feed?access_token=secret&limit=2";
        assert_eq!(of(json!({"cursors": {"before": "a", "after": "b"}})), None);
        assert_eq!(of(json!({"cursors": {"after": "b"}, "next": next})).as_deref(), Some("b"));
        assert_eq!(of(json!({"cursors": {"after": "same"}, "next": next})), None);
        assert_eq!(of(json!({"next": format!("{next}&after=c%3D")})).as_deref(), Some("c="));
        let by_time = of(json!({"next": format!("{next}&until=5")})).unwrap();
        assert_eq!(parameter(&by_time), ("until", "5".to_owned()));
        assert_eq!(of(json!({"next": next})), None);
        assert_eq!(of(json!([])), None);
    }

    #[test]
    fn a_map_by_ids_is_a_list_and_another_object_is_none() {
        assert_eq!(listed(&json!({"t_1": {"id": "t_1"}, "t_2": {"id": "t_2"}})).unwrap().elements.len(), 2);
        assert_eq!(listed(&json!({"data": []})).unwrap().elements.len(), 0);
        for none in [json!({}), json!({"id": "1"}), json!({"data": {}}), json!({"data": null})] {
            assert!(listed(&none).is_none(), "{none}");
        }
    }
}
