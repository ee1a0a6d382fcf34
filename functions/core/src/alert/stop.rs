//! The link in each alert by which its reader stops all that follow, without a key.
//!
//! It names the address and holds a random word of the address's own. It only removes: whoever got an alert may be
//! spared the next ones, and gets nothing else by it.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq;

use super::Alert;
use crate::id::{AccountId, AlertId};

/// The address that a link names, and its word.
#[derive(Clone, PartialEq, Eq)]
pub struct StopLink {
    /// The address's account.
    pub account: AccountId,
    /// The address.
    pub alert: AlertId,
    word: String,
}

impl fmt::Debug for StopLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopLink(…)")
    }
}

/// A text that is no such link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a link that stops alerts")]
pub struct InvalidStopLink;

impl FromStr for StopLink {
    type Err = InvalidStopLink;

    fn from_str(text: &str) -> Result<Self, InvalidStopLink> {
        let mut parts = text.split('.');
        let (account, alert, word) = (parts.next(), parts.next(), parts.next());
        let account = account.and_then(|text| text.parse().ok()).ok_or(InvalidStopLink)?;
        let alert = alert.and_then(|text| text.parse().ok()).ok_or(InvalidStopLink)?;
        let word = word.filter(|_| parts.next().is_none()).ok_or(InvalidStopLink)?;
        Ok(Self { account, alert, word: word.to_owned() })
    }
}

impl StopLink {
    /// Whether the link is of this address.
    #[must_use]
    pub fn is_of(&self, alert: &Alert) -> bool {
        let is_same: bool = self.word.as_bytes().ct_eq(alert.stop.as_bytes()).into();
        is_same && (&self.account, &self.alert) == (&alert.account, &alert.id)
    }
}

impl Alert {
    /// The link that stops this address's alerts, below the API's address.
    #[must_use]
    pub fn stop_link(&self, base: &str) -> String {
        format!("{base}/alert-stop/{}.{}.{}", self.account, self.id, self.stop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Language, NewAlert, Target};
    use super::*;
    use jiff::Timestamp;

    fn alert(id: u128, word: u128) -> Alert {
        let target = Target::Email("a@example.com".to_owned());
        let new = NewAlert { target, language: Language::English, events: [].into() };
        new.create((AlertId::from_bits(id), word), AccountId::from_bits(1), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_link_is_of_its_own_address_alone() {
        let one = alert(1, 7);
        let link = one.stop_link("https://api.example");
        let link: StopLink = link.strip_prefix("https://api.example/alert-stop/").unwrap().parse().unwrap();
        assert_eq!((&link.account, &link.alert), (&one.account, &one.id));
        assert!(link.is_of(&one));
        assert!(!link.is_of(&alert(1, 8)), "another word");
        assert!(!link.is_of(&alert(2, 7)), "another address");
        assert!(!format!("{link:?}").contains(&one.stop));
    }

    #[test]
    fn a_text_that_is_no_link_is_refused() {
        let (account, alert) = (AccountId::from_bits(1), AlertId::from_bits(2));
        for text in [
            String::new(),
            "..".to_owned(),
            format!("{account}.{alert}"),
            format!("{alert}.{account}.x"),
            format!("{account}.{alert}.x.y"),
        ] {
            assert_eq!(text.parse::<StopLink>(), Err(InvalidStopLink), "{text}");
        }
    }
}
