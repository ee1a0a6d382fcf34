//! Feira's list of a shop's notes, `GET /<version>/shops/<shop>/notes?after=<id>`, oldest first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::push::event;
use crate::collected::By;
use crate::normalise::value::number;
use crate::poll::body::{list, members, value};
use crate::poll::scope::after;
use crate::poll::{
    Auth, Begun, Collector, CooldownScope, Endpoint, Method, NetworkRequest, NetworkResponse, ParsedResponse,
    Start, Stored, TokenTrouble, Verdict, checkpoint_json,
};

#[derive(Default, Deserialize, Serialize)]
struct Checkpoint {
    after: i64,
}

struct Collection {
    path: String,
    page_size: u32,
    kept: Checkpoint,
    is_over: bool,
    /// The last note of the last response.
    last: Option<i64>,
}

pub(super) fn begin(start: Start<'_>) -> Begun {
    let Start { scope, api, checkpoint, .. } = start;
    let (path, page_size) = (format!("/{}/shops/{}/notes", api.version, scope.owner), api.page_size);
    Begun::from(checkpoint, |kept| Collection { path, page_size, kept, is_over: false, last: None })
}

impl Collector for Collection {
    fn next(&self) -> Option<NetworkRequest> {
        let query = vec![("after", self.kept.after.to_string()), ("count", self.page_size.to_string())];
        (!self.is_over).then(|| NetworkRequest {
            operation: "notes",
            to: Endpoint::Api,
            method: Method::Get,
            path: self.path.clone(),
            query,
            headers: Vec::new(),
            auth: Auth::Bearer,
            units: 1,
        })
    }

    fn on_response(&mut self, answer: &NetworkResponse<'_>, now: Timestamp) -> ParsedResponse {
        let notes = members(answer.body).and_then(|body| list(&body, "notes"));
        let notes = notes.filter(|_| answer.status == 200);
        let verdict = match (answer.status, &notes) {
            (200, Some(_)) => Verdict::Fine,
            (401, _) => Verdict::Token(TokenTrouble::Revoked),
            (429, _) => Verdict::Wait { until: after(now, 60), of: CooldownScope::TheApp },
            _ => Verdict::Transient,
        };
        let notes = notes.unwrap_or_default();
        self.last = notes.last().and_then(|note| number(&value(note), "id"));
        self.is_over = self.last.is_none();
        ParsedResponse { events: notes.into_iter().map(|note| event(By::Poll, note)).collect(), verdict }
    }

    fn on_stored(&mut self, _: Stored) {
        self.kept.after = self.last.take().unwrap_or(self.kept.after);
    }

    fn checkpoint(&self) -> String {
        checkpoint_json(&self.kept)
    }
}
