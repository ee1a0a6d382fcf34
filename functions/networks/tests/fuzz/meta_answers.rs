//! Answers of the Graph API: whatever they are, a run goes on or ends, and keeps no more than it may.

use std::collections::BTreeSet;

use carteiro_networks::facebook::collect as facebook;
use carteiro_networks::instagram::collect as instagram;
use carteiro_networks::meta::collect::{Checkpoint, Collection, Settings};
use carteiro_networks::network::NetworkId;
use carteiro_networks::poll::{Collector, MAX_CHECKPOINT_BYTES, NetworkResponse, Stored};

/// More calls than a tick of one page makes.
const MOST_CALLS: usize = 60;

/// The first byte chooses the network and the status; the rest is the answer to every call after the first.
pub(crate) fn answers(input: &[u8]) -> String {
    let [choice, body @ ..] = input else { return "short".to_owned() };
    let page: NetworkId = "1001".parse().unwrap();
    let (settings, now) = (Settings::default(), "2026-11-21T12:00:00Z".parse().unwrap());
    let begin = |kept: Checkpoint| -> Collection {
        if choice % 2 == 0 {
            facebook::run(&settings, &page, 1, kept, now)
        } else {
            instagram::run(&settings, carteiro_networks::page::Login::Instagram, &page, 1, kept, now)
        }
    };
    let status = [200, 400, 500][usize::from(choice / 2) % 3];
    let mut run = begin(Checkpoint::default());
    let me = br#"{"id":"1001","user_id":"1001"}"#;
    run.on_response(&NetworkResponse { status: 200, header: &|_| None, body: me }, now);
    run.on_stored(Stored::default());
    let (mut told, header) = (BTreeSet::new(), std::str::from_utf8(body).ok());
    for _ in 0..MOST_CALLS {
        let Some(request) = run.next() else { break };
        assert!(
            request.path.starts_with("/v27.0/") && request.path.is_ascii() && !request.path.contains(' ')
        );
        let heard = run.on_response(&NetworkResponse { status, header: &|_| header, body }, now);
        for event in heard.events.iter().take(20) {
            let stored = serde_json::to_string(event).unwrap();
            told.insert(crate::targets::stored_event(&stored, event, &page));
        }
        told.insert(format!("{} {:?}", request.operation, heard.verdict));
        run.on_stored(Stored::default());
        let kept = run.checkpoint();
        assert!(kept.len() <= MAX_CHECKPOINT_BYTES, "{} bytes are kept", kept.len());
        let again: Checkpoint = serde_json::from_str(&kept).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), kept, "what is kept is read otherwise");
    }
    told.into_iter().collect::<Vec<_>>().join("; ")
}

/// Answers of each list, and errors.
pub(crate) const SAMPLES: &[&str] = &[
    r#"0{"data":[{"id":"1001_10","message":"novo","created_time":"2026-11-21T11:00:00+0000","from":{"id":"1001","name":"Loja"},"permalink_url":"https://f/1","attachments":{"data":[{"media_type":"photo","type":"photo","target":{"id":"5"},"media":{"image":{"src":"https://a/b.jpg"}}}]},"comments":{"data":[],"summary":{"total_count":2}}},{"id":"1001_11","created_time":"2026-11-20T11:00:00+0000","attachments":{"data":[{"type":"album","subattachments":{"data":[{"media":{"source":"https://a/v.mp4"}}]}}]}}],"paging":{"cursors":{"before":"a","after":"b"},"next":"https://g/?access_token=x&after=b"}}"#,
    r#"0{"data":[{"id":"10_20","message":"oi","created_time":"2026-11-21T11:00:00+0000","from":{"id":"77","name":"Ana"},"parent":{"id":"10_19"},"attachment":{"type":"photo","media":{"image":{"src":"https://a/b.jpg"}}}}],"paging":{"cursors":{"after":"b"}}}"#,
    r#"0{"data":[{"open_graph_story":{"id":"123"},"reviewer":{"id":"77","name":"Ana"},"rating":5,"recommendation_type":"positive","review_text":"bom","created_time":"2026-11-21T11:00:00+0000"}]}"#,
    r#"0{"data":[{"id":"t_1","updated_time":"2026-11-21T11:00:00+0000","created_time":"2026-11-21T11:00:00+0000","from":{"id":"77"},"to":{"data":[{"id":"1001"}]},"message":"oi","attachments":{"data":[{"id":"5","mime_type":"image/jpeg","image_data":{"url":"https://a/b.jpg"}}]},"shares":{"data":[{"link":"https://a"}]},"sticker":"https://s"}]}"#,
    r#"1{"data":[{"id":"17","caption":"novo","media_type":"CAROUSEL_ALBUM","permalink":"https://i/p","timestamp":"2026-11-21T11:00:00+0000","username":"loja","comments_count":3,"children":{"data":[{"id":"1","media_type":"IMAGE","media_url":"https://a"}]}}],"paging":{"cursors":{"after":"b"},"next":"https://g/?access_token=x"}}"#,
    r#"1{"data":[{"id":"18","text":"oi","timestamp":"2026-11-21T11:00:00+0000","from":{"id":"77","username":"ana"},"replies":{"data":[{"id":"19","text":"sim","timestamp":"2026-11-21T11:10:00+0000","username":"loja"}],"paging":{"cursors":{"after":"c"},"next":"https://g"}}}]}"#,
    r#"1{"data":[{"id":"m_1","created_time":"2026-11-21T11:00:00+0000","updated_time":1795262405,"from":{"id":"77","username":"ana"},"story":{"mention":{"link":"https://a","id":"5"},"reply_to":{"link":"https://b","id":"6"}}}]}"#,
    r#"2{"error":{"message":"(#10) requires the 'pages_messaging' permission","type":"OAuthException","code":10,"error_subcode":33,"is_transient":false}}"#,
    r#"3{"error":{"code":1,"message":"Please reduce the amount of data you're asking for"}}"#,
    r#"0{"t_1":{"id":"t_1","updated_time":"2026-11-21T11:00:00+0000"}}"#,
    r#"0{"1":[{"type":"pages","call_count":101,"total_time":1,"estimated_time_to_regain_access":5}],"data":[]}"#,
    "4<html>",
];
