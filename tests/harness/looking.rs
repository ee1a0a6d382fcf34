//! Searches all outputs of a bundle for its secrets.
//!
//! Looked for: every token that the stand-ins know, with what was signed with a service account's key and the key's own
//! parts; the parameters that the template does not show (`NoEcho`); the admin key; what requests of the bundle's
//! client carried (tokens, `Authorization`, sessions' cookies, also where they were refused); accounts' keys, webhooks'
//! secrets, sign-in links and sessions' values against forgery.
//!
//! Looked at: what all functions logged (the newest 20,000 lines); what the receiver got; the rows of all tables but
//! the tokens' own ([`MOST_ROWS`] of each); what is left in queues ([`MOST_MESSAGES`]); and what the bundle's client
//! was answered. Webhooks' secrets are at home in the configuration.
//!
//! Not looked at: what came and went between, but for logs, deliveries and answers; what other clients were answered;
//! stacks that a test starts without a [`Bundle`].

use std::collections::BTreeMap;

use carteiro_local::LogLines;
use carteiro_networks::network::Network;
use serde_json::{Value, json};

use crate::secrets::{Leak, Place, Search, Secret};
use crate::{ADMIN_KEY, Bundle, dynamodb, workspace};

/// How many rows of a table are looked at.
const MOST_ROWS: usize = 4000;

/// How many messages of all queues are looked at.
const MOST_MESSAGES: usize = 4000;

/// What only `collect` reads.
const TOKENS: &str = "TokenTable";
/// Where accounts and their webhooks are.
const CONFIGURATION: &str = "ConfigTable";

/// The headers of a delivery that are made with a webhook's secret.
const SIGNATURE: &str = "webhook-signature";

/// The values of the parameters that the template does not show, and of their parts.
pub(crate) fn private_parameters(parameters: &BTreeMap<String, String>) -> Vec<Secret> {
    let template = std::fs::read_to_string(workspace().join("template.yaml")).expect("the template");
    let mut secrets = vec![Secret::new("the admin key", ADMIN_KEY)];
    for name in not_echoed(&template) {
        let values = parameters.get(name).into_iter().flat_map(|value| value.split(','));
        for value in values.map(str::trim) {
            secrets.push(Secret::new(format!("the parameter {name}"), value));
            // Of an app's own token the part before is its id.
            if let Some((_, part)) = value.split_once('|') {
                secrets.push(Secret::new(format!("the parameter {name}"), part));
            }
        }
    }
    secrets
}

/// The names of the parameters with `NoEcho`.
fn not_echoed(template: &str) -> Vec<&str> {
    let (mut names, mut name) = (Vec::new(), "");
    for line in template.lines() {
        if let Some(begun) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            name = begun.trim_end_matches(':');
        } else if line.trim() == "NoEcho: true" {
            names.push(name);
        }
    }
    names
}

pub(crate) fn at_logs(search: &Search, logs: &LogLines, leaks: &mut Vec<Leak>) {
    for (function, line) in logs.all() {
        search.look(&Place::Elsewhere(format!("the log of {function}")), line.as_bytes(), leaks);
    }
}

impl Bundle {
    /// What must be found nowhere.
    #[must_use]
    pub fn search(&self) -> Search {
        let of_networks = Network::ALL.into_iter().flat_map(|network| {
            let known = self.networks.secrets(network).into_iter();
            known.map(move |token| Secret::new(format!("a token of {network}'s"), token))
        });
        let noted = self.client.heard().secrets();
        Search::new(self.private.iter().cloned().chain(of_networks).chain(noted))
    }

    /// The secrets that came out, each once for each place. Faults that were injected into the tables' and queues'
    /// calls are lifted.
    pub async fn leaks(&self) -> Vec<Leak> {
        self.stack.intercept_dynamodb(None);
        self.stack.intercept_sqs(None);
        let (search, mut leaks) = (self.search(), Vec::new());
        at_logs(&search, &self.logs, &mut leaks);
        self.at_deliveries(&search, &mut leaks);
        for table in self.stack.template().tables.keys().filter(|table| *table != TOKENS) {
            self.at_table(table, &search, &mut leaks).await;
        }
        self.at_queues(&search, &mut leaks).await;
        let left_out = self.client.heard().look(&search, &mut leaks);
        if left_out > 0 {
            println!("{left_out} answers were too many to be kept, and not looked at");
        }
        leaks
    }

    fn at_deliveries(&self, search: &Search, leaks: &mut Vec<Leak>) {
        for delivery in self.receiver.deliveries() {
            let place = |what: &str| {
                Place::Elsewhere(format!("{what} of delivery {} to {}", delivery.number, delivery.path))
            };
            search.look(
                &place("the address"),
                delivery.query.as_deref().unwrap_or_default().as_bytes(),
                leaks,
            );
            search.look(&place("the body"), &delivery.body, leaks);
            for (name, value) in delivery.headers.iter().filter(|(name, _)| name != SIGNATURE) {
                search.look(&place(&format!("the header {name}")), value.as_bytes(), leaks);
            }
        }
    }

    async fn at_table(&self, table: &str, search: &Search, leaks: &mut Vec<Leak>) {
        let name = format!("a row of {table}");
        let place = if table == CONFIGURATION { Place::Configuration(name) } else { Place::Elsewhere(name) };
        let (mut seen, mut request) = (0, json!({"TableName": table, "Limit": 500}));
        loop {
            let mut answer = dynamodb::call(self, "Scan", &request).await;
            let rows = answer["Items"].as_array().expect("rows");
            seen += rows.len();
            rows.iter().for_each(|row| search.look_at_row(&place, row, leaks));
            match answer["LastEvaluatedKey"].take() {
                Value::Null => return,
                _ if seen >= MOST_ROWS => {
                    println!("only {seen} rows of {table} were looked at");
                    return;
                }
                last => request["ExclusiveStartKey"] = last,
            }
        }
    }

    async fn at_queues(&self, search: &Search, leaks: &mut Vec<Leak>) {
        let messages = self.stack.queues().contents(MOST_MESSAGES).await.expect("the queues' contents");
        if messages.len() == MOST_MESSAGES {
            println!("only {MOST_MESSAGES} messages in queues were looked at");
        }
        for message in messages {
            let place = |what: &str| Place::Elsewhere(format!("{what} of a message in {}", message.queue));
            search.look(&place("the body"), message.body.as_bytes(), leaks);
            search.look(&place("an attribute"), &message.attributes, leaks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_parameters_and_their_parts_are_secrets() {
        let template = std::fs::read_to_string(workspace().join("template.yaml")).unwrap();
        let names = not_echoed(&template);
        assert!(names.len() >= 7 && names.contains(&"MetaAppToken"), "{names:?}");
        let given = [("MetaAppSecrets", "planted-one, planted-two"), ("MetaAppToken", "1234|planted-app")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let texts: Vec<String> = private_parameters(&given).into_iter().map(|secret| secret.text).collect();
        for text in ["planted-one", "planted-two", "1234|planted-app", "planted-app", ADMIN_KEY] {
            assert!(texts.iter().any(|known| known == text), "{text}: {texts:?}");
        }
    }
}
