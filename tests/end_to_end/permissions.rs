//! What the template allows the functions. That it allows all that they call, every test of a bundle shows.

use std::collections::BTreeSet;

use carteiro_fake_networks::Thing;
use carteiro_local::{RefusedCall, Template};
use carteiro_networks::network::Network;
use carteiro_tests::{Bundle, assert_problem, grants, parameters, workspace};
use serde_json::json;

use crate::networks::{SECRETS, comment, connect, facebook, pushed};

#[tokio::test]
async fn a_call_that_the_template_forbids_has_no_effect_and_is_named() {
    let statement = |action: &str| {
        format!("Sid: QueueDeliveries\n                Effect: Allow\n                Action: {action}\n")
    };
    let bundle = Bundle::start_edited([], |template| {
        let (with, without) = (statement("sqs:SendMessage"), statement("sqs:GetQueueAttributes"));
        assert!(template.contains(&with), "{template}");
        template.replace(&with, &without)
    })
    .await;
    let account = bundle.account().await;
    bundle.webhook(&account, "/here", &["message"]).await;
    let reply = bundle.client.post("/bots/b/messages", &account.key, json!({}).to_string()).await;
    assert_problem(&reply, 503, "unavailable");
    let refused = RefusedCall {
        function: "IngestFunction".to_owned(),
        action: "sqs:SendMessage".to_owned(),
        resource: "arn:aws:sqs:us-east-1:000000000000:DeliverQueue".to_owned(),
    };
    assert_eq!(bundle.stack.refused_calls(), [refused]);
    assert_eq!(bundle.stack.queues().describe_queue("DeliverQueue").await.unwrap().counts.visible, 0);
    // Without `Bundle::stop`, which asserts that nothing was refused.
    bundle.stack.stop().await;
    bundle.receiver.stop().await;
}

/// Text that cannot be packed much.
fn noise(bytes: usize, seed: u64) -> String {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + u8::try_from((state >> 57) % 64).unwrap()).to_string().replace('\\', "~")
    };
    (0..bytes).map(|_| next()).collect()
}

/// Parts of an entry are rows of their own, which both functions that store entries write, look for and delete.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_a_row_is_stored_by_push_and_by_poll() {
    let (bundle, account, _) = Bundle::with_webhook(SECRETS, "/all", &["publication", "interaction"]).await;
    connect(&bundle, &account, "facebook", "1").await;
    for seed in [1, 1, 2] {
        let mut told = comment(1, "olá");
        told["value"]["large"] = noise(560_000, seed).into();
        pushed(&bundle, "facebook", &facebook(&[("1", vec![told])])).await;
    }
    let thing = Thing::post(noise(560_000, 3)).by("1", "page");
    bundle.networks.publish(Network::Facebook, "1", thing).unwrap();
    bundle.tick().await;
    assert_eq!(bundle.count_at_rest("/all").await, 2, "{:#?}", bundle.complaints());
    bundle.stop().await;
}

/// Tests that together need every grant. Each is a whole story through the functions.
const STORIES: [&str; 31] = [
    "alerts::a_block_alerts_each_confirmed_address_once_in_its_language",
    "attempts::the_outcome_is_held_for_a_gone_url_and_dead_after_retries",
    "cancelling::a_cancelled_item_is_counted_and_never_attempted_again",
    "held::a_dead_letter_is_brought_into_the_dead_items",
    "held::a_slot_is_planned_once_however_often_it_is_invoked",
    "held::a_url_that_is_gone_disables_its_webhook_and_holds_its_items",
    "held::deleting_a_webhook_drops_what_waits_for_it_and_says_how_much",
    "idempotency::a_repeat_answers_the_same_and_delivers_nothing_twice",
    "item_states::a_collected_item_names_its_page",
    "item_states::held_dropped_and_dead_items_say_why",
    "operator_faults::what_the_operator_must_mend_is_told_and_holds_nothing",
    "operator_view::what_is_unhealthy_now_is_listed_across_accounts",
    "page_tokens::instagrams_own_tokens_are_renewed_in_their_second_half",
    "page_tokens::pushes_wait_for_a_proven_token_and_go_to_nobody_else",
    "pages::a_check_polls_a_page_at_once_and_only_for_its_owner",
    "pages::a_renewed_token_replaces_the_old_one_with_an_unknown_state",
    "pages::an_account_is_deleted_with_its_pages_also_by_a_repeat",
    "permissions::an_event_larger_than_a_row_is_stored_by_push_and_by_poll",
    "push_subscriptions::a_pushed_video_and_a_polled_one_are_one_item",
    "pushes::a_page_with_immediate_delivery_gets_its_pushes_at_once",
    "pushes::reactions_without_a_sender_are_as_many_as_are_pushed",
    "pushes::what_waits_for_a_page_that_was_deleted_is_dropped",
    "replay::a_replay_waits_for_the_end_of_a_block_or_for_enabling",
    "replay::during_a_replay_another_is_refused_and_faults_only_delay_it",
    "revisions::deleting_a_blocked_webhook_notifies_of_no_release",
    "rotation::a_rotation_ends_a_block_and_releases_held_items",
    "sessions::a_session_ends_when_nobody_acts_and_at_its_own_end",
    "sessions::what_ends_a_session_ends_it_at_once_and_no_other",
    "slow_lane::a_url_that_answers_200_late_is_moved_though_it_never_fails",
    "unreadable::a_retry_that_cannot_be_read_is_set_aside_once",
    "waiting::dead_items_are_listed_with_their_cause_and_go_uncounted",
];

fn this_program() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// A test that gets another name takes it into the list, too. It is seen here in a second, and by which name it is.
#[test]
fn each_story_of_the_grants_is_a_test() {
    let output = std::process::Command::new(this_program()).arg("--list").output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout);
    let tests: BTreeSet<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let unknown: Vec<_> = STORIES.iter().filter(|story| !tests.contains(*story)).collect();
    assert!(unknown.is_empty(), "no test has these names: {unknown:#?}");
}

/// A new grant comes with a story that needs it, and a call that goes takes its grant along. The unit tests of the
/// policies show that the removal of a needed grant refuses a call. The accesses that services make in the functions'
/// names are demanded by the local stack when it reads the template.
#[tokio::test(flavor = "multi_thread")]
async fn each_action_that_the_template_grants_is_needed() {
    carteiro_tests::functions().await;
    let folder = tempfile::tempdir().unwrap();
    let mut stories = tokio::process::Command::new(this_program());
    stories.args(["--exact", "--test-threads=3"]).args(STORIES).env(grants::FOLDER, folder.path());
    let output = stories.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!("test result: ok. {} passed;", STORIES.len());
    assert!(said.contains(&all), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let needed = grants::noted(folder.path());
    let template = workspace().join("template.yaml");
    let template = Template::read(&template, &parameters([]), "http://127.0.0.1:1").unwrap();
    let granted: BTreeSet<_> = template.grants().iter().map(ToString::to_string).collect();
    let idle: Vec<_> = granted.difference(&needed).collect();
    assert!(idle.is_empty(), "no story needs these: {idle:#?}");
}
