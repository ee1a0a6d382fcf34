//! Settings from the function's environment, which the template sets. They are read once at the start.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use carteiro_core::key::KeyHash;
use carteiro_core::retention::Retention;
use carteiro_core::streak::Rule;

/// Reads settings and collects every error, so that one start shows all of them.
pub struct SettingsReader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    wrong: Vec<String>,
}

/// Settings that are missing or malformed. It names them and never shows a value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("settings are wrong: {}", .0.join("; "))]
pub struct SettingsError(pub Vec<String>);

/// The process's own environment.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads settings")]
    std::env::var(name).ok()
}

impl<'a> SettingsReader<'a> {
    /// A reader of settings by their name.
    #[must_use]
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, wrong: Vec::new() }
    }

    /// A text that must be there and not be empty.
    pub fn text(&mut self, name: &str) -> String {
        let value = (self.lookup)(name).filter(|value| !value.is_empty());
        value.unwrap_or_else(|| {
            self.wrong.push(format!("{name} is missing"));
            String::new()
        })
    }

    /// A text that may be missing.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
    }

    /// A value that must be there; an empty text is one.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let Some(value) = (self.lookup)(name) else {
            self.wrong.push(format!("{name} is missing"));
            return None;
        };
        self.accept(name, value.parse())
    }

    /// A whole number within bounds.
    pub fn number(&mut self, name: &str, least: u64, most: u64) -> u64 {
        let number = self.parsed::<u64>(name);
        match number {
            Some(number) if (least..=most).contains(&number) => number,
            Some(_) => {
                self.wrong.push(format!("{name} is not between {least} and {most}"));
                least
            }
            None => least,
        }
    }

    /// A whole number of seconds within bounds.
    pub fn seconds(&mut self, name: &str, least: u64, most: u64) -> Duration {
        Duration::from_secs(self.number(name, least, most))
    }

    /// The function's timeout.
    pub fn timeout(&mut self) -> Duration {
        self.seconds("FUNCTION_TIMEOUT_SECONDS", 1, 900)
    }

    /// How long items are kept.
    pub fn retention(&mut self) -> Retention {
        Retention::from_days(u16::try_from(self.number("RETENTION_DAYS", 1, 365)).unwrap_or(1))
    }

    /// The deployment's threshold of blocking.
    pub fn threshold(&mut self) -> u32 {
        u32::try_from(self.number("FAILURE_THRESHOLD", 1, 1_000_000)).unwrap_or(1)
    }

    /// The deployment's rule of blocking.
    pub fn rule(&mut self) -> Rule {
        let block = self.seconds("BLOCK_SECONDS", 1, 604_800);
        Rule { threshold: self.threshold(), block, raises_notices: true }
    }

    /// The deadline of one attempt.
    pub fn attempt_time(&mut self) -> Duration {
        self.seconds("ATTEMPT_SECONDS", 1, 20)
    }

    /// The most deliveries of one webhook that a batch attempts at once.
    pub fn batch_size(&mut self) -> usize {
        usize::try_from(self.number("BATCH_SIZE", 1, 10)).unwrap_or(1)
    }

    /// The most attempts of one batch that go to one host at once.
    pub fn host_concurrency(&mut self) -> usize {
        usize::try_from(self.number("HOST_CONCURRENCY", 1, 50)).unwrap_or(1)
    }

    /// How long webhooks' attempt logs are kept.
    pub fn attempt_log_time(&mut self) -> Duration {
        Duration::from_secs(self.number("ATTEMPT_LOG_DAYS", 1, 365) * 24 * 3600)
    }

    /// Minutes between two ticks.
    pub fn tick_minutes(&mut self) -> u8 {
        u8::try_from(self.number("COLLECT_MINUTES", 1, 15)).unwrap_or(15)
    }

    /// The hash of the operator's key.
    pub fn admin_key(&mut self) -> Option<KeyHash> {
        let hash = self.text("ADMIN_KEY_SHA256");
        self.accept(
            "ADMIN_KEY_SHA256",
            KeyHash::parse(&hash).ok_or("64 lower-case hexadecimal digits are expected"),
        )
    }

    /// Takes a value that was read, or notes its error.
    pub fn accept<T>(&mut self, name: &str, value: Result<T, impl Display>) -> Option<T> {
        value.map_err(|error| self.wrong.push(format!("{name} is malformed: {error}"))).ok()
    }

    /// The settings, if nothing is wrong.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, SettingsError> {
        match settings {
            Some(settings) if self.wrong.is_empty() => Ok(settings),
            _ => Err(SettingsError(self.wrong)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_setting_is_named_and_no_value_is_shown() {
        let lookup = |name: &str| match name {
            "NUMBER" => Some("secret-ish".to_owned()),
            "LARGE" => Some("50".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut reader = SettingsReader::new(&lookup);
        reader.number("NUMBER", 1, 9);
        reader.number("LARGE", 1, 9);
        reader.text("EMPTY");
        reader.text("MISSING");
        let error = reader.finish(Some(())).unwrap_err();
        assert_eq!(error.0.len(), 4, "{error}");
        assert!(!error.to_string().contains("secret-ish"));
    }
}
