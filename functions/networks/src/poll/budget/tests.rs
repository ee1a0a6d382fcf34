use proptest::prelude::*;

use super::*;
use crate::network::Network;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn midnight_in_california_follows_daylight_saving_time() {
    for (now, midnight) in [
        ("2026-11-22T04:00:00Z", "2026-11-22T08:00:00Z"),
        ("2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"),
        ("2026-07-01T06:59:59Z", "2026-07-01T07:00:00Z"),
        ("2026-07-01T07:00:00Z", "2026-07-02T07:00:00Z"),
        ("2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"),
        ("2026-11-01T08:30:00Z", "2026-11-02T08:00:00Z"),
        ("2027-03-14T08:00:00Z", "2027-03-15T07:00:00Z"),
    ] {
        assert_eq!(midnight_pacific(at(now)), at(midnight), "{now}");
    }
}

#[test]
fn a_window_ends_where_the_next_begins() {
    for window in [Window::Quarter, Window::Hour, Window::DayUtc, Window::DayPacific] {
        for now in ["2026-11-01T07:59:59.999Z", "2026-03-08T10:00:00Z", "2026-12-31T23:59:59.5Z"] {
            let (begin, end) = (window.of(at(now)), window.end(at(now)));
            assert!(begin <= at(now) && at(now) < end, "{window:?} {now}");
            assert_eq!(window.of(end), end, "{window:?} {now}");
            assert_eq!(window.of(begin), begin);
        }
    }
}

#[test]
fn what_is_spent_is_there_again_with_the_next_window() {
    let messages = Network::X.spec().limits[5];
    let now = at("2026-11-22T12:14:59Z");
    let mut spent = None;
    for _ in 0..15 {
        assert_eq!(messages.may(spent, 1, now), Admission::Now);
        spent = Some(messages.spend(spent, 1, now));
    }
    assert_eq!(messages.may(spent, 1, now), Admission::At(at("2026-11-22T12:15:00Z")));
    assert_eq!(messages.may(spent, 1, at("2026-11-22T12:15:00Z")), Admission::Now);
    assert_eq!(messages.spend(spent, 1, at("2026-11-22T12:15:00Z")).units, 1);
    assert_eq!(messages.may(spent, 16, now), Admission::Never);
    assert!(messages.counts("messages") && !messages.counts("posts"));
    assert!(Network::Youtube.spec().limits[0].counts("threads"));
}

#[test]
fn what_is_left_of_a_limit_is_rounded_down() {
    let messages = Network::X.spec().limits[5];
    let left = [0, 1, 7, 14, 15, 16].map(|spent| messages.left_percent(spent));
    assert_eq!((messages.units, left), (15, [100, 93, 53, 6, 0, 0]));
}

#[test]
fn pages_are_polled_as_often_as_the_budget_allows() {
    let minutes = |units, a_day| every(Duration::from_secs(900), units, a_day).as_secs() / 60;
    // 96 runs of 2 units are 192.
    assert_eq!(
        [minutes(2, 192_000), minutes(2, 191_999), minutes(2, 48_000), minutes(2, 100)],
        [15, 30, 60, 28_800]
    );
    // With nothing, as good as never.
    assert_eq!(minutes(1, 0), 1000 * 24 * 60);
}

#[test]
fn a_sweep_stays_within_its_units_and_interval() {
    let hour = Duration::from_secs(3600);
    assert_eq!(sweep_milliunits(20, 6 * hour), 80_000);
    assert_eq!(sweep_within(6 * hour, 20, 80_000), 6 * hour);
    assert_eq!(sweep_within(6 * hour, 20, 100_000), 6 * hour);
    assert_eq!(sweep_within(6 * hour, 20, 10_000), 48 * hour);
    assert_eq!(sweep_within(6 * hour, 20, 0), SELDOM);
}

proptest! {
    #[test]
    fn at_that_interval_the_day_suffices(units in 1_u32..20, a_day in 1_u64..2_000_000_000) {
        let tick = Duration::from_secs(900);
        let interval = every(tick, units, a_day);
        prop_assert_eq!(interval.as_secs() % 900, 0);
        let takes = |interval: Duration| u128::from(units) * 1000 * DAY.as_millis() <= u128::from(a_day) * interval.as_millis();
        prop_assert!(takes(interval));
        prop_assert!(interval == tick || !takes(interval.checked_sub(tick).unwrap()));
    }
}

#[test]
fn every_network_with_numbers_has_limits_that_can_be_spent() {
    for network in Network::ALL {
        for limit in network.spec().limits {
            assert_eq!(limit.may(None, limit.units, at("2026-11-22T12:00:00Z")), Admission::Now, "{network}");
        }
    }
    assert_eq!(Network::GooglePlay.spec().limits[0].a_day(), 4800);
}

#[test]
fn a_sweep_of_more_pages_than_were_thought_comes_later() {
    let (hour, now) = (Duration::from_secs(3600), Timestamp::from_second(1_795_305_600).unwrap());
    let after = |hours: u32| now.checked_add(hour * hours).unwrap();
    let is_due = |sweeps: &Sweeps, hours| sweeps.is_due(after(hours), 6 * hour, 20, 80_000);
    let mut sweeps = Sweeps::default();
    assert!(is_due(&sweeps, 0), "none was made yet");
    sweeps.began(now);
    (0..20).for_each(|page| sweeps.answered(page == 0));
    assert_eq!([is_due(&sweeps, 5), is_due(&sweeps, 6)], [false, true]);
    // Five times as many pages as were asked for.
    (0..81).for_each(|_| sweeps.answered(false));
    assert_eq!([is_due(&sweeps, 29), is_due(&sweeps, 30)], [false, true]);
    sweeps.began(after(30));
    assert!(!is_due(&sweeps, 35) && is_due(&sweeps, 36), "they are counted from each sweep on");
    let old: Sweeps = serde_json::from_str(r#"{"swept_at":"2026-11-22T00:00:00Z"}"#).unwrap();
    assert_eq!(old, Sweeps { swept_at: Some(now), pages: None });
}
