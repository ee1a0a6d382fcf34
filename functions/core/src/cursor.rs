//! Cursors of lists: where the next page begins, as a text that callers hand back unread.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The longest cursor that is looked at, in bytes.
pub const MAX_CURSOR_BYTES: usize = 1024;

/// The page's size where none is asked for, and the largest.
pub const DEFAULT_LIMIT: u16 = 50;
/// The largest page that can be asked for.
pub const MAX_LIMIT: u16 = 200;

/// A text that no list gave as a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that this list gave")]
pub struct InvalidCursor;

/// Makes a cursor of the last key of a page. `list` names the list, so that another list's cursor is refused.
#[must_use]
pub fn encode(list: &str, last_key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("1\n{list}\n{last_key}"))
}

/// Reads a cursor back.
///
/// # Errors
/// [`InvalidCursor`] for anything that [`encode`] did not make for the same list.
pub fn decode(list: &str, cursor: &str) -> Result<String, InvalidCursor> {
    if cursor.len() > MAX_CURSOR_BYTES {
        return Err(InvalidCursor);
    }
    let text = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor)?;
    let text = String::from_utf8(text).map_err(|_| InvalidCursor)?;
    let rest = text.strip_prefix("1\n").and_then(|rest| rest.strip_prefix(list)).ok_or(InvalidCursor)?;
    rest.strip_prefix('\n').map(str::to_owned).ok_or(InvalidCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_by_its_own_list_alone() {
        let cursor = encode("webhooks acc_1", "wh_7");
        assert_eq!(decode("webhooks acc_1", &cursor).unwrap(), "wh_7");
        assert_eq!(decode("webhooks acc_2", &cursor), Err(InvalidCursor));
        assert_eq!(decode("webhooks", &cursor), Err(InvalidCursor));
        for broken in ["", "é", "====", "MQ", &cursor[1..], &"A".repeat(2000)] {
            assert_eq!(decode("webhooks acc_1", broken), Err(InvalidCursor), "{broken}");
        }
    }
}
