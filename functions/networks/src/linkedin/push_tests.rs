use serde_json::{Value, json};

use super::*;
use crate::collected::{Action, Kind, Published};
use crate::inbox::{EntryKey, Reading, Wanted};
use crate::normalise;

fn owner() -> NetworkId {
    "1337".parse().unwrap()
}

/// A notification, as LinkedIn's documentation has it.
fn notification(id: i64, action: &str, comment: &str, text: Option<&str>) -> Value {
    let mut told = json!({
        "notificationId": id, "organizationalEntity": "urn:li:organization:1337", "action": action,
        "sourcePost": "urn:li:activity:71", "lastModifiedAt": 1_795_262_405_123_i64,
        "subscriber": "urn:li:person:m1", "generatedActivity": format!("urn:li:comment:(activity:71,{comment})"),
    });
    if let Some(text) = text {
        let urn = format!("urn:li:comment:(urn:li:activity:71,{comment})");
        told["decoratedGeneratedActivity"] =
            json!({"comment": {"entity": urn, "owner": "urn:li:person:a", "text": text}});
    }
    told
}

fn readings(notifications: &[Value]) -> Vec<Reading> {
    let body = json!({"type": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS", "notifications": notifications});
    let updates = split(body.to_string().as_bytes()).unwrap();
    assert!(updates.iter().all(|update| update.owners == [owner()]));
    updates.iter().map(|update| normalise::read(&update.event, &owner())).collect()
}

fn key(reading: &Reading) -> EntryKey {
    EntryKey::new(&reading.thing, &reading.version)
}

#[test]
fn a_batch_of_ten_is_ten_updates_of_their_pages() {
    let batch: Vec<Value> =
        (0..10).map(|id| notification(id - 5, "COMMENT", &id.to_string(), Some("oi"))).collect();
    let read = readings(&batch);
    let keys: std::collections::BTreeSet<_> = read.iter().map(key).collect();
    assert_eq!((read.len(), keys.len()), (10, 10));
}

#[test]
fn a_pushed_comment_is_the_entry_of_a_listed_one() {
    let pushed = &readings(&[notification(1, "COMMENT", "5", Some("oi"))])[0];
    let listed = json!({
        "id": "5", "commentUrn": "urn:li:comment:(urn:li:activity:71,5)", "object": "urn:li:activity:71",
        "actor": "urn:li:person:a", "message": {"text": "oi"}, "created": {"time": 1}, "lastModified": {"time": 1},
    });
    let raw = serde_json::value::to_raw_value(&listed).unwrap();
    let (network, by, field) = (Network::Linkedin, By::Poll, "comment".to_owned());
    let event = Event { network, by, shape: Shape::LinkedinComment, field, sent_at: None, raw, beside: None };
    let listed = normalise::read(&event, &owner());
    assert_eq!((&*pushed.thing, key(pushed)), (&*listed.thing, key(&listed)));
    assert_eq!((pushed.wanted.clone(), pushed.content.kind), (None, Kind::Comment));
}

#[test]
fn each_action_is_read_as_what_it_is() {
    for (action, kind, done) in [
        ("COMMENT", Kind::Comment, Action::Created),
        ("ADMIN_COMMENT", Kind::Comment, Action::Created),
        ("COMMENT_EDIT", Kind::Comment, Action::Edited),
        ("COMMENT_DELETE", Kind::Comment, Action::Deleted),
        ("SHARE", Kind::Share, Action::Created),
        ("SHARE_MENTION", Kind::Mention, Action::Created),
        ("LIKE", Kind::Reaction, Action::Created),
        ("WHAT_IS_THIS", Kind::Other, Action::Created),
    ] {
        let read = &readings(&[notification(1, action, "5", Some("oi"))])[0];
        assert_eq!((read.content.kind, read.content.action, &read.wanted), (kind, done, &None), "{action}");
    }
}

#[test]
fn a_like_names_nobody_and_is_told_once() {
    let mut like = notification(-7, "LIKE", "5", None);
    like.as_object_mut().unwrap().remove("generatedActivity");
    let read = readings(&[like.clone(), like]);
    assert_eq!((&*read[0].thing, key(&read[0]) == key(&read[1])), ("notification:-7", true));
    assert_eq!((&read[0].content.author, read[0].content.published), (&None, Published::Interaction));
}

#[test]
fn a_comment_without_its_text_is_asked_for() {
    let wanted = Some(Wanted::Comment { comment: "urn:li:comment:(urn:li:activity:71,5)".to_owned() });
    for action in ["COMMENT", "ADMIN_COMMENT", "COMMENT_EDIT", "COMMENT_MENTION"] {
        let read = &readings(&[notification(1, action, "5", None)])[0];
        assert_eq!((&read.wanted, read.says()), (&wanted, false), "{action}");
    }
    assert_eq!(readings(&[notification(1, "COMMENT_DELETE", "5", None)])[0].wanted, None);
}

#[test]
fn what_is_no_notification_is_kept_whole_as_nobodys() {
    for body in ["", "{}", "[]", r#"{"type":"LEAD_ACTION","leadAction":"CREATED"}"#] {
        let updates = crate::push::split(Network::Linkedin, body.as_bytes());
        assert!(updates.len() == 1 && updates[0].owners.is_empty(), "{body}");
    }
    let of_nobody = split(br#"{"notifications":[{"action":"LIKE"},7]}"#).unwrap();
    assert!(of_nobody.iter().all(|update| update.event.shape == Shape::Unknown && update.owners.is_empty()));
}

#[test]
fn a_challenge_is_answered_and_never_signs_a_push() {
    let secrets = AppSecret::list("planted,former");
    let ask = |text: Option<&str>| challenge(&secrets, &|name| text.filter(|_| name == "challengeCode"));
    let code = "890e4665-4dfe-4ab1-b689-ed553bceeed0";
    let answer: Value = serde_json::from_str(&ask(Some(code)).unwrap().body).unwrap();
    let mac = hexadecimal(&secrets[0].mac(code.as_bytes()).unwrap());
    assert_eq!(answer, json!({"challengeCode": code, "challengeResponse": mac}));
    for text in [None, Some(""), Some("hmacsha256={}"), Some("a b"), Some(&*"a".repeat(65))] {
        assert_eq!(ask(text).unwrap_err(), ChallengeError::Malformed, "{text:?}");
    }
    assert_eq!(challenge(&[], &|_| Some(code)).unwrap_err(), ChallengeError::Refused);
}

#[test]
fn a_signature_is_taken_with_its_prefix_and_without() {
    let (secrets, body) = (AppSecret::list("a,b"), br#"{"notifications":[]}"#);
    let good = sign(&secrets[1], body);
    assert!(is_genuine(&secrets, &good, body) && is_genuine(&secrets, &format!("hmacsha256={good}"), body));
    let of_the_body_alone = hexadecimal(&secrets[0].mac(body).unwrap());
    for bad in ["", "hmacsha256=", &good.to_uppercase(), &of_the_body_alone, &format!("sha256={good}")] {
        assert!(!is_genuine(&secrets, bad, body), "{bad}");
    }
}
