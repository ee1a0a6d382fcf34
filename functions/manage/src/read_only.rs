//! Read-only fields in a patch: a client may send back the answer to `GET` as it is.
//!
//! An unchanged field is ignored; a changed one is an error, so that nobody believes to have changed it. Values that
//! move by themselves between the answer and the patch (counts, the time of the next tick) are not compared.

use carteiro_core::problem::{FieldError, Problem};
use serde_json::{Map, Value};

/// How a read-only field is compared with what is shown now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compared {
    /// As a whole.
    Whole,
    /// As an object without this member, which follows from time.
    Without(&'static str),
    /// As an object of objects, by this member of each: their other members move by themselves.
    Each(&'static str),
    /// Not at all: it moves by itself, and nobody can mean to set it.
    Not,
}

/// A patch without the read-only fields of what it changes, and those of them that it would change.
pub(crate) fn taken_out(
    patch: &Map<String, Value>,
    shown: &Value,
    read_only: &[(&str, Compared)],
) -> (Map<String, Value>, Vec<FieldError>) {
    let mut rest = patch.clone();
    let mut errors = Vec::new();
    for (name, compared) in read_only {
        let Some(given) = rest.remove(*name) else { continue };
        if !is_same(&given, &shown[*name], *compared) {
            let detail = "is read-only, and differs from what is there now; leave it out, or read it anew";
            errors.push(FieldError::new(*name, detail));
        }
    }
    (rest, errors)
}

fn is_same(given: &Value, shown: &Value, compared: Compared) -> bool {
    match (compared, given, shown) {
        (Compared::Not, ..) => true,
        (Compared::Without(member), Value::Object(given), Value::Object(shown)) => {
            let others = |object: &Map<String, Value>| {
                let mut object = object.clone();
                object.remove(member);
                object
            };
            others(given) == others(shown)
        }
        (Compared::Each(member), Value::Object(given), Value::Object(shown)) => {
            given.len() == shown.len()
                && given
                    .iter()
                    .all(|(name, value)| shown.get(name).is_some_and(|other| value[member] == other[member]))
        }
        _ => given == shown,
    }
}

/// The result of a patch, or its errors and those of its read-only fields.
pub(crate) fn with_errors<T>(
    patched: Result<T, Vec<FieldError>>,
    mut errors: Vec<FieldError>,
) -> Result<T, Problem> {
    match patched {
        Ok(patched) if errors.is_empty() => Ok(patched),
        Ok(_) => Err(Problem::invalid_fields(errors)),
        Err(wrong) => {
            errors.splice(0..0, wrong);
            Err(Problem::invalid_fields(errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: [(&str, Compared); 4] = [
        ("id", Compared::Whole),
        ("token", Compared::Without("message")),
        ("status", Compared::Each("state")),
        ("next_at", Compared::Not),
    ];

    fn shown() -> Value {
        json!({
            "id": "1", "name": "a", "token": {"state": "ok", "message": "2 days left"},
            "status": {"event": {"state": "open", "failures": 1}}, "next_at": "then",
        })
    }

    fn taken_out(patch: &Value) -> (Value, Vec<String>) {
        let (rest, errors) = super::taken_out(patch.as_object().unwrap(), &shown(), &FIELDS);
        (Value::Object(rest), errors.into_iter().map(|error| error.field).collect())
    }

    #[test]
    fn what_was_answered_is_passed_over_though_some_of_it_moved() {
        assert_eq!(taken_out(&shown()), (json!({"name": "a"}), vec![]));
        let earlier = json!({
            "name": "b", "token": {"state": "ok", "message": "3 days left"}, "next_at": "before",
            "status": {"event": {"state": "open", "failures": 0}},
        });
        assert_eq!(taken_out(&earlier), (json!({"name": "b"}), vec![]));
    }

    #[test]
    fn a_read_only_field_that_would_be_changed_is_named() {
        for (patch, field) in [
            (json!({"id": "2"}), "id"),
            (json!({"id": null}), "id"),
            (json!({"token": "EAA"}), "token"),
            (json!({"token": {"state": "expired", "message": "2 days left"}}), "token"),
            (json!({"status": "open"}), "status"),
            (json!({"status": {}}), "status"),
            (json!({"status": {"event": {"state": "blocked", "failures": 1}}}), "status"),
            (json!({"status": {"message": {"state": "open"}}}), "status"),
        ] {
            assert_eq!(taken_out(&patch), (json!({}), vec![field.to_owned()]), "{patch}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_read_only_or_not() {
        let wrong = |field: &str| vec![FieldError::new(field, "wrong")];
        assert_eq!(with_errors(Ok(1), Vec::new()), Ok(1));
        assert_eq!(with_errors(Ok(1), wrong("id")).unwrap_err().errors, wrong("id"));
        let both = with_errors::<u8>(Err(wrong("url")), wrong("id")).unwrap_err();
        assert_eq!(both.detail, "not valid: url, id");
    }
}
