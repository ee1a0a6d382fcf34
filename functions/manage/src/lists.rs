//! Lists: `?limit&cursor` in, `{"data":[…],"next":cursor|null}` out.

use carteiro_adapters::runtime::http_api::Request;
use carteiro_adapters::tables::config::ListPage;
use carteiro_core::cursor::{self, DEFAULT_LIMIT, InvalidCursor, MAX_LIMIT};
use carteiro_core::problem::{FieldError, Problem};

/// Where a page begins, and its length.
pub(crate) struct Position {
    pub(crate) limit: u16,
    pub(crate) after: Option<String>,
}

/// Reads where a page of a list begins. `is_key` recognises the keys of the list's rows, because a cursor that was made
/// by hand must not reach the table.
pub(crate) fn position(
    request: &Request,
    list: &str,
    is_key: impl Fn(&str) -> bool,
) -> Result<Position, Problem> {
    position_after(Vec::new(), request, list, is_key)
}

/// Reads where a page of a list begins, after other parameters that had these errors.
pub(crate) fn position_after(
    mut errors: Vec<FieldError>,
    request: &Request,
    list: &str,
    is_key: impl Fn(&str) -> bool,
) -> Result<Position, Problem> {
    let limit = request.query("limit").map_or(Some(DEFAULT_LIMIT), |limit| {
        limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
    });
    if limit.is_none() {
        errors.push(FieldError::new("limit", format!("a whole number from 1 to {MAX_LIMIT} is expected")));
    }
    let known = |key: String| if is_key(&key) { Ok(key) } else { Err(InvalidCursor) };
    let after = request.query("cursor").map(|text| cursor::decode(list, text).and_then(known)).transpose();
    if let Err(error) = &after {
        errors.push(FieldError::new("cursor", error.to_string()));
    }
    match (limit, after) {
        (Some(limit), Ok(after)) if errors.is_empty() => Ok(Position { limit, after }),
        _ => Err(Problem::invalid_fields(errors)),
    }
}

/// The answer for a page of a list.
pub(crate) trait Listed {
    /// An entry of the list.
    type Entry;

    /// A page of these entries, which goes on at `next`.
    fn of(data: Vec<Self::Entry>, next: Option<String>) -> Self;
}

/// The answer for a page.
pub(crate) fn page<T, L: Listed>(list: &str, page: ListPage<T>, view: impl Fn(T) -> L::Entry) -> L {
    let next = page.last.map(|last| cursor::encode(list, &last));
    L::of(page.data.into_iter().map(view).collect(), next)
}
