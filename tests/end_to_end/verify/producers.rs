//! Producers: they send known items, and send them again as a careful one would.

use carteiro_tests::judge::{Answer, Span};
use serde_json::json;

use super::plan::How;
use super::scene::{Producer, Sent, answer_of, answer_of_line, digest, mark};
use crate::networks::{META_SECRET, comment, facebook, push_to};

/// How often a request is made at most whose answer is needed.
const TRIES: usize = 4;

impl Producer {
    /// Sends the items with these numbers.
    pub(super) async fn publish(self, how: How, item_type: &str, numbers: Vec<u64>) {
        if how == How::Bulk {
            return self.bulk(item_type, &numbers).await;
        }
        let tries = match how {
            How::Plain { again: false } | How::Refused => 1,
            How::Plain { again: true } => 2,
            _ => TRIES,
        };
        let key = if how == How::Refused { "key_of_nobody" } else { &self.account.key };
        let authorization = format!("Bearer {key}");
        for number in numbers {
            let body = match how {
                How::OwnId => {
                    json!({"id": format!("own-{number}"), "mark": mark(number), "text": "olá \u{1f4ec}"})
                }
                _ => json!({"mark": mark(number), "text": "olá"}),
            };
            let once = mark(number);
            let mut headers =
                vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
            if how == How::Keyed {
                headers.push(("idempotency-key", &once));
            }
            // Spaces, so that bytes that were written anew would be others.
            let body = body.to_string().replace(':', " : ");
            let sent = self.sent(item_type, Some(digest(body.as_bytes())));
            for _ in 0..tries {
                let (span, reply) = self.post(&format!("/bots/b/{item_type}s"), &headers, body.clone()).await;
                let answer = match answer_of(reply.as_ref()) {
                    // Nobody's key: what is not answered must come nowhere either.
                    Answer::Unknown if how == How::Refused => Answer::Refused,
                    answer => answer,
                };
                self.published.asked(number, &sent, span, answer.clone());
                if answer != Answer::Unknown {
                    break;
                }
            }
        }
    }

    fn sent(&self, item_type: &str, digest: Option<String>) -> Sent {
        Sent { account: self.account.id.clone(), item_type: item_type.to_owned(), digest }
    }

    /// Many in one request, which is repeated once where it was not answered. The last one's type is unknown.
    async fn bulk(&self, item_type: &str, numbers: &[u64]) {
        let type_of = |at: usize| if at + 1 == numbers.len() { "nothing" } else { item_type };
        let item = |number: u64| json!({"mark": mark(number), "n": number}).to_string();
        let line = |(at, number): (usize, &u64)| {
            let key = if at % 2 == 0 { format!(r#","key":"{}""#, mark(*number)) } else { String::new() };
            format!("{{\"type\":\"{}\",\"item\":{}{key}}}\n", type_of(at), item(*number))
        };
        let body: String = numbers.iter().enumerate().map(line).collect();
        let authorization = format!("Bearer {}", self.account.key);
        let headers = [("authorization", authorization.as_str())];
        for _ in 0..2 {
            let (span, reply) = self.post("/bots/b/items", &headers, body.clone()).await;
            let results = reply.filter(|reply| reply.status == 202).map(|reply| reply.json());
            for (at, number) in numbers.iter().enumerate() {
                let answer = match &results {
                    Some(results) => answer_of_line(&results["results"][at]),
                    None if type_of(at) == "nothing" => Answer::Refused,
                    None => Answer::Unknown,
                };
                let sent = self.sent(type_of(at), Some(digest(item(*number).as_bytes())));
                self.published.asked(*number, &sent, span, answer);
            }
            if results.is_some() {
                break;
            }
        }
    }

    /// A network pushes a comment, until it is taken, and then perhaps once more.
    pub(super) async fn push(self, page: String, number: u64, twice: bool) {
        let told = comment(u32::try_from(number).unwrap(), &mark(number));
        let body = facebook(&[(&page, vec![told])]).to_string();
        let sent = self.sent("interaction", None);
        let mut again = u32::from(twice);
        for _ in 0..TRIES {
            let began_ms = self.clock.now_ms();
            let reply = push_to(&self.client, "facebook", META_SECRET, body.as_bytes()).await;
            let span = Span { began_ms, ended_ms: self.clock.now_ms() };
            let is_taken = reply.is_some_and(|reply| reply.status == 200);
            let answer = if is_taken { Answer::Accepted(None) } else { Answer::Unknown };
            self.published.asked(number, &sent, span, answer);
            if is_taken && again == 0 {
                break;
            }
            again -= u32::from(is_taken);
        }
    }
}
