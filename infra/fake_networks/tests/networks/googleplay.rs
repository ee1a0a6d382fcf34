//! Google Play.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use carteiro_fake_networks::{Kind, LimitOf, Thing, TokenState};
use carteiro_networks::network::Network::GooglePlay;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use crate::support::{Answer, DAY, HOUR, World};

const APP: &str = "com.example.app";
const TOKEN: &str = "ya29.t";

async fn app() -> World {
    let world = World::start().await;
    world.networks.connect(GooglePlay, APP, TOKEN);
    world
}

fn reviews(of: &str, rest: &str) -> String {
    format!("/googleplay/androidpublisher/v3/applications/{of}/reviews{rest}")
}

fn texts(list: &Value) -> Vec<String> {
    let reviews = list["reviews"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text =
        |review: &Value| review["comments"][0]["userComment"]["text"].as_str().unwrap().trim().to_owned();
    reviews.iter().map(text).collect()
}

fn reason(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["error"]["status"].clone())
}

#[tokio::test]
async fn reviews_of_the_last_week_are_listed_by_their_last_change() {
    let world = app().await;
    let (networks, now) = (&world.networks, world.clock.now_ms());
    let publish = |thing: Thing| networks.publish(GooglePlay, APP, thing).unwrap();
    assert_eq!(world.get(&reviews(APP, ""), TOKEN).await.text, "{}");
    let ids: Vec<String> = (1..=5)
        .map(|n| publish(Thing::review(4, format!("review {n}")).by("g1", "Ana").at(now - n * 60_000)))
        .collect();
    publish(Thing::review(1, "").by("g2", "no text"));
    publish(Thing::review(1, "old").by("g3", "old").at(now - 8 * 24 * 3_600_000));
    networks.edit(GooglePlay, &ids[3], "Great\tedited").unwrap();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&reviews(APP, &format!("?maxResults=2{cursor}")), TOKEN).await.json();
        found.extend(texts(&page));
        match page["tokenPagination"]["nextPageToken"].as_str() {
            Some(next) => cursor = format!("&token={next}"),
            None => break,
        }
    }
    assert_eq!(found, ["Great\tedited", "review 1", "review 2", "review 3", "review 5"]);
    publish(Thing::reply(&ids[0], "obrigado"));
    let one = world.get(&reviews(APP, &format!("/{}", ids[0])), TOKEN).await.json();
    assert_eq!(one["authorName"], "Ana");
    assert_eq!(one["comments"][1]["developerComment"]["text"], "obrigado");
    assert!(one["comments"][0]["userComment"]["lastModified"]["seconds"].is_string(), "{one}");
    assert!(networks.publish(GooglePlay, APP, Thing::new(Kind::Post, "x")).is_err());
    world.clock.advance(7 * DAY);
    assert_eq!(texts(&world.get(&reviews(APP, ""), TOKEN).await.json()), ["Great\tedited"][..0]);
}

#[tokio::test]
async fn strangers_are_refused_and_an_hour_has_200_calls() {
    let world = app().await;
    let networks = &world.networks;
    networks.connect(GooglePlay, "com.example.other", "ya29.other");
    assert_eq!(reason(&world.get(&reviews(APP, ""), "ya29.other").await), (403, json!("PERMISSION_DENIED")));
    assert_eq!(reason(&world.get(&reviews("com.none", ""), TOKEN).await), (403, json!("PERMISSION_DENIED")));
    assert_eq!(reason(&world.get(&reviews(APP, ""), "none").await), (401, json!("UNAUTHENTICATED")));
    assert_eq!(world.get(&reviews(APP, "?token=none"), TOKEN).await.status, 400);
    networks.limit(GooglePlay, LimitOf::Page, "", 3);
    world.clock.advance(HOUR);
    for status in [200, 200, 200, 429] {
        assert_eq!(world.get(&reviews(APP, ""), TOKEN).await.status, status);
    }
    assert_eq!(
        world.get(&reviews("com.example.other", ""), "ya29.other").await.status,
        200,
        "each app's own"
    );
    assert_eq!(networks.over_limit(GooglePlay), 1);
    world.clock.advance(HOUR);
    assert_eq!(world.get(&reviews(APP, ""), TOKEN).await.status, 200);
    networks.token(GooglePlay, TOKEN, TokenState::Narrowed("reply to reviews".to_owned())).unwrap();
    assert_eq!(reason(&world.get(&reviews(APP, ""), TOKEN).await), (403, json!("PERMISSION_DENIED")));
}

/// An assertion of a service account's, by its key.
fn assertion(key: &Value, claims: &Value) -> String {
    let pem: String =
        key["private_key"].as_str().unwrap().lines().filter(|line| !line.contains('-')).collect();
    let pair = RsaKeyPair::from_pkcs8(&STANDARD.decode(pem).unwrap()).unwrap();
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(&header), encode(claims));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_service_account_gets_tokens_for_its_own_fresh_assertions() {
    let world = World::start().await;
    let key: Value = serde_json::from_str(&world.networks.service_account(APP)).unwrap();
    let now = world.clock.now_ms() / 1000;
    let claims = json!({
        "iss": key["client_email"], "scope": "https://www.googleapis.com/auth/androidpublisher",
        "aud": key["token_uri"], "iat": now, "exp": now + 3600,
    });
    let grant = async |assertion: String| {
        let form =
            format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        world.post("/googleplay/token", "application/x-www-form-urlencoded", form).await.unwrap()
    };
    let good = assertion(&key, &claims);
    let granted = grant(good.clone()).await;
    assert_eq!(granted.status, 200, "{}", granted.text);
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&reviews(APP, ""), &token).await.status, 200);
    let with = |name: &str, value: Value| {
        let mut other = claims.clone();
        other[name] = value;
        assertion(&key, &other)
    };
    let (input, signature) = good.rsplit_once('.').unwrap();
    let mut forged = URL_SAFE_NO_PAD.decode(signature).unwrap();
    forged[0] ^= 1;
    let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode(forged));
    for (assertion, error) in [
        (with("iss", json!("nobody@example.com")), "invalid_grant"),
        (with("aud", json!("https://example.com")), "invalid_grant"),
        (with("exp", json!(now + 3601)), "invalid_grant"),
        (with("iat", json!(now + 1000)), "invalid_grant"),
        (with("scope", json!("https://www.googleapis.com/auth/drive")), "invalid_scope"),
        (forged, "invalid_grant"),
        ("no assertion".to_owned(), "invalid_request"),
    ] {
        let refused = grant(assertion).await;
        assert_eq!(
            (refused.status, refused.json()["error"].as_str()),
            (400, Some(error)),
            "{}",
            refused.text
        );
    }
    let email = key["client_email"].as_str().unwrap();
    world.networks.token(GooglePlay, email, TokenState::Revoked).unwrap();
    assert_eq!(grant(good).await.json()["error"], "invalid_grant");
    world.clock.advance(HOUR);
    assert_eq!(world.get(&reviews(APP, ""), &token).await.status, 401);
}
