//! The confirmation of an address: whoever reads what is sent there gives the code back. Until then nothing else is
//! sent to it.
//!
//! A code is good for [`CODE_KEPT`] and [`MAX_WRONG`] wrong tries. It can be sent again [`RESENDS_A_DAY`] times a day
//! for an address, and [`CODES_A_DAY`] codes are sent for an account in a day, whichever addresses it creates and
//! deletes. So no stranger gets more than a few messages, and 40 random bits are not guessed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::id::{AlertId, digest};
use crate::idempotency::hexadecimal;
use crate::problem::Problem;
use crate::retention::after;

/// How long a code is good.
pub const CODE_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How many wrong tries end a code.
pub const MAX_WRONG: u8 = 5;
/// How often a day an address's code is sent again.
pub const RESENDS_A_DAY: usize = 3;
/// How many codes a day are sent for an account.
pub const CODES_A_DAY: usize = 10;

/// The characters of a code: none looks like another.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// How many characters it has.
const LENGTH: usize = 8;
/// The longest text that is looked at as a code, in bytes.
const MAX_CODE_BYTES: usize = 64;

const DAY_SECONDS: i64 = 24 * 3600;

/// A code, as it is sent. It is stored hashed, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// Makes a code of 40 random bits.
    #[must_use]
    pub fn from_random(bytes: [u8; 5]) -> Self {
        let bits = bytes.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        let letter = |at: usize| {
            let index = usize::try_from(bits >> (5 * (LENGTH - 1 - at)) & 31).unwrap_or_default();
            char::from(ALPHABET[index])
        };
        Self((0..LENGTH).map(letter).collect())
    }

    /// Reads a code as a person types it: in any case, with spaces or hyphens. None for what can be none.
    #[must_use]
    pub fn typed(text: &str) -> Option<Self> {
        if text.len() > MAX_CODE_BYTES {
            return None;
        }
        let is_filler = |c: &char| c.is_whitespace() || *c == '-';
        let code: String = text.chars().filter(|c| !is_filler(c)).map(|c| c.to_ascii_uppercase()).collect();
        (!code.is_empty()).then_some(Self(code))
    }

    /// The code itself, to be sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    fn hash(&self, alert: &AlertId) -> String {
        let parts = ["carteiro alert code 1", alert.as_str(), self.0.as_str()];
        hexadecimal(&digest(parts.map(str::as_bytes)))
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(…)")
    }
}

/// The state of an address's confirmation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// When the address was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<Timestamp>,
    /// The code that was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<StoredCode>,
    /// The day that resends are counted for, in days since 1970.
    #[serde(default)]
    day: i64,
    #[serde(default)]
    resends: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredCode {
    hash: String,
    expires_at: Timestamp,
    wrong: u8,
}

/// What a code that was given does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The address is confirmed, once this is stored.
    Confirmed(Confirmation),
    /// The address was confirmed before.
    Already,
    /// The code is wrong, and the try counts once this is stored.
    Wrong(Confirmation),
    /// No code is good any more, or none was sent yet.
    NoCode,
}

impl Confirmation {
    /// Whether the address is confirmed.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }

    /// The state in which this code was sent. It replaces one that was sent before.
    #[must_use]
    pub fn with_code(&self, alert: &AlertId, code: &Code, now: Timestamp) -> Self {
        let code = StoredCode { hash: code.hash(alert), expires_at: after(now, CODE_KEPT), wrong: 0 };
        Self { code: Some(code), ..self.clone() }
    }

    /// Tries a code.
    #[must_use]
    pub fn tried(&self, alert: &AlertId, code: &Code, now: Timestamp) -> Tried {
        if self.is_confirmed() {
            return Tried::Already;
        }
        let stored = self.code.as_ref().filter(|code| code.expires_at > now && code.wrong < MAX_WRONG);
        let Some(stored) = stored else { return Tried::NoCode };
        let is_right: bool = stored.hash.as_bytes().ct_eq(code.hash(alert).as_bytes()).into();
        if is_right {
            return Tried::Confirmed(Self { confirmed_at: Some(now), code: None, ..self.clone() });
        }
        let wrong = StoredCode { wrong: stored.wrong.saturating_add(1), ..stored.clone() };
        Tried::Wrong(Self { code: Some(wrong), ..self.clone() })
    }

    /// The state in which the code is to be sent again. None where the day has no resend left.
    #[must_use]
    pub fn resent(&self, now: Timestamp) -> Option<Self> {
        let day = day_of(now);
        let resends = if self.day == day { self.resends } else { 0 };
        (resends < RESENDS_A_DAY).then(|| Self { day, resends: resends + 1, ..self.clone() })
    }
}

/// The codes that were sent for an account in a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeShare {
    day: i64,
    /// Those who sent one. A write whose answer was lost finds itself among them.
    senders: Vec<String>,
}

/// Whether a further code may be sent for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaySend {
    /// It may, once this is stored.
    Send(CodeShare),
    /// It may: this sender is counted already.
    IsCounted,
    /// The day has none left.
    NoneLeft,
}

impl CodeShare {
    /// Whether `sender` may have a code sent.
    #[must_use]
    pub fn take(&self, sender: &str, now: Timestamp) -> MaySend {
        let day = day_of(now);
        let mut senders = if self.day == day { self.senders.clone() } else { Vec::new() };
        if senders.iter().any(|known| known == sender) {
            return MaySend::IsCounted;
        }
        if senders.len() >= CODES_A_DAY {
            return MaySend::NoneLeft;
        }
        senders.push(sender.to_owned());
        MaySend::Send(Self { day, senders })
    }
}

/// The refusal of a further code on this day.
#[must_use]
pub fn none_left(now: Timestamp) -> Problem {
    let detail = format!(
        "a code is sent again at most {RESENDS_A_DAY} times a day for an address, and {CODES_A_DAY} codes a day for an \
         account; try again tomorrow (UTC)"
    );
    let left = DAY_SECONDS - now.as_second().rem_euclid(DAY_SECONDS);
    Problem { retry_after: u64::try_from(left).ok(), ..Problem::too_many_requests(detail) }
}

pub(super) fn day_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    fn alert() -> AlertId {
        AlertId::from_bits(7)
    }

    fn code(last: u8) -> Code {
        Code::from_random([1, 2, 3, 4, last])
    }

    #[test]
    fn a_code_has_eight_characters_and_is_read_as_people_type_it() {
        assert_eq!(Code::from_random([0; 5]).reveal(), "22222222");
        assert_eq!(Code::from_random([255; 5]).reveal(), "ZZZZZZZZ");
        let code = Code::from_random([0x12, 0x34, 0x56, 0x78, 0x9a]);
        let typed = format!(" {}-{} ", code.reveal()[..4].to_lowercase(), &code.reveal()[4..]);
        assert_eq!(Code::typed(&typed).unwrap(), code);
        assert_eq!((Code::typed(" - "), Code::typed(&"A".repeat(65))), (None, None));
        assert!(!format!("{code:?}").contains(code.reveal()));
    }

    #[test]
    fn a_code_confirms_its_own_address_once() {
        let sent = Confirmation::default().with_code(&alert(), &code(5), at(0));
        assert!(!serde_json::to_string(&sent).unwrap().contains(code(5).reveal()), "hashed");
        assert!(matches!(sent.tried(&AlertId::from_bits(8), &code(5), at(1)), Tried::Wrong(_)));
        let Tried::Confirmed(confirmed) = sent.tried(&alert(), &code(5), at(86_399)) else { panic!() };
        assert!(confirmed.is_confirmed());
        assert_eq!(confirmed.tried(&alert(), &code(6), at(2)), Tried::Already);
        assert_eq!(sent.tried(&alert(), &code(5), at(86_400)), Tried::NoCode, "it is over");
        assert_eq!(Confirmation::default().tried(&alert(), &code(5), at(0)), Tried::NoCode);
    }

    #[test]
    fn five_wrong_tries_end_a_code_and_another_one_is_good() {
        let mut state = Confirmation::default().with_code(&alert(), &code(5), at(0));
        for wrong in 0..5 {
            let Tried::Wrong(next) = state.tried(&alert(), &code(100 + wrong), at(1)) else {
                panic!("{wrong}")
            };
            state = next;
        }
        assert_eq!(state.tried(&alert(), &code(5), at(2)), Tried::NoCode, "the right one comes too late");
        let resent = state.with_code(&alert(), &code(6), at(3));
        assert!(matches!(resent.tried(&alert(), &code(5), at(4)), Tried::Wrong(_)), "the old one is over");
        assert!(matches!(resent.tried(&alert(), &code(6), at(4)), Tried::Confirmed(_)));
    }

    #[test]
    fn a_day_has_three_resends_for_an_address() {
        let mut state = Confirmation::default();
        for _ in 0..3 {
            state = state.resent(at(100)).unwrap();
        }
        assert_eq!(state.resent(at(86_399)), None);
        assert!(state.resent(at(86_400)).is_some());
    }

    #[test]
    fn a_day_has_ten_codes_for_an_account() {
        let mut share = CodeShare::default();
        for n in 0..10 {
            let MaySend::Send(next) = share.take(&n.to_string(), at(5)) else { panic!("{n}") };
            share = next;
        }
        assert_eq!(share.take("10", at(6)), MaySend::NoneLeft);
        assert_eq!(share.take("9", at(6)), MaySend::IsCounted, "a repeated write finds itself");
        assert!(matches!(share.take("10", at(86_400)), MaySend::Send(_)));
        let problem = none_left(at(86_390));
        assert_eq!((problem.status, problem.retry_after), (429, Some(10)));
    }
}
