//! Strict reading of a map: what nobody asked for is an error that names its path.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::TemplateError;
use super::evaluate::scalar_text;

/// A map of which each property is taken once. [`Properties::finish`] refuses what was not.
#[derive(Debug)]
pub(crate) struct Properties {
    path: String,
    map: Map<String, Value>,
}

impl Properties {
    pub(crate) fn new(value: Value, path: &str) -> Result<Self, TemplateError> {
        match value {
            Value::Object(map) => Ok(Self { path: path.to_owned(), map }),
            _ => Err(TemplateError::at(path, "expected a map")),
        }
    }

    pub(crate) fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    /// Drops properties that mean nothing on one machine. Their functions were evaluated, so their references hold.
    pub(crate) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.map.remove(*name);
        }
    }

    pub(crate) fn finish(self) -> Result<(), TemplateError> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(TemplateError::at(&self.path_of(name), "this property is not understood")),
        }
    }

    pub(crate) fn scalar(&mut self, name: &str) -> Result<Option<String>, TemplateError> {
        let path = self.path_of(name);
        self.take(name).map(|value| scalar_text(&value, &path)).transpose()
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, TemplateError> {
        self.scalar(name)
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Result<String, TemplateError> {
        let path = self.path_of(name);
        self.text(name)?.ok_or_else(|| TemplateError::at(&path, "is required"))
    }

    /// A text that must be one of `allowed`.
    pub(crate) fn choice(&mut self, name: &str, allowed: &[&str]) -> Result<Option<String>, TemplateError> {
        let path = self.path_of(name);
        match self.text(name)? {
            Some(text) if !allowed.contains(&text.as_str()) => Err(TemplateError::at(
                &path,
                &format!("{text} is not understood (only {})", allowed.join(", ")),
            )),
            other => Ok(other),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, TemplateError> {
        let path = self.path_of(name);
        self.scalar(name)?
            .map(|text| text.parse().map_err(|_| TemplateError::at(&path, "is not a number")))
            .transpose()
    }

    pub(crate) fn integer(
        &mut self,
        name: &str,
        allowed: RangeInclusive<u32>,
    ) -> Result<Option<u32>, TemplateError> {
        let path = self.path_of(name);
        let Some(text) = self.scalar(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if allowed.contains(&number) => Ok(Some(number)),
            _ => Err(TemplateError::at(
                &path,
                &format!("{text} is not a whole number from {} to {}", allowed.start(), allowed.end()),
            )),
        }
    }

    pub(crate) fn boolean(&mut self, name: &str) -> Result<Option<bool>, TemplateError> {
        let path = self.path_of(name);
        match self.scalar(name)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(TemplateError::at(&path, "is neither true nor false")),
        }
    }

    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, TemplateError> {
        let path = self.path_of(name);
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(TemplateError::at(&path, "expected a list")),
        }
    }

    pub(crate) fn scalars(&mut self, name: &str) -> Result<Option<Vec<String>>, TemplateError> {
        let path = self.path_of(name);
        self.list(name)?.map(|items| items.iter().map(|item| scalar_text(item, &path)).collect()).transpose()
    }

    /// One text, or a list of them.
    pub(crate) fn one_or_many(&mut self, name: &str) -> Result<Option<Vec<String>>, TemplateError> {
        match self.map.get(name) {
            Some(Value::Array(_)) => self.scalars(name),
            _ => Ok(self.scalar(name)?.map(|text| vec![text])),
        }
    }

    pub(crate) fn map(&mut self, name: &str) -> Result<Option<Properties>, TemplateError> {
        let path = self.path_of(name);
        self.take(name).map(|value| Properties::new(value, &path)).transpose()
    }

    pub(crate) fn required_map(&mut self, name: &str) -> Result<Properties, TemplateError> {
        let path = self.path_of(name);
        self.map(name)?.ok_or_else(|| TemplateError::at(&path, "is required"))
    }

    /// Every entry, each under its own path.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = (String, String, Value)> {
        let path = self.path;
        self.map.into_iter().map(move |(name, value)| {
            let path = format!("{path}.{name}");
            (name, path, value)
        })
    }
}
