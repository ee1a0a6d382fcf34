//! What is promised of each parser, for any bytes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use carteiro_core::address::{PrivateTargets, WebhookUrl};
use carteiro_core::credentials::{Fresh, Rotation};
use carteiro_core::id::{AccountId, PageId, WebhookId};
use carteiro_core::item::MAX_ITEM_BYTES;
use carteiro_core::signature::{KeyPair, PublicKey, Secret, Signer, Verifier, sign, verify};
use carteiro_core::webhook::{NewWebhook, Settings, Webhook};
use carteiro_core::{cursor, item, ndjson};
use carteiro_networks::collected::{By, Envelope, render};
use carteiro_networks::inbox::{EntryKey, Event, Shape};
use carteiro_networks::network::{Network, NetworkId};
use carteiro_networks::push::signature::AppSecret;
use carteiro_networks::{meta, normalise, push, x};
use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub(crate) fn push_to_facebook(input: &[u8]) -> String {
    pushed(Network::Facebook, input)
}

pub(crate) fn push_to_instagram(input: &[u8]) -> String {
    pushed(Network::Instagram, input)
}

pub(crate) fn push_to_x(input: &[u8]) -> String {
    pushed(Network::X, input)
}

fn pushed(route: Network, input: &[u8]) -> String {
    let updates = push::split(route, input);
    // Of lists that are empty there is no update.
    assert!(!updates.is_empty() || input.contains(&b'['));
    let mut told = BTreeSet::new();
    let mut size = 0;
    for update in &updates {
        let stored = serde_json::to_string(&update.event).unwrap();
        size += stored.len();
        // Reading all is slow; the first thousand of a push are as different as all of them.
        if told.len() < 50 {
            let owner = update.owners.first().cloned();
            let owner = owner.unwrap_or_else(|| "900100200300400500".parse().unwrap());
            told.insert(format!(
                "{} {}",
                update.owners.len().min(2),
                stored_event(&stored, &update.event, &owner)
            ));
        }
    }
    // An update has some 200 bytes of its own; the shortest element has two.
    assert!(size <= 250 * input.len() + 8192, "{size} bytes are stored of {}", input.len());
    told.into_iter().collect::<Vec<_>>().join("; ")
}

/// A stored event of any shape: the first byte chooses it, the second the field, and the rest is the JSON.
pub(crate) fn event(input: &[u8]) -> String {
    const SHAPES: [Shape; 6] = [
        Shape::MetaChange,
        Shape::MetaMessaging,
        Shape::MetaStandby,
        Shape::XAccountActivity,
        Shape::XActivity,
        Shape::Unknown,
    ];
    let [shape, field, json @ ..] = input else { return "short".to_owned() };
    let json = std::str::from_utf8(json).ok();
    let Some(raw) = json.and_then(|json| RawValue::from_string(json.to_owned()).ok()) else {
        return "no JSON".to_owned();
    };
    let shape = SHAPES[usize::from(*shape) % SHAPES.len()];
    let fields = crate::samples::FIELDS;
    let networks = [Network::Facebook, Network::Instagram];
    let network = match shape {
        Shape::XAccountActivity | Shape::XActivity => Network::X,
        _ => networks[usize::from(*field) % 2],
    };
    let field = fields[usize::from(*field) % fields.len()].to_owned();
    let value = serde_json::from_str::<Value>(raw.get()).ok();
    let beside = value.and_then(|value| value.get("beside").cloned());
    let event = Event { network, by: By::Poll, shape, field, sent_at: None, raw, beside };
    stored_event(&serde_json::to_string(&event).unwrap(), &event, &"900100200300400500".parse().unwrap())
}

pub(crate) fn stored_event(stored: &str, event: &Event, owner: &NetworkId) -> String {
    let reading = normalise::read(event, owner);
    let again: Event = serde_json::from_str(stored).unwrap();
    assert_eq!(again.raw.get(), event.raw.get());
    assert_eq!(reading, normalise::read(&again, owner), "what is stored is read otherwise");
    let key = EntryKey::new(&reading.thing, &reading.version);
    assert_eq!(EntryKey::from_stored(key.as_str()).as_ref(), Some(&key));
    let page = PageId::from_bits(1);
    let id = key.item(&page);
    let collected_at = "2026-11-21T12:00:00Z".parse().unwrap();
    let envelope = Envelope {
        id: &id,
        network: event.network,
        page: &page,
        thing: reading.network_id(),
        collected_at,
        by: event.by,
    };
    let item = render(&reading.content, &envelope, &event.raw);
    assert!(item.len() <= MAX_ITEM_BYTES, "{}", item.len());
    serde_json::from_slice::<IgnoredAny>(&item).unwrap();
    item::read_head(&item).unwrap();
    let content = &reading.content;
    format!(
        "{:?} {} {:?} {:?} {:?} {:?} {:?} {:?}",
        event.shape,
        event.field,
        (content.kind, content.action, content.published, reading.signal),
        (
            content.occurred_at.is_some(),
            content.text.is_some(),
            content.link.is_some(),
            content.attachments.len().min(2)
        ),
        content.author.as_ref().map(|author| (
            author.id.is_some(),
            author.name.is_some(),
            author.username.is_some()
        )),
        content.parent.as_ref().map(|parent| parent.kind),
        reading.wanted.is_some(),
        reading.thing.split(':').next(),
    )
}

/// A secret, a header and a body, a line each: none but the signature of the body passes.
pub(crate) fn network_signature(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(3, '\n');
    let [secrets, header, body] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let list = AppSecret::list(secrets);
    let mut told = format!("{} ", list.len().min(3));
    for (is_theirs, sign, is_any_body_taken) in [
        (
            meta::signature::is_genuine as fn(&[AppSecret], &str, &[u8]) -> bool,
            meta::signature::sign as fn(&AppSecret, &[u8]) -> String,
            true,
        ),
        (x::signature::is_genuine, x::signature::sign, false),
    ] {
        let right: Vec<String> = list.iter().map(|secret| sign(secret, body.as_bytes())).collect();
        let is_taken =
            is_any_body_taken || body.trim_start_matches([' ', '\t', '\r', '\n']).starts_with(['{', '[']);
        let is_right = right.iter().any(|right| right == header);
        assert_eq!(is_theirs(&list, header, body.as_bytes()), is_taken && is_right);
        for right in &right {
            assert_eq!(is_theirs(&list, right, body.as_bytes()), is_taken);
            assert!(!is_theirs(&list, right, format!("{body} ").as_bytes()));
            assert!(!is_theirs(&list, &right[1..], body.as_bytes()));
        }
        write!(told, "{} ", right.iter().any(|right| right == header)).unwrap();
    }
    let mode = Some("subscribe").filter(|_| !body.starts_with('-'));
    let answer = meta::signature::challenge_answer(&list, mode, Some(header), Some(body));
    if let Ok(answer) = answer {
        assert!(answer == body && secrets.split(',').any(|secret| secret.trim() == header));
        assert!(!answer.contains(['<', '>', '&', '\n']));
    }
    let check = x::signature::challenge_answer(&list, Some(body));
    if let Ok(check) = &check {
        let check: Value = serde_json::from_str(check).unwrap();
        let signature = x::signature::sign(&list[0], body.as_bytes());
        assert_eq!(check["response_token"], signature);
        assert!(
            !x::signature::is_genuine(&list, &signature, body.as_bytes()),
            "a stranger has a body signed"
        );
    }
    write!(told, "{:?} {:?}", answer.map(str::is_empty), check.map(|check| check.is_empty())).unwrap();
    told
}

/// A secret, an id, a time, a signature and a body, a line each.
pub(crate) fn delivery_signature(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(5, '\n');
    let [secret, id, time, signature, body] = [(); 5].map(|()| lines.next().unwrap_or_default());
    let Ok(secret) = secret.parse::<Secret>() else { return "no secret".to_owned() };
    assert_eq!(secret.reveal().parse::<Secret>().as_ref(), Ok(&secret));
    let now = 1_795_262_405;
    let pair = KeyPair::from_random(std::array::from_fn(|at| secret.reveal().as_bytes()[at]));
    let public_key = pair.public_key();
    let mut told = String::new();
    for (signer, verifier) in
        [(Signer::from(&secret), Verifier::from(&secret)), (Signer::from(&pair), Verifier::from(&public_key))]
    {
        let check = |signature: &str| verify(verifier, id, time, signature, body.as_bytes(), now);
        let verdict = check(signature);
        if let Ok(seconds) = time.parse::<i64>() {
            let right = sign([signer], id, seconds, body.as_bytes());
            assert_eq!(check(&right).is_ok(), !id.is_empty() && now.abs_diff(seconds) <= 300);
            assert!(
                verdict.is_err() || signature.split(' ').any(|one| one == right),
                "another signature passes"
            );
        } else {
            assert!(verdict.is_err());
        }
        write!(told, "{verdict:?} ").unwrap();
    }
    if let Ok(key) = signature.parse::<PublicKey>() {
        assert_eq!(key.to_string(), signature);
        told.push_str("a public key");
    }
    told
}

pub(crate) fn bulk(input: &[u8]) -> String {
    let lines = match ndjson::lines(input) {
        Ok(lines) => lines,
        Err(error) => return error.to_string(),
    };
    let mut told = BTreeSet::new();
    for line in &lines {
        match line {
            Ok(line) => {
                assert!(serde_json::from_slice::<&RawValue>(line.item).is_ok());
                told.insert(format!(
                    "{} {} {}",
                    line.item_type,
                    line.head.own_id.is_some(),
                    line.key.is_some()
                ));
            }
            Err(error) => {
                assert!(error.to_string().len() < 300, "an error quotes its line");
                told.insert(error.to_string().chars().filter(|c| !c.is_ascii_digit()).collect());
            }
        }
    }
    told.into_iter().collect::<Vec<_>>().join("; ")
}

pub(crate) fn item(input: &[u8]) -> String {
    let is_object = || {
        let text = std::str::from_utf8(input).ok()?;
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        Some(raw.get().starts_with('{'))
    };
    match item::read_head(input) {
        Ok(head) => {
            assert_eq!(is_object(), Some(true));
            assert!(head.own_id.as_ref().is_none_or(|id| !id.is_empty()));
            format!("{}", head.own_id.is_some())
        }
        Err(error) => {
            assert!(error.to_string().len() < 300);
            error.to_string().chars().filter(|c| !c.is_ascii_digit()).collect()
        }
    }
}

pub(crate) fn settings(input: &[u8]) -> String {
    let Ok(given) = serde_json::from_slice::<Map<String, Value>>(input) else {
        return "no object".to_owned();
    };
    let private: PrivateTargets = "10.0.0.0/8".parse().unwrap();
    let rotation = Rotation::from_json(&given).map_err(|errors| errors.len());
    if let Ok(new) = NewWebhook::from_json(&given, &private) {
        let fresh = Fresh::from_random([1; 32], [2; 32]);
        let webhook = new.clone().create(
            WebhookId::from_bits(1),
            AccountId::from_bits(2),
            fresh,
            Timestamp::UNIX_EPOCH,
        );
        let stored = serde_json::to_string(&webhook).unwrap();
        assert_eq!(serde_json::from_str::<Webhook>(&stored).unwrap(), webhook);
        let kept = webhook.patched(&Map::new(), &private).unwrap();
        assert_eq!((kept.settings, kept.key_pair), (new.settings, new.key_pair));
    }
    let told = match Settings::from_json(&given, &private) {
        Ok(settings) => {
            let stored = serde_json::to_value(&settings).unwrap();
            assert_eq!(Settings::from_json(stored.as_object().unwrap(), &private), Ok(settings.clone()));
            assert_eq!(
                settings.patched(&Map::new(), &private),
                Ok(settings.clone()),
                "an empty patch changes something"
            );
            let set = given.keys().cloned().collect::<Vec<_>>().join(" ");
            format!("{set} {} {:?}", settings.items.len(), settings.while_blocked)
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            let fields: BTreeSet<String> = errors
                .iter()
                .map(|error| format!("{error:?}").chars().filter(|c| !c.is_ascii_digit()).take(60).collect())
                .collect();
            fields.into_iter().take(3).collect::<Vec<_>>().join("; ")
        }
    };
    format!("{rotation:?} {told}")
}

pub(crate) fn cursor(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let (list, given) = text.split_once('\n').unwrap_or(("webhooks", &text));
    if let Ok(key) = cursor::decode(list, given) {
        assert_eq!(cursor::decode(list, &cursor::encode(list, &key)), Ok(key));
        return "a cursor".to_owned();
    }
    let made = cursor::encode(list, given);
    assert_eq!(cursor::decode(list, &made).is_ok(), made.len() <= cursor::MAX_CURSOR_BYTES);
    format!("none, {}", given.is_empty())
}

/// A list of networks and a URL, a line each.
pub(crate) fn address(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let (networks, url) = text.split_once('\n').unwrap_or(("", &text));
    let private = networks.parse::<PrivateTargets>();
    let none = PrivateTargets::default();
    let told = match WebhookUrl::check(url, &none) {
        Ok(checked) => {
            assert_eq!(
                WebhookUrl::check(checked.as_str(), &none).as_ref(),
                Ok(&checked),
                "checking changes it"
            );
            assert!(checked.is_https() && (checked.port() == 443 || checked.port() > 1023));
            let literal = checked.literal_address();
            assert!(literal.is_none_or(carteiro_core::address::is_public), "{literal:?}");
            format!("{:?}", literal.map(|address| address.is_ipv4()))
        }
        Err(error) => format!("{error:?}").chars().filter(char::is_ascii_alphabetic).take(12).collect(),
    };
    let opened = private.as_ref().map(|private| WebhookUrl::check(url, private).is_ok());
    format!("{told} {:?}", opened.map_err(drop))
}
