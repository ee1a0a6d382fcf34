//! Which connections are kept for the next attempt, and how an attempt ends on one that is closed.

use std::time::Duration;

use carteiro_core::outcome::FailureKind;
use carteiro_hostile::{Hostile, Recorded, Running, find, well_behaved};
use jiff::{SignedDuration, Timestamp};

use crate::{AUTHORITY, LONG, attempt, sender};

const SHORT: Duration = Duration::from_secs(2);
const START: Timestamp = Timestamp::UNIX_EPOCH;

async fn start(hostile: &Hostile) -> Running {
    Running::start(hostile, &AUTHORITY).await.unwrap()
}

/// Makes attempts one after the other, and answers how many connections they took.
async fn connections_of_five(hostile: Hostile) -> usize {
    let (receiver, sender) = (start(&hostile).await, sender(LONG));
    for _ in 0..5 {
        let attempted = attempt(&sender, &receiver.url, START).await;
        assert_eq!(Recorded::of(&attempted.outcome), hostile.recorded);
    }
    receiver.connections()
}

#[tokio::test]
async fn attempts_one_after_the_other_use_one_connection() {
    assert_eq!(connections_of_five(well_behaved::over_http1()).await, 1);
    assert_eq!(connections_of_five(well_behaved::over_tls()).await, 1);
    assert_eq!(connections_of_five(well_behaved::over_http2()).await, 1);
}

#[tokio::test]
async fn concurrent_attempts_have_connections_that_are_reused() {
    let (receiver, sender) = (start(&well_behaved::slow_over_http2()).await, sender(LONG));
    for _ in 0..3 {
        let attempts = (0..10).map(|_| attempt(&sender, &receiver.url, START));
        for attempted in futures_util::future::join_all(attempts).await {
            assert_eq!(Recorded::of(&attempted.outcome), Recorded::Success(204));
        }
        assert_eq!(receiver.connections(), 10);
    }
}

#[tokio::test]
async fn a_connection_closed_before_sending_costs_no_attempt() {
    for name in [
        "closes_the_kept_connection_at_once",
        "resets_the_kept_connection",
        "pipelines_a_second_answer",
        "pipelines_a_second_answer_late",
        "fills_the_kept_connection_with_noise",
        "goes_away_behind_each_answer",
        "ends_tls_without_a_word_behind_the_body",
    ] {
        let hostile = find(name).unwrap();
        let (receiver, sender) = (start(&hostile).await, sender(LONG));
        for nth in 1..=3 {
            let attempted = attempt(&sender, &receiver.url, START).await;
            assert_eq!(Recorded::of(&attempted.outcome), hostile.recorded, "{name}");
            assert_eq!(receiver.connections(), nth, "{name}");
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
    }
}

#[tokio::test]
async fn a_connection_is_not_reused_after_an_ambiguous_head() {
    for name in [
        "leaks_a_warning_into_its_head",
        "has_a_line_without_a_colon_in_its_head",
        "puts_a_space_before_the_colon",
        "folds_a_header",
        "leaves_out_a_headers_name",
        "ends_its_lines_with_lf_alone",
        "claims_the_same_length_twice",
        "says_chunked_and_a_length",
    ] {
        assert_eq!(connections_of_five(find(name).unwrap()).await, 5, "{name}");
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_processed_is_not_repeated() {
    for hostile in
        [well_behaved::breaking_at_the_second_request(), well_behaved::breaking_at_the_second_request_http2()]
    {
        let Recorded::Failure(FailureKind::Protocol, Some(status)) = hostile.recorded else { panic!() };
        let (receiver, sender) = (start(&hostile).await, sender(LONG));
        let first = attempt(&sender, &receiver.url, START).await;
        assert_eq!(Recorded::of(&first.outcome), Recorded::Success(status));
        let second = attempt(&sender, &receiver.url, START).await;
        assert_eq!(Recorded::of(&second.outcome), Recorded::Failure(FailureKind::Protocol, None));
        assert_eq!(receiver.connections(), 1);
        let third = attempt(&sender, &receiver.url, START).await;
        assert_eq!(Recorded::of(&third.outcome), Recorded::Success(status));
        assert_eq!(receiver.connections(), 2);
    }
}

#[tokio::test]
async fn a_connection_on_which_an_attempt_timed_out_is_not_used_again() {
    for hostile in [well_behaved::vanishing(), well_behaved::vanishing_http2()] {
        let (receiver, sender) = (start(&hostile).await, sender(SHORT));
        let mut recorded = Vec::new();
        for _ in 0..3 {
            recorded.push(Recorded::of(&attempt(&sender, &receiver.url, START).await.outcome));
        }
        let lost = Recorded::Failure(FailureKind::Timeout, None);
        assert_eq!(recorded, [hostile.recorded, lost, hostile.recorded]);
        assert_eq!(receiver.connections(), 2);
    }
}

#[tokio::test]
async fn the_first_attempt_after_a_freeze_uses_a_new_connection() {
    for hostile in [well_behaved::vanishing(), well_behaved::vanishing_http2()] {
        let (receiver, sender) = (start(&hostile).await, sender(LONG));
        for (nth, seconds) in [0, 5, 3600, 0].into_iter().enumerate() {
            // By the platform's clock; this machine's has hardly moved. Nor does one that goes back help.
            let now = START + SignedDuration::from_secs(seconds);
            let attempted = attempt(&sender, &receiver.url, now).await;
            assert_eq!(Recorded::of(&attempted.outcome), hostile.recorded);
            assert_eq!(receiver.connections(), nth + 1);
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_idle_for_long_is_not_used_again() {
    let (receiver, sender) = (start(&well_behaved::vanishing()).await, sender(LONG));
    attempt(&sender, &receiver.url, START).await;
    tokio::time::sleep(Duration::from_millis(4200)).await;
    // This machine's clock counts where the platform's stands still.
    let attempted = attempt(&sender, &receiver.url, START).await;
    assert_eq!(Recorded::of(&attempted.outcome), Recorded::Success(200));
    assert_eq!(receiver.connections(), 2);
}
