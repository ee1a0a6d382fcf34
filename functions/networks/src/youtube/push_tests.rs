use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::collected::{Action, Kind, Published};
use crate::inbox::{EntryKey, Wanted};
use crate::normalise;
use crate::push::split_of_page;

const CHANNEL: &str = "UCfixture_0000000000001";

fn channel() -> NetworkId {
    CHANNEL.parse().unwrap()
}

fn entry(video: &str, title: &str, updated: &str) -> String {
    format!(
        r#"<entry><id>yt:video:{video}</id><yt:videoId>{video}</yt:videoId><yt:channelId>{CHANNEL}</yt:channelId>
        <title>{title}</title><link rel="alternate" href="https://www.youtube.com/watch?v={video}"/>
        <author><name>Loja</name><uri>https://www.youtube.com/channel/{CHANNEL}</uri></author>
        <published>2026-11-20T12:00:00+00:00</published><updated>{updated}</updated></entry>"#
    )
}

fn feed(entries: &str) -> Vec<u8> {
    format!(
        r#"<?xml version='1.0' encoding='UTF-8'?>
        <feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom"
         xmlns:at="http://purl.org/atompub/tombstones/1.0"><link rel="hub" href="https://pubsubhubbub.appspot.com"/>
        <title>YouTube video feed</title><updated>2026-11-20T12:00:05+00:00</updated>{entries}</feed>"#
    )
    .into_bytes()
}

fn gone(video: &str, when: &str) -> String {
    format!(
        r#"<at:deleted-entry ref="yt:video:{video}" when="{when}"><link href="https://a"/></at:deleted-entry>"#
    )
}

fn readings(body: &[u8]) -> Vec<crate::inbox::Reading> {
    let updates = split_of_page(Network::Youtube, &channel(), body);
    updates.iter().map(|update| normalise::read(&update.event, &channel())).collect()
}

#[test]
fn a_feed_of_several_entries_is_as_many_updates() {
    let body = feed(&format!(
        "{}{}{}",
        entry("vid-1", "Um &amp; dois", "2026-11-20T12:00:05.552394234+00:00"),
        entry("vid-2", "Dois", "2026-11-20T12:00:05+00:00"),
        gone("vid-3", "2026-11-20T12:00:05.642702+00:00"),
    ));
    let read = readings(&body);
    let wanted = |video: &str| Some(Wanted::Video { video: video.to_owned(), edited: false });
    assert_eq!(
        read.iter().map(|one| one.wanted.clone()).collect::<Vec<_>>(),
        [wanted("vid-1"), wanted("vid-2"), None]
    );
    let first = &read[0].content;
    assert_eq!(
        (first.text.as_deref(), first.kind, first.published),
        (Some("Um & dois"), Kind::Post, Published::ByThePage)
    );
    assert_eq!(first.link.as_deref(), Some("https://www.youtube.com/watch?v=vid-1"));
    assert_eq!(first.occurred_at.unwrap().to_string(), "2026-11-20T12:00:00Z");
    assert_eq!((&*read[2].thing, read[2].content.action), ("post:vid-3", Action::Deleted));
    assert_eq!(read[2].content.published, Published::ByThePage);
}

#[test]
fn a_repeat_is_the_same_entry_and_a_later_change_another() {
    let keys = |body: &[u8]| -> Vec<EntryKey> {
        readings(body).iter().map(|read| EntryKey::new(&read.thing, &read.version)).collect()
    };
    let at = |second: u32| feed(&entry("vid-1", "Um", &format!("2026-11-20T12:00:0{second}+00:00")));
    assert_eq!(keys(&at(1)), keys(&at(1)));
    assert_ne!(keys(&at(1)), keys(&at(2)));
    let gone_at = |second: u32| feed(&gone("vid-1", &format!("2026-11-20T12:00:0{second}+00:00")));
    assert_eq!(keys(&gone_at(1)), keys(&gone_at(1)));
    assert_ne!(keys(&gone_at(1)), keys(&gone_at(2)), "it may be taken away, shown, and taken away again");
}

#[test]
fn the_channel_is_that_of_the_address_or_else_the_feeds() {
    let body = feed(&entry("vid-1", "Um", "2026-11-20T12:00:05+00:00"));
    assert_eq!(crate::push::split(Network::Youtube, &body)[0].owners, [channel()]);
    let other: NetworkId = "UCother".parse().unwrap();
    assert_eq!(split_of_page(Network::Youtube, &other, &body)[0].owners, std::slice::from_ref(&other));
    let by = format!(
        r#"<at:deleted-entry ref="yt:video:a" when="2026-11-20T12:00:05+00:00"><at:by><name>Loja</name>
        <uri>https://www.youtube.com/channel/{CHANNEL}</uri></at:by></at:deleted-entry>"#
    );
    assert_eq!(crate::push::split(Network::Youtube, &feed(&by))[0].owners, [channel()]);
}

#[test]
fn what_is_no_feed_is_kept_whole_as_nobodys() {
    let expanding = br#"<!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>
        <feed xmlns="http://www.w3.org/2005/Atom"><entry><id>&b;</id></entry></feed>"#;
    let many = feed(&gone("a", "2026-11-20T12:00:05+00:00").repeat(MAX_ENTRIES + 1));
    for body in [b"".as_slice(), b"{}", b"\xff", b"<feed/>", expanding, &many] {
        let updates = split_of_page(Network::Youtube, &channel(), body);
        let is_kept = updates.len() == 1 && updates[0].owners.is_empty();
        assert!(
            is_kept && updates[0].event.shape == Shape::Unknown,
            "{:?}",
            String::from_utf8_lossy(body).get(..99)
        );
    }
}

#[test]
fn a_deep_feed_is_read_without_its_depths() {
    let deep = feed(&format!("{}{}", "<entry>".repeat(30_000), "</entry>".repeat(30_000)));
    let updates = split_of_page(Network::Youtube, &channel(), &deep);
    assert_eq!((updates.len(), updates[0].event.raw.get().len() < 100), (1, true));
    assert_eq!(readings(&deep)[0].content.kind, Kind::Other);
}

#[test]
fn a_challenge_is_answered_for_the_addresss_own_channel() {
    let (secrets, topic_of) = (AppSecret::list("planted"), |id: &str| format!("{}{id}", TOPICS[1]));
    let callback = address::of_page("https://a.example", Network::Youtube, &channel(), &secrets).unwrap();
    let key = callback.rsplit('=').next().unwrap();
    let ask = |mode: &str, topic: &str, challenge: &str, key: &str| {
        let query = |name: &str| match name {
            "hub.mode" => Some(mode),
            "hub.topic" => Some(topic),
            "hub.challenge" => Some(challenge),
            "channel" => Some(CHANNEL),
            "key" => Some(key),
            _ => None,
        };
        super::challenge(&secrets, &query).map(|answer| (answer.body, answer.only_if.unwrap()))
    };
    let (body, topic) = ("challenge-1".to_owned(), topic_of(CHANNEL));
    assert_eq!(ask("subscribe", &topic, &body, key).unwrap(), (body.clone(), PageIs::Connected(channel())));
    assert_eq!(ask("subscribe", &super::topic(&channel()), &body, key).unwrap().0, body);
    assert_eq!(ask("unsubscribe", &topic, &body, key).unwrap().1, PageIs::NotConnected(channel()));
    for (topic, key) in
        [(topic_of("UCother"), key), (topic.clone(), "another"), ("https://a".to_owned(), key)]
    {
        assert_eq!(ask("subscribe", &topic, &body, key), Err(ChallengeError::Unwanted), "{topic}");
    }
    for (mode, challenge) in [("subscribe", "<b>"), ("subscribe", ""), ("denied", "a")] {
        assert_eq!(ask(mode, &topic, challenge, key), Err(ChallengeError::Malformed), "{mode} {challenge}");
    }
}

#[test]
fn the_signature_of_the_rfc_is_taken() {
    // RFC 2202, test case 2.
    let secrets = AppSecret::list("Jefe");
    let signature = "sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    assert!(is_genuine(&secrets, signature, b"what do ya want for nothing?"));
    assert!(!is_genuine(&secrets, &signature[5..], b"what do ya want for nothing?"));
}

proptest! {
    #[test]
    fn any_bytes_are_at_least_one_update(body in prop::collection::vec(any::<u8>(), 0..300), at in any::<Index>()) {
        prop_assert!(!crate::push::split(Network::Youtube, &body).is_empty());
        let mut torn = feed(&entry("a", "b", "c"));
        let at = at.index(torn.len());
        torn.splice(at..at, body);
        prop_assert!(crate::push::split(Network::Youtube, &torn).len() <= 1);
    }
}
