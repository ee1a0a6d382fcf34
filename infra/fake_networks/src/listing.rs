//! Lists, cut into pages by cursors.
//!
//! A cursor names the place behind an element, and not a number of elements: what is published or removed in between
//! makes no element appear twice, and none be left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// An element's place in a list: by a time, then by the order of publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) u64, pub(crate) u64);

/// In which order a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) elements: Vec<T>,
    /// The place of the first element,
    pub(crate) before: Option<String>,
    /// of the last,
    pub(crate) after: Option<String>,
    /// and whether there is anything behind it.
    pub(crate) more: bool,
}

/// A text that is no cursor of the list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadCursor;

/// The part of a list behind a cursor. `name` tells one list's cursors from another's.
pub(crate) fn part<T>(
    name: &str,
    mut elements: Vec<(Place, T)>,
    order: Order,
    after: Option<&str>,
    size: usize,
) -> Result<Part<T>, BadCursor> {
    elements.sort_by_key(|(place, _)| *place);
    if order == Order::NewestFirst {
        elements.reverse();
    }
    if let Some(after) = after {
        let after = decode(name, after).ok_or(BadCursor)?;
        elements.retain(|(place, _)| match order {
            Order::NewestFirst => *place < after,
            Order::OldestFirst => *place > after,
        });
    }
    let more = elements.len() > size;
    elements.truncate(size);
    let cursor = |one: Option<&(Place, T)>| one.map(|(place, _)| encode(name, *place));
    let (before, after) = (cursor(elements.first()), cursor(elements.last()));
    Ok(Part { elements: elements.into_iter().map(|(_, element)| element).collect(), before, after, more })
}

fn encode(name: &str, place: Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("{:x}.{}.{}", crate::hash(&name), place.0, place.1))
}

fn decode(name: &str, cursor: &str) -> Option<Place> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let mut parts = text.split('.');
    let of_this_list = parts.next()? == format!("{:x}", crate::hash(&name));
    let place = Place(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    of_this_list.then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(places: impl IntoIterator<Item = u64>) -> Vec<(Place, u64)> {
        places.into_iter().map(|n| (Place(n, n), n)).collect()
    }

    #[test]
    fn a_walk_meets_each_element_once_while_others_come_and_go() {
        let first = part("a", list(1..=5), Order::NewestFirst, None, 2).unwrap();
        assert_eq!((first.elements, first.more), (vec![5, 4], true));
        // The element of the cursor went, and newer ones came.
        let now = list([1, 2, 3, 5, 6, 7]);
        let second = part("a", now.clone(), Order::NewestFirst, first.after.as_deref(), 2).unwrap();
        assert_eq!(second.elements, [3, 2]);
        let third = part("a", now, Order::NewestFirst, second.after.as_deref(), 2).unwrap();
        assert_eq!((third.elements, third.more), (vec![1], false));
        let oldest = part("a", list(1..=3), Order::OldestFirst, None, 2).unwrap();
        let rest = part("a", list(1..=3), Order::OldestFirst, oldest.after.as_deref(), 2).unwrap();
        assert_eq!((oldest.elements, rest.elements), (vec![1, 2], vec![3]));
    }

    #[test]
    fn another_lists_cursor_is_refused() {
        let cursor = part("a", list(1..=5), Order::NewestFirst, None, 2).unwrap().after;
        for bad in [cursor.as_deref(), Some(""), Some("!"), Some("MQ")] {
            assert!(part("b", list(1..=5), Order::NewestFirst, bad, 2).is_err());
        }
    }
}
