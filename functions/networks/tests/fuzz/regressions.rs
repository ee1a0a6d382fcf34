//! Inputs that something failed on, or that are as large as an input may be: each is checked on every route.

use crate::targets;

#[test]
fn what_failed_before_is_taken() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let wide = |name: &str| format!(r#"{{"for_user_id":"1","{name}":[{}{{}}]}}"#, "{},".repeat(20_000));
    let entries = format!(r#"{{"object":"page","entry":[{}{{}}]}}"#, "{},".repeat(20_000));
    for input in [
        String::new(),
        deep.clone(),
        format!(r#"{{"for_user_id":"1","tweet_create_events":[{deep}]}}"#),
        format!(r#"{{"data":{{"event_type":"post.create","payload":{deep}}}}}"#),
        format!(
            r#"{{"object":"page","entry":[{{"id":"1","changes":[{{"field":"feed","value":{deep}}}]}}]}}"#
        ),
        wide("direct_message_events"),
        wide("of_no_name"),
        entries,
        r#"{"for_user_id":"1","tweet_create_events":[{"id_str":"1","text":"\ud83d"}]}"#.to_owned(),
        r#"{"entry":[{"id":"1","changes":[{"field":"","value":{"target_ids":["\ud83d"]}}]}]}"#.to_owned(),
        "1".repeat(100_000),
    ] {
        for check in [targets::push_to_facebook, targets::push_to_instagram, targets::push_to_x] {
            assert!(!check(input.as_bytes()).is_empty());
        }
    }
}

#[test]
fn a_url_whose_normal_form_is_too_long_is_refused_at_once() {
    let url = format!("\nhttps://example.com/{}", "\"".repeat(700));
    assert!(targets::address(url.as_bytes()).starts_with("TooLong"));
}
