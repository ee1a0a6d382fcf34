//! Fields of a JSON object that a caller gave, read one by one so that everything that is wrong is reported at once.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::problem::FieldError;

/// One field as it was given, null counting as not given.
pub struct Field<'a> {
    /// Its name, for errors.
    pub name: &'static str,
    /// Its value; none where it is missing or null.
    pub value: Option<&'a Value>,
}

impl<'a> Field<'a> {
    /// Looks up a field of an object.
    #[must_use]
    pub fn of(given: &'a Map<String, Value>, name: &'static str) -> Self {
        Self { name, value: given.get(name).filter(|value| !value.is_null()) }
    }

    /// Reads the field if it is there, and adds its faults to `errors`.
    pub fn optional<T>(
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

    /// Reads the field, and adds its faults to `errors`. A missing field is one.
    pub fn required<T>(
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

/// An error for each field that is not `known`.
#[must_use]
pub fn unknown(given: &Map<String, Value>, known: &[&str]) -> Vec<FieldError> {
    let unknown = given.keys().filter(|name| !known.contains(&name.as_str()));
    unknown.map(|name| FieldError::new(name, "no such field")).collect()
}

/// The most characters of a value that an error repeats.
const MAX_QUOTED_CHARS: usize = 64;

/// A value as a caller gave it, as JSON, cut where it is long. Only for fields that hold no secret.
#[must_use]
pub fn quoted(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reads true or false.
///
/// # Errors
/// Where it is neither, in words for the caller.
pub fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or("true or false is expected".to_owned())
}

/// Reads one of some texts.
pub fn choice<T: for<'de> Deserialize<'de>>(
    choices: &'static [&'static str],
) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| T::deserialize(value).map_err(|_| format!("one of {} is expected", choices.join(", ")))
}
