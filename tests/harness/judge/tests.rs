//! The judge notices each thing that can be wrong, and finds nothing wrong with a clean record.

use super::*;

const fn span(began_ms: u64, ended_ms: u64) -> Span {
    Span { began_ms, ended_ms }
}

fn types(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn item(number: usize, answer: Answer) -> Item {
    Item {
        mark: format!("mark{number}"),
        account: "account".into(),
        item_type: "event".into(),
        digest: Some(format!("digest{number}")),
        asked: vec![Asked { span: span(100, 110), answer }],
    }
}

fn accepted(number: usize) -> Item {
    item(number, Answer::Accepted(Some(format!("item{number}"))))
}

fn webhook(id: &str, takes: &[&str]) -> Webhook {
    let created = span(10, 20);
    Webhook {
        id: id.into(),
        account: "account".into(),
        created,
        deleted: None,
        takes: vec![(created, types(takes))],
    }
}

fn arrival(number: usize, at_ms: u64) -> Arrival {
    Arrival {
        webhook: "here".into(),
        id: format!("item{number}"),
        mark: Some(format!("mark{number}")),
        digest: format!("digest{number}"),
        at_ms,
        succeeded: true,
        is_signed: true,
    }
}

fn handing(message: &str, at: Span, returned: Returned) -> Handing {
    Handing { message: message.into(), webhook: "here".into(), id: "item0".into(), span: at, returned }
}

/// Three items for one of two webhooks, each of which came there once.
fn clean() -> Record {
    let mut other = webhook("other", &["contact"]);
    other.account = "another".into();
    Record {
        items: (0..3).map(accepted).collect(),
        webhooks: vec![webhook("here", &["event"]), other],
        arrivals: (0..3).map(|number| arrival(number, 200)).collect(),
        ..Record::default()
    }
}

fn verdicts(record: &Record) -> Vec<Verdict> {
    judge(record, 1000).0
}

fn of_here(wrong: impl Fn(String, String) -> Verdict) -> Vec<Verdict> {
    vec![wrong("mark0".into(), "here".into())]
}

#[test]
fn a_clean_record_has_nothing_wrong_with_it() {
    let (verdicts, counts) = judge(&clean(), 1000);
    assert_eq!(verdicts, []);
    assert_eq!((counts.items, counts.accepted, counts.expected, counts.arrivals), (3, 3, 3, 3));
    assert!(counts.duplicates.is_empty() && counts.lost == 0);
}

#[test]
fn an_item_that_never_came_is_lost() {
    let mut record = clean();
    record.arrivals.remove(0);
    assert_eq!(verdicts(&record), of_here(|mark, webhook| Verdict::Lost { mark, webhook }));
    assert_eq!(judge(&record, 1000).1.lost, 1);
    // It came, and was never answered as a success.
    record.arrivals.push(Arrival { succeeded: false, ..arrival(0, 300) });
    assert_eq!(verdicts(&record), of_here(|mark, webhook| Verdict::Lost { mark, webhook }));
}

#[test]
fn an_item_that_is_kept_is_not_lost_but_counted() {
    for kept in [Kept::Held, Kept::Dead] {
        let mut record = clean();
        record.arrivals.remove(0);
        record.remaining.push(Remaining { webhook: "here".into(), id: "item0".into(), kept });
        let (verdicts, counts) = judge(&record, 1000);
        assert_eq!((verdicts, counts.kept), (vec![], BTreeMap::from([(kept, 1)])));
        record.remaining[0].webhook = "other".into();
        assert_eq!(judge(&record, 1000).1.lost, 1, "it is kept for another webhook");
    }
}

#[test]
fn an_unanswered_item_may_come_and_a_refused_one_must_not() {
    let mut record = clean();
    record.items[0] = item(0, Answer::Unknown);
    assert_eq!(verdicts(&record), []);
    record.arrivals.remove(0);
    assert_eq!(verdicts(&record), []);
    record.items[1] = item(1, Answer::Refused);
    let (mark, webhook) = ("mark1".into(), "here".into());
    assert_eq!(verdicts(&record), [Verdict::ArrivedThoughRefused { mark, webhook }]);
}

#[test]
fn other_bytes_or_a_wrong_signature_are_an_alteration() {
    let mut record = clean();
    record.arrivals[0].digest = "another".into();
    assert_eq!(verdicts(&record), of_here(|mark, webhook| Verdict::Altered { mark, webhook }));
    record.arrivals[0] = Arrival { is_signed: false, ..arrival(0, 200) };
    assert_eq!(verdicts(&record), of_here(|mark, webhook| Verdict::Altered { mark, webhook }));
}

#[test]
fn another_accounts_or_types_webhook_is_the_wrong_one() {
    for takes in [["event"], ["contact"]] {
        let mut record = clean();
        record.webhooks[1].takes[0].1 = types(&takes);
        record.webhooks[1].account = if takes == ["event"] { "another".into() } else { "account".into() };
        record.arrivals.push(Arrival { webhook: "other".into(), ..arrival(0, 300) });
        let (mark, webhook) = ("mark0".into(), "other".into());
        assert_eq!(verdicts(&record), [Verdict::WrongWebhook { mark, webhook }]);
    }
    // One that was created after the item was answered cannot have been found.
    let mut record = clean();
    let created = span(111, 120);
    let late = Webhook { created, takes: vec![(created, types(&["event"]))], ..webhook("late", &[]) };
    record.webhooks.push(late);
    record.arrivals.push(Arrival { webhook: "late".into(), ..arrival(0, 300) });
    let (mark, webhook) = ("mark0".into(), "late".into());
    assert_eq!(verdicts(&record), [Verdict::WrongWebhook { mark, webhook }]);
}

#[test]
fn an_id_that_no_answer_named_is_wrong() {
    let mut record = clean();
    record.arrivals.push(Arrival { id: "item9".into(), ..arrival(0, 300) });
    let wrong = verdicts(&record);
    assert!(wrong.contains(&Verdict::WrongId { mark: "mark0".into(), id: "item9".into() }), "{wrong:?}");
}

#[test]
fn what_comes_long_after_a_deletion_is_noticed() {
    let mut record = clean();
    record.webhooks[0].deleted = Some(span(150, 160));
    record.arrivals[0].at_ms = 160 + 1000;
    assert_eq!(verdicts(&record), [], "it was under way");
    record.arrivals[0].at_ms += 1;
    assert_eq!(verdicts(&record), of_here(|mark, webhook| Verdict::AfterDeletion { mark, webhook }));
    // What a deleted webhook never got is not missed.
    record.arrivals.clear();
    assert_eq!(verdicts(&record), []);
}

#[test]
fn what_comes_after_its_type_was_taken_away_is_noticed() {
    let mut record = clean();
    record.webhooks[0].takes.push((span(150, 160), types(&["contact"])));
    assert_eq!(verdicts(&record), []);
    record.arrivals[0].at_ms = 160 + 1001;
    assert_eq!(verdicts(&record), of_here(|mark, webhook| Verdict::NotTaken { mark, webhook }));
    record.webhooks[0].takes.push((span(500, 510), types(&["event"])));
    assert_eq!(verdicts(&record), [], "it takes the type again");
}

#[test]
fn what_nobody_published_is_noticed() {
    for mark in [None, Some("mark9".to_owned())] {
        let mut record = clean();
        record.arrivals.push(Arrival { mark, id: "item9".into(), ..arrival(9, 300) });
        let (id, webhook) = ("item9".into(), "here".into());
        assert_eq!(verdicts(&record), [Verdict::Unpublished { id, webhook }]);
    }
}

fn doubled() -> Record {
    let mut record = clean();
    record.arrivals.push(arrival(0, 300));
    record.handings.push(handing("a", span(190, 250), Returned::Done));
    record
}

fn explained_by(record: &Record) -> Option<Explanation> {
    let (verdicts, counts) = judge(record, 1000);
    let duplicates: Vec<_> = counts.duplicates.into_iter().collect();
    match (&verdicts[..], &duplicates[..]) {
        ([], [(explanation, 1)]) => Some(*explanation),
        ([Verdict::UnexplainedDuplicate { id, at_ms: 300, .. }], []) if id == "item0" => None,
        other => panic!("{other:?}"),
    }
}

fn disturbance(function: &str, at_ms: u64, broken: Broken) -> Disturbance {
    Disturbance { function: function.into(), at_ms, broken }
}

#[test]
fn a_duplicate_without_a_reason_is_unexplained() {
    let mut record = doubled();
    assert_eq!(explained_by(&record), None);
    // Nor is it where what was broken befell another function, at another time, or another item's message.
    record.disturbances.push(disturbance("DeliverFunction", 251, Broken::Killed));
    record.disturbances.push(disturbance("CollectFunction", 200, Broken::Killed));
    record.handings.push(Handing { id: "item1".into(), ..handing("b", span(240, 260), Returned::Twice) });
    assert_eq!(explained_by(&record), None);
    // Nor by what came after it.
    record.handings.push(handing("a", span(301, 310), Returned::AnswerLost));
    assert_eq!(explained_by(&record), None);
}

#[test]
fn a_duplicate_is_explained_by_what_befell_its_message() {
    for (returned, explanation) in
        [(Returned::Twice, Explanation::HandedOutTwice), (Returned::AnswerLost, Explanation::AnswerLost)]
    {
        let mut record = doubled();
        record.handings[0].returned = returned;
        assert_eq!(explained_by(&record), Some(explanation));
    }
    for (broken, explanation) in
        [(Broken::Killed, Explanation::DeliverKilled), (Broken::Call, Explanation::DeliverDisturbed)]
    {
        let mut record = doubled();
        record.disturbances.push(disturbance("DeliverFunction", 200, broken));
        assert_eq!(explained_by(&record), Some(explanation));
    }
}

#[test]
fn a_duplicate_of_two_messages_is_explained_by_who_queued_them() {
    let mut record = doubled();
    record.handings.push(handing("b", span(290, 310), Returned::Done));
    assert_eq!(explained_by(&record), None, "two messages, and nothing was broken");
    record.disturbances.push(disturbance("CollectFunction", 280, Broken::Call));
    assert_eq!(explained_by(&record), Some(Explanation::ReleasedTwice));
    record.disturbances.push(disturbance("IngestFunction", 105, Broken::Call));
    assert_eq!(explained_by(&record), Some(Explanation::QueuedTwice));
    let mut record = doubled();
    record.handings.push(handing("b", span(290, 310), Returned::Done));
    let again = record.items[0].asked[0].clone();
    record.items[0].asked.push(again);
    assert_eq!(explained_by(&record), Some(Explanation::QueuedTwice));
}

#[test]
fn one_content_under_two_ids_needs_two_requests() {
    let mut record = clean();
    record.items[0].asked[0].answer = Answer::Unknown;
    record.arrivals.push(Arrival { id: "item9".into(), ..arrival(0, 300) });
    let wrong = verdicts(&record);
    assert!(matches!(&wrong[..], [Verdict::UnexplainedDuplicate { id, .. }] if id == "item9"), "{wrong:?}");
    let asked = Asked { span: span(120, 130), answer: Answer::Accepted(Some("item9".into())) };
    record.items[0].asked.push(asked);
    let (verdicts, counts) = judge(&record, 1000);
    assert_eq!((verdicts, counts.duplicates), (vec![], BTreeMap::from([(Explanation::SentAgain, 1)])));
}

#[test]
fn a_failed_attempt_and_its_retry_are_no_duplicate() {
    let mut record = clean();
    record.arrivals.insert(0, Arrival { succeeded: false, ..arrival(0, 150) });
    let (verdicts, counts) = judge(&record, 1000);
    assert_eq!((verdicts, counts.duplicates.len()), (vec![], 0));
}
