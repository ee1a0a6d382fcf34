//! The hop count of an item, by which loops end: deliveries carry it as `carteiro-hop`, and an intake that gets it back
//! passes it on, one higher, until [`Hop::LIMIT`].
//!
//! The count names no deployment, so two deployments that feed each other count together. It ends only loops whose
//! relays copy the header: an item that comes back without it looks like a new one.

use crate::item::ItemType;

/// The header, in deliveries and in requests to an intake.
pub const HEADER: &str = "carteiro-hop";

/// How often an item has passed through Carteiro before, which is what its intake request said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop(u8);

impl Hop {
    /// A request with this count is refused. Legitimate chains (a deployment that feeds another one) have one or two;
    /// each passage may multiply an item by the webhooks of an account.
    pub const LIMIT: Self = Self(3);

    /// The count of a request, by its header; several headers are joined by commas. The highest number counts. A text
    /// that is no number counts as the limit: no request may set the count back.
    #[must_use]
    pub fn of_request(header: Option<&str>) -> Self {
        let counts = header.into_iter().flat_map(|header| header.split(',')).map(|count| {
            let count = count.trim();
            let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { Self::of_count(count.parse().unwrap_or(u64::MAX)) } else { Self::LIMIT }
        });
        counts.max().unwrap_or_default()
    }

    /// A count as it is stored. A higher one becomes the limit.
    #[must_use]
    pub fn of_count(count: u64) -> Self {
        u8::try_from(count).map_or(Self::LIMIT, |count| Self(count).min(Self::LIMIT))
    }

    /// The count as a number.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.0)
    }

    /// Whether an intake refuses it.
    #[must_use]
    pub fn is_at_limit(self) -> bool {
        self >= Self::LIMIT
    }

    /// The count that deliveries of the item carry: one more. Notices always carry the limit, so that no intake takes
    /// one: a notice of failures that became an item could cause the next failures.
    #[must_use]
    pub fn on_delivery(self, item_type: &str) -> Self {
        if item_type == ItemType::NOTICE.as_str() {
            return Self::LIMIT;
        }
        Self(self.0.saturating_add(1)).min(Self::LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_the_header_is_the_first_passage() {
        assert_eq!(Hop::of_request(None), Hop::default());
        assert_eq!(Hop::default().on_delivery("message").count(), 1);
    }

    #[test]
    fn each_passage_counts_one_more_up_to_the_limit() {
        let mut hop = Hop::of_request(None);
        let mut carried = Vec::new();
        while !hop.is_at_limit() {
            let header = hop.on_delivery("event").count().to_string();
            hop = Hop::of_request(Some(&header));
            carried.push(header);
        }
        assert_eq!(carried, ["1", "2", "3"]);
        assert_eq!(Hop::LIMIT.on_delivery("event"), Hop::LIMIT);
    }

    #[test]
    fn the_highest_of_several_counts_decides() {
        for (header, count) in [
            ("0", 0),
            ("1", 1),
            ("2", 2),
            (" 2 ", 2),
            ("0002", 2),
            ("1,2", 2),
            ("2, 1", 2),
            ("0,1,0", 1),
            ("3", 3),
            ("4", 3),
            ("256", 3),
            ("99999999999999999999999999", 3),
            ("1,77", 3),
        ] {
            assert_eq!(Hop::of_request(Some(header)).count(), count, "{header}");
        }
    }

    #[test]
    fn what_is_no_number_counts_as_the_limit() {
        for header in
            ["", " ", "-1", "+1", "1.0", "1;2", "x", "0x0", "０", "1,", ",1", "0,x", "\u{fffd}", "1 2"]
        {
            assert!(Hop::of_request(Some(header)).is_at_limit(), "{header}");
        }
    }

    #[test]
    fn no_intake_takes_a_notice() {
        assert!(Hop::default().on_delivery("notice").is_at_limit());
    }

    #[test]
    fn a_stored_count_is_read_back_and_never_above_the_limit() {
        for count in 0..3 {
            assert_eq!(Hop::of_count(count), Hop(u8::try_from(count).unwrap()));
        }
        assert_eq!(Hop::of_count(u64::MAX), Hop::LIMIT);
    }
}
