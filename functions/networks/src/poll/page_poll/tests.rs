//! Tables of a poll's decisions.

use serde_json::value::RawValue;

use super::*;
use crate::collected::By;
use crate::inbox::Shape;
use crate::network::NetworkId;
use crate::page::{Delivery, TokenState};
use carteiro_core::id::PageId;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const TICK: Duration = Duration::from_secs(900);
const OAUTH: GrantType = GrantType::RefreshToken;
const VERSION: OperatorFault = OperatorFault::VersionWithdrawn;
const KEY: GrantType = GrantType::ServiceAccount;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn token(text: &str) -> AccessToken {
    AccessToken::from_stored(text.to_owned())
}

/// A page that was connected at second 0, with the first version of its token.
fn page(network: Network) -> Page {
    Page {
        id: PageId::from_bits(1),
        account: AccountId::from_bits(2),
        network,
        network_id: "1".parse::<NetworkId>().unwrap(),
        name: "Loja".to_owned(),
        delivery: Delivery::default(),
        login: None,
        ad_account: None,
        proven: false,
        token: TokenStatus::unknown(None, at(0), at(0)),
        token_version: 1,
        version: 1,
        created_at: at(0),
        updated_at: at(0),
    }
}

/// The access by the first version of a token that ends at a second.
fn access(text: &str, refresh_token: Option<&str>, end: Option<i64>) -> Access {
    let (access_token, refresh_token) = (token(text), refresh_token.map(token));
    Access::new(Token { access_token, refresh_token, expires_at: end.map(at), version: 1 }, None)
}

fn last(second: i64, result: TickResult) -> LastTick {
    LastTick { at: at(second), result, new: 0, calls: 0, cause: None }
}

fn answered(operations: &[&'static str]) -> Findings {
    Findings { answered: operations.iter().copied().collect(), ..Findings::default() }
}

fn denied(operation: &'static str, permission: Option<&str>, answered: &[&'static str]) -> Findings {
    let denied = Some((operation, permission.map(str::to_owned)));
    Findings { denied, answered: answered.iter().copied().collect(), ..Findings::default() }
}

fn ends() -> TokenEnds {
    TokenEnds { expires_at: Some(at(DAY)), consent_ends_at: Some(at(2 * DAY)) }
}

fn taken(complete: bool) -> TokenObservation {
    TokenObservation::Taken { complete, expires_at: None, consent_ends_at: None }
}

fn narrowed(permission: Option<&str>) -> TokenTrouble {
    TokenTrouble::Narrowed(permission.map(str::to_owned))
}

fn wait(of: CooldownScope) -> Verdict {
    Verdict::Wait { until: at(HOUR), of }
}

fn every_end() -> [(PollEnd, TickResult, bool); 9] {
    [
        (PollEnd::Complete, TickResult::Ok, true),
        (PollEnd::More, TickResult::More, true),
        (PollEnd::Limited(at(1)), TickResult::Limited, false),
        (PollEnd::Refused(TokenTrouble::Revoked), TickResult::Token, false),
        (PollEnd::RenewalRefused { lost: true }, TickResult::Token, false),
        (PollEnd::NotThePages, TickResult::Token, false),
        (PollEnd::Dead, TickResult::Token, false),
        (PollEnd::Unavailable, TickResult::Unavailable, true),
        (PollEnd::Fault, TickResult::Fault, false),
    ]
}

#[test]
fn an_end_has_its_result_and_allows_calls_or_not() {
    for (end, result, allows_calls) in every_end() {
        assert_eq!((end.result(), end.allows_calls()), (result, allows_calls), "{end:?}");
    }
}

#[test]
fn a_plan_is_stale_after_a_quarter_of_an_hour_or_a_longer_tick() {
    let hour = Duration::from_secs(3600);
    for (tick, age, stale) in
        [(TICK, 900, false), (TICK, 901, true), (TICK / 15, 900, false), (hour, 3600, false)]
    {
        assert_eq!(is_stale(at(0), tick, at(age)), stale, "{tick:?} {age}");
    }
}

#[test]
fn a_page_is_due_at_its_time_or_when_asked_for_unless_limited() {
    let limited = last(0, TickResult::Limited);
    for (next_at, last, asked_for, due) in [
        (10, None, false, true),
        (11, None, false, false),
        (11, None, true, true),
        (11, Some(&last(0, TickResult::Token)), true, true),
        (11, Some(&limited), true, false),
        (10, Some(&limited), true, true),
    ] {
        assert_eq!(is_due(at(next_at), last, asked_for, at(10)), due, "{next_at} {last:?} {asked_for}");
    }
}

#[test]
fn pages_of_a_shared_limit_are_polled_more_rarely() {
    let account = AccountId::from_bits(2);
    let allot = |network: Network, pages: u64| {
        let own = fair::Pages { proven: pages, unproven: 0 };
        let accounts = ByAccount::from([(fair::key(&account), own)]);
        allot(network, &account, network.spec().limits, &accounts, 60, TICK)
    };
    let shared = [Network::X, Network::Youtube, Network::Linkedin];
    for network in Network::ALL {
        assert_eq!(is_shared(network.spec().limits), shared.contains(&network), "{network}");
    }
    let facebook = Allotment { every_minutes: 15, calls: 60, sweeps: u64::MAX, millionths: None };
    assert_eq!(allot(Network::Facebook, 100_000), facebook);
    let (few, many) = (allot(Network::Youtube, 1), allot(Network::Youtube, 1000));
    assert!(few.every_minutes == 15 && many.every_minutes > 60, "{few:?} {many:?}");
    assert!(few.calls > many.calls && few.sweeps > many.sweeps, "{few:?} {many:?}");
}

#[test]
fn calls_end_with_their_number_their_time_or_the_invocations() {
    let quota = Quota { calls: 4, most_calls: 5, until: at(100), sweeps: 0, millionths: None };
    let seconds = Duration::from_secs;
    for (calls, now, left, room) in
        [(4, 99, 61, true), (5, 99, 61, false), (0, 100, 61, false), (0, 0, 60, false)]
    {
        let quota = Quota { calls, ..quota };
        assert_eq!(quota.has_room(at(now), seconds(left)), room, "{calls} {now} {left}");
    }
    assert!(has_time(seconds(240)) && !has_time(seconds(239)));
}

#[test]
fn a_page_with_a_dead_token_or_one_being_changed_is_not_polled() {
    let (states, before) = (TokenState::ALL, page(Network::X));
    for state in states {
        let page = Page { token: TokenStatus { state, ..before.token.clone() }, ..before.clone() };
        let dead = matches!(state, TokenState::Expired | TokenState::Revoked);
        assert_eq!(not_pollable(&page, 1), dead.then_some(PollEnd::Dead), "{state:?}");
        assert_eq!(not_pollable(&page, 2), Some(PollEnd::More), "{state:?}");
    }
}

#[test]
fn the_later_of_two_cooldowns_holds_a_page_back() {
    for (ends, until) in [
        ([None, None], None),
        ([Some(at(5)), Some(at(4))], None),
        ([Some(at(6)), None], Some(6)),
        ([Some(at(6)), Some(at(9))], Some(9)),
        ([Some(at(5)), Some(at(9))], Some(9)),
    ] {
        assert_eq!(cooldown(ends, at(5)), until.map(|end| PollEnd::Limited(at(end))), "{ends:?}");
    }
}

#[test]
fn a_verdict_goes_on_ends_the_poll_or_cools_down_its_scope() {
    let (until, refused) = (at(HOUR), |trouble| FollowUp::End(PollEnd::Refused(trouble)));
    let cools = |of| FollowUp::CoolDown { of, until };
    for (verdict, proven, expected) in [
        (Verdict::Fine, false, FollowUp::GoOn),
        (Verdict::Token(narrowed(None)), true, FollowUp::GoOn),
        (Verdict::Token(TokenTrouble::Expired), true, refused(TokenTrouble::Expired)),
        (Verdict::Token(TokenTrouble::Revoked), true, refused(TokenTrouble::Revoked)),
        (Verdict::NotThePages, true, FollowUp::End(PollEnd::NotThePages)),
        (wait(CooldownScope::ThisOperation), true, FollowUp::GoOn),
        (wait(CooldownScope::ThePage), true, cools(CooldownScope::ThePage)),
        (wait(CooldownScope::TheApp), true, cools(CooldownScope::TheApp)),
        (wait(CooldownScope::ThePage), false, FollowUp::End(PollEnd::Limited(until))),
        (wait(CooldownScope::TheApp), false, FollowUp::End(PollEnd::Limited(until))),
        (Verdict::Transient, true, FollowUp::GoOn),
        (Verdict::Gone, true, FollowUp::GoOn),
        (Verdict::Malformed, true, FollowUp::GoOn),
        (Verdict::OurFault(VERSION), true, FollowUp::End(PollEnd::Operator(VERSION))),
        (Verdict::OurFault(VERSION), false, FollowUp::End(PollEnd::Operator(VERSION))),
        (Verdict::OurFault(OperatorFault::AppAccess), true, FollowUp::GoOn),
    ] {
        assert_eq!(Findings::default().follow("me", verdict.clone(), proven), expected, "{verdict:?}");
    }
    // A token that was taken in this poll is proof enough.
    let expected = cools(CooldownScope::TheApp);
    assert_eq!(answered(&["me"]).follow("posts", wait(CooldownScope::TheApp), false), expected);
    let inspected = answered(&[INSPECTION]).follow("me", wait(CooldownScope::TheApp), false);
    assert_eq!(inspected, FollowUp::End(PollEnd::Limited(until)));
}

#[test]
fn the_first_denied_operation_and_all_answered_ones_are_noted() {
    let mut findings = Findings::default();
    for (operation, verdict) in [
        ("me", Verdict::Fine),
        ("posts", Verdict::Token(narrowed(Some("read")))),
        ("mentions", Verdict::Token(narrowed(None))),
        ("messages", Verdict::Gone),
    ] {
        assert_eq!(findings.follow(operation, verdict, false), FollowUp::GoOn);
    }
    assert_eq!(findings, denied("posts", Some("read"), &["me"]));
    findings.add_new(2);
    findings.add_new(usize::MAX);
    assert_eq!(findings.new, u32::MAX);
}

#[test]
fn an_inspection_counts_unless_its_call_failed() {
    for (verdict, counts, names_ends) in [
        (Verdict::Fine, true, true),
        (Verdict::Token(TokenTrouble::Revoked), true, false),
        (Verdict::Token(narrowed(Some("read"))), true, false),
        (Verdict::NotThePages, true, false),
        (wait(CooldownScope::TheApp), true, false),
        (Verdict::Malformed, false, false),
        (Verdict::Transient, false, false),
        (Verdict::Gone, false, false),
        (Verdict::OurFault(VERSION), false, false),
    ] {
        let TokenEnds { expires_at, consent_ends_at } = ends();
        let seen = TokenInspection { verdict, expires_at, consent_ends_at };
        let mut findings = Findings::default();
        assert_eq!(findings.inspect(&seen), counts, "{seen:?}");
        assert_eq!(findings.ends, names_ends.then(ends), "{seen:?}");
    }
}

#[test]
fn a_page_is_proven_by_any_answer_but_an_inspections() {
    for (operations, end, proof) in [
        (&[][..], PollEnd::Unavailable, None),
        (&[INSPECTION][..], PollEnd::Complete, None),
        (&[INSPECTION, "me"][..], PollEnd::Unavailable, Some(true)),
        (&["me"][..], PollEnd::Refused(TokenTrouble::Revoked), Some(true)),
        (&["me"][..], PollEnd::NotThePages, Some(false)),
        (&[][..], PollEnd::NotThePages, Some(false)),
    ] {
        let findings = answered(operations);
        assert_eq!(findings.proof(&end), proof, "{operations:?} {end:?}");
        assert_eq!(findings.is_proven(false), findings.was_taken());
        assert!(findings.is_proven(true));
    }
}

#[test]
fn a_proof_is_noted_once_and_with_the_token_that_was_used() {
    let before = page(Network::X);
    for (proven, token_version, version) in [(true, 1, Some(2)), (false, 1, None), (true, 2, None)] {
        let marked = with_proof(&before, token_version, proven);
        assert_eq!(marked.as_ref().map(|page| page.version), version, "{proven} {token_version}");
        assert!(marked.is_none_or(|page| page.proven));
    }
}

#[test]
fn a_poll_is_complete_when_what_was_denied_before_is_answered() {
    for (findings, end, before, complete, still_denied) in [
        (answered(&["me"]), PollEnd::Complete, None, true, None),
        (answered(&["me"]), PollEnd::More, None, false, None),
        (answered(&["me"]), PollEnd::Complete, Some("posts"), false, Some("posts")),
        (answered(&["me", "posts"]), PollEnd::Complete, Some("posts"), true, None),
        (answered(&["me", "posts"]), PollEnd::More, Some("posts"), false, Some("posts")),
        (denied("mentions", None, &["me"]), PollEnd::Complete, None, false, Some("mentions")),
        (denied("mentions", None, &["posts"]), PollEnd::Complete, Some("posts"), false, Some("mentions")),
    ] {
        assert_eq!(findings.is_complete(&end, before), complete, "{findings:?} {end:?} {before:?}");
        let denied = findings.still_denied(&end, before);
        assert_eq!(denied.as_deref(), still_denied, "{findings:?} {end:?} {before:?}");
    }
}

#[test]
fn observations_name_the_refusal_or_what_the_token_may_do() {
    let refused = |trouble| vec![TokenObservation::Refused(trouble)];
    let inspected = |findings| Findings { ends: Some(ends()), ..findings };
    let with_ends = |complete| {
        let TokenEnds { expires_at, consent_ends_at } = ends();
        TokenObservation::Taken { complete, expires_at, consent_ends_at }
    };
    for (findings, end, before, expected) in [
        (answered(&["me"]), PollEnd::Refused(TokenTrouble::Expired), None, refused(TokenTrouble::Expired)),
        (
            inspected(answered(&["me"])),
            PollEnd::RenewalRefused { lost: true },
            None,
            vec![TokenObservation::RenewalRefused { lost: true }],
        ),
        (denied("me", None, &[]), PollEnd::NotThePages, None, vec![TokenObservation::NotThePages]),
        (answered(&[]), PollEnd::Dead, None, vec![TokenObservation::Time]),
        (answered(&[]), PollEnd::Limited(at(1)), None, vec![TokenObservation::Time]),
        (answered(&["me"]), PollEnd::Complete, None, vec![taken(true)]),
        (answered(&["me"]), PollEnd::Complete, Some("posts"), vec![taken(false)]),
        (answered(&["me"]), PollEnd::Unavailable, None, vec![taken(false)]),
        (denied("posts", Some("read"), &["me"]), PollEnd::Complete, None, refused(narrowed(Some("read")))),
        (inspected(answered(&[INSPECTION])), PollEnd::More, Some("posts"), vec![with_ends(true)]),
        (
            inspected(denied("posts", None, &["me"])),
            PollEnd::Complete,
            None,
            [vec![with_ends(false)], refused(narrowed(None))].concat(),
        ),
    ] {
        assert_eq!(findings.observations(&end, before), expected, "{findings:?} {end:?} {before:?}");
    }
}

#[test]
fn a_collection_ends_by_what_its_calls_have_met() {
    let of_operation = || wait(CooldownScope::ThisOperation);
    for (verdicts, operations, end) in [
        (vec![], &[][..], PollEnd::Unavailable),
        (vec![Verdict::Fine], &["me"], PollEnd::Complete),
        (vec![Verdict::Fine, Verdict::Gone], &["me"], PollEnd::Complete),
        (vec![Verdict::Fine, Verdict::Malformed, Verdict::Fine], &["me"], PollEnd::Unavailable),
        (vec![Verdict::Transient, Verdict::Fine], &["me"], PollEnd::Unavailable),
        (vec![Verdict::Fine, of_operation()], &["me"], PollEnd::More),
        (vec![Verdict::Malformed, of_operation()], &[], PollEnd::More),
    ] {
        let mut history = CallHistory::default();
        verdicts.iter().for_each(|verdict| history.note(verdict, 200));
        assert_eq!(history.end(&answered(operations)), end, "{verdicts:?}");
    }
}

#[test]
fn a_network_that_fails_again_and_again_is_left_alone() {
    let (fine, failed) = (Verdict::Fine, Verdict::Transient);
    for (verdicts, proven, unproven) in [
        (&[&failed][..], false, true),
        (&[&failed, &failed, &failed], true, true),
        (&[&failed, &failed, &fine], false, false),
        (&[&failed, &failed, &fine, &failed], false, true),
    ] {
        let mut history = CallHistory::default();
        verdicts.iter().for_each(|verdict| history.note(verdict, 200));
        assert_eq!((history.gives_up(true), history.gives_up(false)), (proven, unproven), "{verdicts:?}");
    }
}

#[test]
fn a_limit_of_one_operation_is_told_to_the_collection_once() {
    for network in Network::ALL {
        let mut history = CallHistory::default();
        let told = ["posts", "messages", "posts"];
        let told = told.map(|operation| history.limit_header(network, operation).is_some());
        let is_x = network == Network::X;
        assert_eq!(told, [is_x, is_x, false], "{network}");
    }
}

#[test]
fn the_interval_is_planned_or_kept_or_the_ticks() {
    for (planned, before, minutes) in [(Some(60), Some(30), 60), (None, Some(30), 30), (None, None, 15)] {
        assert_eq!(every_minutes(planned, before, TICK), minutes);
    }
}

#[test]
fn the_next_poll_is_before_its_tick_and_after_a_limit() {
    let page = page(Network::Facebook);
    // Half a tick before the next one, so that it is due whether the tick comes early or late.
    for (end, second) in [
        (PollEnd::Complete, 450),
        (PollEnd::Fault, 450),
        (PollEnd::Limited(at(60)), 450),
        (PollEnd::Limited(at(HOUR)), HOUR),
    ] {
        assert_eq!(next_poll(&page, &end, at(0), 15, TICK), Some(at(second)), "{end:?}");
    }
    let daily = next_poll(&page, &PollEnd::Complete, at(0), 24 * 60, TICK).unwrap();
    assert!(daily > at(0) && daily <= at(DAY), "{daily}");
    let token = TokenStatus { state: TokenState::Revoked, ..page.token.clone() };
    assert_eq!(next_poll(&Page { token, ..page }, &PollEnd::NotThePages, at(0), 15, TICK), None);
}

#[test]
fn a_token_is_renewed_by_what_its_network_and_deployment_have() {
    let key = r#"{"type":"service_account"}"#;
    for (network, text, refresh_token, has_app, method) in [
        (Network::Instagram, "IGAA1", None, false, Some(GrantType::AccessToken)),
        (Network::Instagram, "EAAB1", Some("r"), true, None),
        (Network::Facebook, "EAAB1", Some("r"), true, None),
        (Network::X, "a", Some("r"), true, Some(OAUTH)),
        (Network::X, "a", Some("r"), false, None),
        (Network::Linkedin, "a", None, true, None),
        (Network::Youtube, "a", Some("r"), true, Some(OAUTH)),
        (Network::GooglePlay, "a", Some("r"), true, Some(OAUTH)),
        (Network::GooglePlay, key, None, false, Some(KEY)),
        (Network::Youtube, key, None, false, None),
    ] {
        let found = access(text, refresh_token, None).renewal_method(network, has_app);
        assert_eq!(found, method, "{network} {text} {has_app}");
    }
}

#[test]
fn a_renewal_is_planned_by_the_tokens_end_and_earlier_attempts() {
    let now = 60 * DAY;
    let days = RenewalPlan::Due(Remaining::Days);
    let (minutes, nothing) = (RenewalPlan::Due(Remaining::Minutes), RenewalPlan::Due(Remaining::Nothing));
    let (not_due, postponed) = (RenewalPlan::NotDue, RenewalPlan::Postponed);
    let instagram = GrantType::AccessToken;
    for (network, method, left, attempted, expected) in [
        (Network::Facebook, None, Some(60), None, not_due),
        (Network::X, Some(OAUTH), None, None, not_due),
        (Network::X, Some(OAUTH), Some(HOUR), None, not_due),
        (Network::X, Some(OAUTH), Some(60), None, minutes),
        (Network::X, Some(OAUTH), Some(0), None, nothing),
        // A renewal that was begun comes first.
        (Network::X, Some(OAUTH), Some(HOUR), Some((1, 60)), minutes),
        (Network::X, Some(OAUTH), None, Some((1, 60)), nothing),
        (Network::X, Some(OAUTH), Some(HOUR), Some((0, 60)), not_due),
        (Network::Linkedin, Some(OAUTH), Some(8 * DAY), None, not_due),
        (Network::Linkedin, Some(OAUTH), Some(6 * DAY), None, days),
        (Network::Linkedin, Some(OAUTH), Some(6 * DAY), Some((1, 5 * HOUR)), postponed),
        (Network::Linkedin, Some(OAUTH), Some(6 * DAY), Some((1, 6 * HOUR)), days),
        (Network::Linkedin, Some(OAUTH), Some(-1), Some((1, 60)), nothing),
        (Network::GooglePlay, Some(KEY), None, None, nothing),
        (Network::Instagram, Some(instagram), None, None, days),
        (Network::Instagram, Some(instagram), Some(31 * DAY), None, not_due),
        (Network::Instagram, Some(instagram), Some(29 * DAY), None, days),
        (Network::Instagram, Some(instagram), Some(29 * DAY), Some((1, HOUR)), postponed),
        // Instagram refreshes no token that is over.
        (Network::Instagram, Some(instagram), Some(-1), None, not_due),
    ] {
        let mut access = access("a", Some("r"), left.map(|left| now + left));
        access.attempt = attempted.map(|(of, ago)| RenewalAttempt { of, at: at(now - ago) });
        let plan = access.plan_renewal(&page(network), method, at(now));
        assert_eq!(plan, expected, "{network} {left:?} {attempted:?}");
    }
}

#[test]
fn a_failed_renewal_ends_the_poll_unless_the_old_token_lasts() {
    let ends = [
        None,
        Some(PollEnd::Unavailable),
        Some(PollEnd::RenewalRefused { lost: false }),
        Some(PollEnd::RenewalRefused { lost: true }),
    ];
    for end in ends {
        assert_eq!(Remaining::Nothing.end_after(end.clone()), end);
        let is_lost = end == Some(PollEnd::RenewalRefused { lost: true });
        for remaining in [Remaining::Minutes, Remaining::Days] {
            assert_eq!(remaining.end_after(end.clone()), end.clone().filter(|_| is_lost), "{remaining:?}");
        }
    }
}

#[test]
fn a_renewal_that_failed_has_its_end() {
    for (renewed, end) in [
        (Renewed::Dead { lost: true }, PollEnd::RenewalRefused { lost: true }),
        (Renewed::Dead { lost: false }, PollEnd::RenewalRefused { lost: false }),
        (Renewed::Wait(at(9)), PollEnd::Limited(at(9))),
        (Renewed::Unknown, PollEnd::Unavailable),
        (Renewed::OurFault(VERSION), PollEnd::Operator(VERSION)),
    ] {
        assert_eq!(not_renewed(&renewed), end);
    }
    for (verdict, end) in [
        (Verdict::Token(TokenTrouble::Expired), PollEnd::Refused(TokenTrouble::Expired)),
        (wait(CooldownScope::TheApp), PollEnd::Limited(at(HOUR))),
        (Verdict::Malformed, PollEnd::Unavailable),
        (Verdict::OurFault(VERSION), PollEnd::Operator(VERSION)),
    ] {
        assert_eq!(not_refreshed(verdict), end);
    }
}

#[test]
fn a_network_that_takes_no_request_is_the_operators_matter() {
    for (status, operations, operator, end) in [
        (400, &[][..], None, PollEnd::Operator(OperatorFault::RequestRefused)),
        (404, &[INSPECTION][..], None, PollEnd::Operator(OperatorFault::RequestRefused)),
        (200, &[][..], None, PollEnd::Unavailable),
        (400, &["me"][..], None, PollEnd::Unavailable),
        (400, &["me"][..], Some(OperatorFault::AppAccess), PollEnd::Operator(OperatorFault::AppAccess)),
    ] {
        let mut history = CallHistory::default();
        history.note(&Verdict::Malformed, status);
        let findings = Findings { operator, ..answered(operations) };
        assert_eq!(history.end(&findings), end, "{status} {operations:?}");
        assert_eq!(end.allows_calls(), end != PollEnd::Operator(OperatorFault::RequestRefused));
    }
    // What one operation is refused ends no poll.
    let mut findings = Findings::default();
    let access = Verdict::OurFault(OperatorFault::AppAccess);
    assert_eq!(findings.follow("messages", access, true), FollowUp::GoOn);
    assert_eq!(CallHistory::default().end(&findings), PollEnd::Operator(OperatorFault::AppAccess));
    assert_eq!(findings.observations(&PollEnd::Operator(VERSION), None), [TokenObservation::Time]);
}

#[test]
fn a_fault_is_known_until_the_network_answers_without_it() {
    let (proof, access) = (OperatorFault::AppProof, OperatorFault::AppAccess);
    for (operations, end, before, met, mended, known) in [
        (&[][..], PollEnd::Operator(proof), None, Some(proof), None, Some(proof)),
        (&[][..], PollEnd::Operator(proof), Some(proof), Some(proof), None, Some(proof)),
        (&[][..], PollEnd::Unavailable, Some(proof), None, None, Some(proof)),
        (&[INSPECTION][..], PollEnd::Unavailable, Some(proof), None, None, Some(proof)),
        (&["me"][..], PollEnd::Complete, Some(proof), None, Some(proof), None),
        (&[][..], PollEnd::Operator(access), Some(proof), Some(access), Some(proof), Some(access)),
        (&["me"][..], PollEnd::Complete, None, None, None, None),
    ] {
        let news = answered(operations).operator_news(&end, before);
        assert_eq!(news, OperatorNews { met, mended, known }, "{operations:?} {end:?} {before:?}");
    }
    let renewal = Findings { app: Some(OperatorFault::ClientRefused), ..answered(&["me"]) };
    assert_eq!(renewal.operator_news(&PollEnd::Complete, None).met, Some(OperatorFault::ClientRefused));
}

#[test]
fn a_refused_token_is_renewed_once_if_it_expired() {
    for (method, renewed, trouble, may) in [
        (Some(OAUTH), false, TokenTrouble::Expired, true),
        (Some(OAUTH), true, TokenTrouble::Expired, false),
        (Some(OAUTH), false, TokenTrouble::Revoked, false),
        (Some(KEY), false, TokenTrouble::Expired, false),
        (Some(GrantType::AccessToken), false, TokenTrouble::Expired, false),
        (None, false, TokenTrouble::Expired, false),
    ] {
        let access = Access { renewed, ..access("a", None, None) };
        assert_eq!(access.may_renew(method, &trouble), may, "{method:?} {renewed} {trouble:?}");
    }
}

#[test]
fn a_tokens_end_is_no_trouble_while_we_can_renew_it() {
    let refused = PollEnd::Refused(TokenTrouble::Expired);
    for (method, renewed, renewal_failed, end, renewable) in [
        (Some(OAUTH), false, false, &PollEnd::Complete, true),
        (Some(KEY), true, false, &PollEnd::Complete, true),
        (Some(OAUTH), false, false, &refused, true),
        (Some(OAUTH), true, false, &refused, false),
        (Some(OAUTH), false, true, &PollEnd::Complete, false),
        (Some(GrantType::AccessToken), false, false, &PollEnd::Complete, false),
        (None, false, false, &PollEnd::Complete, false),
    ] {
        let access = Access { renewed, renewal_failed, ..access("a", None, None) };
        assert_eq!(access.is_renewable(method, end), renewable, "{method:?} {renewed} {end:?}");
    }
}

#[test]
fn a_renewed_token_takes_the_place_of_the_old_one() {
    for (refresh_token, kept) in [(Set::Keep, "r"), (Set::To(token("next")), "next")] {
        let mut access = access("old", Some("r"), Some(60));
        access.attempt = Some(RenewalAttempt { of: 1, at: at(0) });
        let access_token = Some(token("new"));
        let change = TokenChange { access_token, refresh_token, expires_at: Some(at(DAY)), version: 2 };
        let before = page(Network::X);
        let changed = with_new_token(&before, &change);
        assert_eq!((changed.page.token_version, changed.page.version), (2, 2));
        assert_eq!(
            (changed.page.token.expires_at, changed.page.token.state),
            (Some(at(DAY)), before.token.state)
        );
        assert!(!changed.rerouted && changed.token.as_ref() == Some(&change));
        access.take_over(token("new"), change);
        let expected = Token {
            access_token: token("new"),
            refresh_token: Some(token(kept)),
            expires_at: Some(at(DAY)),
            version: 2,
        };
        assert_eq!(access, Access { renewed: true, ..Access::new(expected, None) });
    }
}

#[test]
fn a_token_of_metas_is_inspected_once_a_day_and_at_its_end() {
    for network in Network::ALL {
        let inspection = network.spec().token.inspection;
        let by_facebook = inspection.and_then(|one| (one.permissions)(&token("EAAB1"), None)).is_some();
        assert_eq!(by_facebook, matches!(network, Network::Facebook | Network::Instagram), "{network}");
    }
    let instagram = Network::Instagram.spec().token.inspection.unwrap();
    assert_eq!((instagram.permissions)(&token("IGAA1"), None), None);
    let ends = |expires_at: Option<i64>, consent_ends_at: Option<i64>| {
        let (expires_at, consent_ends_at) = (expires_at.map(at), consent_ends_at.map(at));
        let before = page(Network::Facebook);
        let token = TokenStatus { expires_at, consent_ends_at, ..before.token.clone() };
        Page { token, ..before }
    };
    for (page, last, due) in [
        (ends(None, None), None, true),
        (ends(None, None), Some(2 * DAY - 1), false),
        (ends(None, None), Some(DAY), true),
        (ends(Some(2 * DAY), None), Some(2 * DAY - 1), true),
        (ends(None, Some(2 * DAY)), Some(2 * DAY - 1), true),
        (ends(Some(2 * DAY + 1), None), Some(2 * DAY - 1), false),
    ] {
        assert_eq!(inspection_is_due(&page, last.map(at), at(2 * DAY)), due, "{last:?} {:?}", page.token);
    }
}

#[test]
fn a_pushed_id_is_completed_denied_or_left_waiting() {
    let event = || Event {
        network: Network::Instagram,
        by: By::Poll,
        shape: Shape::MetaObject,
        field: "mentions".to_owned(),
        sent_at: None,
        raw: RawValue::from_string("{}".to_owned()).unwrap(),
        beside: None,
    };
    for (has_event, verdict, given_up, expected) in [
        (true, Verdict::Fine, false, "ready with an event"),
        (true, wait(CooldownScope::TheApp), false, "ready with an event"),
        (false, Verdict::Fine, false, "nothing"),
        (false, Verdict::Gone, false, "ready"),
        (false, Verdict::Malformed, true, "ready"),
        (false, Verdict::Malformed, false, "waits"),
        (false, Verdict::Transient, true, "waits"),
        (false, Verdict::Token(TokenTrouble::Revoked), true, "waits"),
        (false, Verdict::Token(narrowed(None)), true, "denied"),
        (true, Verdict::Token(narrowed(None)), false, "denied"),
    ] {
        let found = match completion(has_event.then(event), &verdict, given_up) {
            Completion::Ready(Some(_)) => "ready with an event",
            Completion::Ready(None) => "ready",
            Completion::Nothing => "nothing",
            Completion::Denied => "denied",
            Completion::Waits => "waits",
        };
        assert_eq!(found, expected, "{has_event} {verdict:?} {given_up}");
    }
    assert!(!is_given_up(at(0), at(DAY)) && is_given_up(at(0), at(DAY + 1)));
}

#[test]
fn pushed_ids_are_completed_from_either_end_by_turns() {
    // The ticks of an hour, of which each begins another quarter.
    let begin = Timestamp::from_second(1_790_000_000 / 3600 * 3600).unwrap();
    let firsts = [0, 1, 2, 3].map(|quarter| {
        let at = after(begin, TICK * quarter);
        completes_newest_first(Some(&LastTick { at, ..last(0, TickResult::Ok) }))
    });
    assert_eq!(firsts, [true, false, true, false]);
    assert!(!completes_newest_first(None));
    let pushed = Network::ALL.map(is_pushed);
    assert_eq!(pushed, [true, true, true, true, false, true]);
}

#[test]
fn a_planned_poll_begins_where_nobody_serves_its_plan() {
    let at = |second: i64| Some(Timestamp::from_second(1000 + second).unwrap());
    let state = |next_at, planned_at, lease_until| TurnState { next_at, planned_at, lease_until };
    for (what, state, planned, asked) in [
        ("a new page", state(at(0), None, None), true, true),
        ("one that is due", state(at(50), at(10), None), true, true),
        ("one that is not due", state(at(51), at(10), None), false, true),
        ("a dead token's", state(None, at(10), None), false, false),
        ("one whose plan was served", state(at(0), at(40), None), false, false),
        ("one whose next plan was served", state(at(0), at(41), None), false, false),
        ("one that is polled", state(at(0), at(40), at(51)), false, false),
        ("one that is polled out of turn", state(at(0), at(10), at(51)), false, false),
        ("a dead worker's", state(at(0), at(40), at(50)), true, true),
        ("a dead worker's of the next plan", state(at(0), at(41), at(50)), false, false),
    ] {
        let begins = |asked_for| is_its_turn(state, at(40).unwrap(), asked_for, at(50).unwrap());
        assert_eq!((begins(false), begins(true)), (planned, asked), "{what}");
    }
    assert!(!needs_lease(at(0).unwrap(), at(29).unwrap()) && needs_lease(at(0).unwrap(), at(30).unwrap()));
}
