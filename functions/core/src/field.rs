//! Fields of a JSON object that a caller gave, read one by one so that everything that is wrong is reported at once.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::problem::FieldError;

/// One field as it was given, null counting as not given.
pub(crate) struct Field<'a> {
    pub(crate) name: &'static str,
    pub(crate) value: Option<&'a Value>,
}

impl<'a> Field<'a> {
    pub(crate) fn of(given: &'a Map<String, Value>, name: &'static str) -> Self {
        Self { name, value: given.get(name).filter(|value| !value.is_null()) }
    }

    /// What was read of it, where it is given; what is wrong joins the errors.
    pub(crate) fn optional<T>(
        self,
        errors: &mut Vec<FieldError>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        match read(self.value?) {
            Ok(value) => Some(value),
            Err(detail) => {
                errors.push(FieldError::new(self.name, detail));
                None
            }
        }
    }

    /// As [`Field::optional`]; where it is not given, that is wrong.
    pub(crate) fn required<T>(
        self,
        errors: &mut Vec<FieldError>,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.value.is_none() {
            errors.push(FieldError::new(self.name, "is needed"));
        }
        self.optional(errors, read)
    }
}

/// The fields that nobody reads.
pub(crate) fn unknown(given: &Map<String, Value>, known: &[&str]) -> Vec<FieldError> {
    let unknown = given.keys().filter(|name| !known.contains(&name.as_str()));
    unknown.map(|name| FieldError::new(name, "no such field")).collect()
}

/// The most characters of a value that are repeated to whoever sent it.
const MAX_QUOTED_CHARS: usize = 64;

/// A value as a caller gave it, as JSON, cut where it is long. Only for fields that hold no secret.
pub(crate) fn quoted(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reads true or false.
pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or("true or false is expected".to_owned())
}

/// Reads one of some texts.
pub(crate) fn choice<T: for<'de> Deserialize<'de>>(
    choices: &'static [&'static str],
) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| T::deserialize(value).map_err(|_| format!("one of {} is expected", choices.join(", ")))
}
