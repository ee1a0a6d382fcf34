//! LinkedIn.

use carteiro_fake_networks::{Connection, Kind, LimitOf, Thing, TokenState};
use carteiro_networks::network::Network::Linkedin;
use serde_json::{Value, json};

use crate::support::{Answer, DAY, World};

const PAGE: &str = "5005";
const ORGANIZATION: &str = "urn%3Ali%3Aorganization%3A5005";
const TOKEN: &str = "AQXt";
const PROTOCOL: (&str, &str) = ("x-restli-protocol-version", "2.0.0");

/// The month that the clock is in.
fn version(world: &World) -> String {
    let now = i64::try_from(world.clock.now_ms()).unwrap();
    jiff::Timestamp::from_millisecond(now).unwrap().strftime("%Y%m").to_string()
}

async fn page() -> World {
    let world = World::start().await;
    world.networks.connect_with(Linkedin, Connection::new(PAGE, TOKEN).refresh_token("AQYr"));
    world
}

async fn get(world: &World, path: &str) -> Answer {
    let version = version(world);
    world
        .get_with(&format!("/linkedin/rest/{path}"), TOKEN, &[("linkedin-version", &version), PROTOCOL])
        .await
}

fn error(answer: &Answer) -> (u16, String) {
    let error = answer.json();
    assert_eq!(error["status"], answer.status, "{error}");
    (answer.status, error["code"].as_str().unwrap().to_owned())
}

fn at<'a>(list: &'a Value, pointer: &str) -> Vec<&'a str> {
    list["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.pointer(pointer).unwrap().as_str().unwrap())
        .collect()
}

fn escaped(urn: &str) -> String {
    urn.replace(':', "%3A").replace('(', "%28").replace(',', "%2C").replace(')', "%29")
}

#[tokio::test]
async fn posts_are_paged_by_number_with_a_link_to_the_next_page() {
    let world = page().await;
    let (networks, now) = (&world.networks, world.clock.now_ms());
    let post =
        |n: u64| networks.publish(Linkedin, PAGE, Thing::post(format!("{n}")).at(now - n * 1000)).unwrap();
    let ids: Vec<String> = (1..=5).map(post).collect();
    networks.edit(Linkedin, &ids[4], "edited").unwrap();
    let list = format!("posts?q=author&author={ORGANIZATION}&sortBy=LAST_MODIFIED");
    let mut path = format!("{list}&start=0&count=2");
    let mut found = Vec::new();
    loop {
        let page = get(&world, &path).await.json();
        assert_eq!(page["paging"]["total"], 5);
        found.extend(at(&page, "/commentary").into_iter().map(str::to_owned));
        let links = page["paging"]["links"].as_array().unwrap();
        let Some(next) = links.iter().find(|link| link["rel"] == "next") else { break };
        path = next["href"].as_str().unwrap().trim_start_matches("/rest/").to_owned();
    }
    assert_eq!(found, ["edited", "1", "2", "3", "4"]);
    let by_creation = get(&world, &format!("posts?q=author&author={ORGANIZATION}")).await.json();
    assert_eq!(at(&by_creation, "/id"), ids.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(by_creation["elements"][4]["lifecycleStateInfo"]["isEditedByAuthor"], true);
}

#[tokio::test]
async fn comments_and_answers_are_found_by_both_spellings_of_a_urn() {
    let world = page().await;
    let networks = &world.networks;
    let publish = |thing: Thing| networks.publish(Linkedin, PAGE, thing).unwrap();
    let post = publish(Thing::post("p"));
    let comment = publish(Thing::comment(&post, "c").by("abc", "Ana"));
    let reply = publish(Thing::reply(&comment, "r"));
    let nested = publish(Thing::reply(&reply, "n").by("def", "Rui"));
    let list = get(&world, &format!("socialActions/{}/comments", escaped(&post))).await.json();
    let first = &list["elements"][0];
    assert_eq!(at(&list, "/commentUrn"), [comment.as_str()]);
    assert_eq!(first["actor"], "urn:li:person:abc");
    assert_eq!(first["commentsSummary"]["totalFirstLevelComments"], 2);
    let activity = first["object"].as_str().unwrap();
    assert!(comment.starts_with(&format!("urn:li:comment:({activity},")) && activity != post, "{comment}");
    let by_activity = get(&world, &format!("socialActions/{}/comments", escaped(activity))).await.json();
    assert_eq!(by_activity["elements"], list["elements"]);
    for urn in [comment.clone(), comment.replace("(urn:li:activity", "(activity")] {
        let answers =
            get(&world, &format!("socialActions/{}/comments?start=0&count=9", escaped(&urn))).await.json();
        assert_eq!(at(&answers, "/commentUrn"), [nested.as_str(), reply.as_str()]);
        assert_eq!(at(&answers, "/parentComment"), [comment.as_str(); 2]);
        assert_eq!(answers["elements"][1]["actor"], "urn:li:organization:5005");
    }
    networks.remove(Linkedin, &post).unwrap();
    let gone = get(&world, &format!("socialActions/{}/comments", escaped(&post))).await;
    assert_eq!(error(&gone), (404, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn notifications_cover_what_others_and_the_page_did_in_a_time() {
    let world = page().await;
    let (networks, now) = (&world.networks, world.clock.now_ms());
    let publish = |thing: Thing| networks.publish(Linkedin, PAGE, thing).unwrap();
    let post = publish(Thing::post("p").at(now - 90_000));
    let comment = publish(Thing::comment(&post, "c").by("abc", "").at(now - 80_000));
    let own = publish(Thing::comment(&post, "own").at(now - 70_000));
    publish(Thing::new(Kind::Mention, "about you").by("x", "").at(now - 60_000));
    let quiet = Thing::comment(&post, "q").by("abc", "").at(now - 50_000);
    publish(quiet.with("decoratedGeneratedActivity", Value::Null));
    let private = publish(Thing::post("p2").with("visibility", "LOGGED_IN"));
    publish(Thing::comment(&private, "unseen").by("abc", ""));
    publish(Thing::comment(&post, "long ago").by("abc", "").at(now - 61 * 24 * 3_600_000));
    networks.edit(Linkedin, &comment, "edited").unwrap();
    networks.remove(Linkedin, &own).unwrap();
    let list = async |actions: &str, start: u64, end: u64| {
        let time = format!("timeRange=(start:{start},end:{end})");
        let path = format!(
            "organizationalEntityNotifications?q=criteria&organizationalEntity={ORGANIZATION}&{time}{actions}"
        );
        get(&world, &path).await
    };
    let later = world.clock.now_ms();
    let all = list("", 0, later).await.json();
    let actions: Vec<&str> = at(&all, "/action");
    assert_eq!(actions[2..], ["COMMENT", "SHARE_MENTION", "ADMIN_COMMENT", "COMMENT"], "{all:#}");
    assert!(
        actions[..2].contains(&"COMMENT_EDIT") && actions[..2].contains(&"COMMENT_DELETE"),
        "{actions:?}"
    );
    let oldest = &all["elements"][5];
    let told = &oldest["decoratedGeneratedActivity"]["comment"];
    assert_eq!((&told["entity"], &told["text"]), (&json!(comment), &json!("edited")));
    let short = oldest["generatedActivity"].as_str().unwrap();
    assert!(short.starts_with("urn:li:comment:(activity:"), "{short}");
    assert_eq!(oldest["decoratedSourcePost"]["entity"], post);
    for silent in [2, 4] {
        assert!(all["elements"][silent].get("decoratedGeneratedActivity").is_none(), "{silent}");
    }
    let some = list("&actions=List(COMMENT,ADMIN_COMMENT)", now - 80_000, now - 60_000).await.json();
    assert_eq!(at(&some, "/action"), ["ADMIN_COMMENT", "COMMENT"]);
    let unknown = list("&actions=List(SHOUT)", 0, later).await;
    assert_eq!(error(&unknown), (400, "ILLEGAL_ARGUMENT".to_owned()));
}

#[tokio::test]
async fn a_call_needs_a_recent_version_the_protocol_and_escaped_urns() {
    let world = page().await;
    let now = version(&world);
    let acls = "/linkedin/rest/organizationAcls?q=roleAssignee";
    let unescaped = "/linkedin/rest/posts?q=author&author=urn:li:organization:5005";
    for (path, headers, expected) in [
        (acls, vec![PROTOCOL], (400, "VERSION_MISSING")),
        (acls, vec![("linkedin-version", "202001"), PROTOCOL], (426, "NONEXISTENT_VERSION")),
        (acls, vec![("linkedin-version", "219901"), PROTOCOL], (426, "NONEXISTENT_VERSION")),
        (acls, vec![("linkedin-version", "v2"), PROTOCOL], (426, "NONEXISTENT_VERSION")),
        (acls, vec![("linkedin-version", now.as_str())], (400, "ILLEGAL_ARGUMENT")),
        (unescaped, vec![("linkedin-version", now.as_str()), PROTOCOL], (400, "ILLEGAL_ARGUMENT")),
    ] {
        let answer = world.get_with(path, TOKEN, &headers).await;
        assert_eq!(error(&answer), (expected.0, expected.1.to_owned()), "{path} {headers:?}");
    }
    assert_eq!(get(&world, "organizationAcls?q=roleAssignee").await.status, 200);
}

#[tokio::test]
async fn a_role_says_what_a_token_sees_and_a_dead_token_how_it_died() {
    let world = page().await;
    let networks = &world.networks;
    networks.publish(Linkedin, PAGE, Thing::post("p")).unwrap();
    let (acls, posts) =
        ("organizationAcls?q=roleAssignee&state=APPROVED", format!("posts?q=author&author={ORGANIZATION}"));
    let roles = get(&world, acls).await.json();
    assert_eq!(at(&roles, "/role"), ["ADMINISTRATOR"]);
    assert_eq!(at(&roles, "/organization"), ["urn:li:organization:5005"]);
    let set = |state| networks.token(Linkedin, TOKEN, state).unwrap();
    set(TokenState::Narrowed("ADMINISTRATOR".to_owned()));
    assert_eq!(at(&get(&world, acls).await.json(), "/role"), ["RECRUITING_POSTER"]);
    assert_eq!(get(&world, &posts).await.json()["elements"], json!([]), "and no refusal");
    set(TokenState::Narrowed("r_organization_social".to_owned()));
    assert_eq!(error(&get(&world, &posts).await), (403, "ACCESS_DENIED".to_owned()));
    set(TokenState::SomebodyElses("77".to_owned()));
    assert_eq!(at(&get(&world, acls).await.json(), "/organization"), ["urn:li:organization:77"]);
    assert_eq!(error(&get(&world, &posts).await), (403, "ACCESS_DENIED".to_owned()));
    for (state, code) in
        [(TokenState::Revoked, "REVOKED_ACCESS_TOKEN"), (TokenState::Expired, "EXPIRED_ACCESS_TOKEN")]
    {
        set(state);
        assert_eq!(error(&get(&world, acls).await), (401, code.to_owned()));
    }
}

#[tokio::test]
async fn limits_of_member_and_app_are_daily_and_end_at_midnight_utc() {
    let world = page().await;
    let networks = &world.networks;
    let acls = "organizationAcls?q=roleAssignee";
    networks.limit(Linkedin, LimitOf::Page, "", 2);
    for status in [200, 200, 429] {
        assert_eq!(get(&world, acls).await.status, status);
    }
    let limited = get(&world, acls).await;
    assert!(limited.json()["message"].as_str().unwrap().contains("MEMBER DAY"), "{}", limited.text);
    assert_eq!(networks.over_limit(Linkedin), 2);
    let day = 24 * 3_600_000;
    let left = day - world.clock.now_ms() % day;
    world.clock.advance(std::time::Duration::from_millis(left));
    assert_eq!(get(&world, acls).await.status, 200);
    networks.limit(Linkedin, LimitOf::App, "", 1);
    let limited = get(&world, acls).await;
    assert!(limited.json()["message"].as_str().unwrap().contains("APPLICATION DAY"), "{}", limited.text);
}

#[tokio::test]
async fn a_refresh_token_ends_a_year_after_the_grant() {
    let world = page().await;
    let renew = async || {
        let form = "grant_type=refresh_token&refresh_token=AQYr&client_id=i&client_secret=s";
        world.post("/linkedin/token", "application/x-www-form-urlencoded", form).await.unwrap()
    };
    let first = renew().await.json();
    assert_eq!((&first["expires_in"], &first["refresh_token"]), (&json!(5_184_000), &json!("AQYr")));
    assert!(first["refresh_token_expires_in"].as_u64().unwrap() <= 365 * 24 * 3600);
    world.clock.advance(364 * DAY);
    let last = renew().await.json();
    assert!(last["refresh_token_expires_in"].as_u64().unwrap() <= 24 * 3600, "{last}");
    assert!(last["access_token"] != first["access_token"]);
    world.clock.advance(DAY);
    let dead = renew().await;
    assert_eq!((dead.status, &dead.json()["error"]), (400, &json!("invalid_grant")));
}
