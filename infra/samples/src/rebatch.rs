//! The same updates in other batches: what a network sends when it repeats what was not taken.

use carteiro_networks::network::Network;
use serde_json::{Map, Value, json};

/// By how many seconds the repeat is sent later.
const LATER: i64 = 61;

/// The bodies of a repeat: a push's updates one by one, the last first, sent a minute later.
pub(crate) fn rebatched(route: Network, body: &[u8]) -> Vec<Vec<u8>> {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let bodies = match value {
        Value::Array(bodies) => bodies,
        body => vec![body],
    };
    let split = bodies.iter().rev().flat_map(|body| match route {
        Network::X => account_activity(body),
        _ => entries(body),
    });
    split.filter_map(|body| serde_json::to_vec_pretty(&body).ok()).collect()
}

/// Meta's: one body for each element of each entry.
fn entries(body: &Value) -> Vec<Value> {
    let whole = || vec![body.clone()];
    let (Some(members), Some(entries)) = (body.as_object(), body["entry"].as_array()) else { return whole() };
    let mut bodies = Vec::new();
    for entry in entries.iter().rev() {
        let Some(entry) = entry.as_object() else { return whole() };
        let (arrays, mut rest): (Map<_, _>, Map<_, _>) =
            entry.clone().into_iter().partition(|(_, value)| value.is_array());
        if let Some(time) = rest.get("time").and_then(Value::as_i64) {
            rest.insert("time".to_owned(), json!(time + LATER));
        }
        let with = |part: Option<(&String, &Value)>| {
            let mut entry = rest.clone();
            entry.extend(part.map(|(name, value)| (name.clone(), json!([value]))));
            let mut body = members.clone();
            body.insert("entry".to_owned(), json!([entry]));
            Value::Object(body)
        };
        let elements = arrays.iter().flat_map(|(name, array)| {
            array.as_array().into_iter().flatten().rev().map(move |element| (name, element))
        });
        let before = bodies.len();
        bodies.extend(elements.map(|element| with(Some(element))));
        if bodies.len() == before {
            bodies.push(with(None));
        }
    }
    if bodies.is_empty() { whole() } else { bodies }
}

/// X's Account Activity: one body for each element of each array, with what stands beside the arrays.
fn account_activity(body: &Value) -> Vec<Value> {
    let Some(members) = body.as_object().filter(|members| members.values().any(Value::is_array)) else {
        return vec![body.clone()];
    };
    let (arrays, rest): (Map<_, _>, Map<_, _>) =
        members.clone().into_iter().partition(|(_, value)| value.is_array());
    let with = |name: &String, element: &Value| {
        let mut body = rest.clone();
        body.insert(name.clone(), json!([element]));
        Value::Object(body)
    };
    let one = |(name, array): (&String, &Value)| {
        array.as_array().into_iter().flatten().rev().map(|element| with(name, element)).collect::<Vec<_>>()
    };
    arrays.iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(route: Network, body: &Value) -> Vec<Value> {
        let bodies = rebatched(route, body.to_string().as_bytes());
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    #[test]
    fn metas_updates_come_one_by_one_the_last_first_and_later() {
        let body = json!({"object": "page", "entry": [
            {"id": "1", "time": 100, "changes": [{"field": "a"}, {"field": "b"}]},
            {"id": "2", "time": 100, "messaging": [{"message": {"mid": "m"}}]},
            {"id": "3", "time": 100, "field": "flat", "value": 1},
        ]});
        let entry = |entry: Value| json!({"object": "page", "entry": [entry]});
        assert_eq!(
            repeated(Network::Facebook, &body),
            [
                entry(json!({"id": "3", "time": 161, "field": "flat", "value": 1})),
                entry(json!({"id": "2", "time": 161, "messaging": [{"message": {"mid": "m"}}]})),
                entry(json!({"id": "1", "time": 161, "changes": [{"field": "b"}]})),
                entry(json!({"id": "1", "time": 161, "changes": [{"field": "a"}]})),
            ]
        );
    }

    #[test]
    fn xs_updates_come_one_by_one_with_what_stands_beside_them() {
        let body =
            json!({"for_user_id": "1", "users": {"2": {}}, "favorite_events": [{"id": "a"}, {"id": "b"}]});
        let one = |id: &str| json!({"for_user_id": "1", "users": {"2": {}}, "favorite_events": [{"id": id}]});
        assert_eq!(repeated(Network::X, &body), [one("b"), one("a")]);
        let activity = json!({"data": {"event_type": "post.create"}});
        assert_eq!(repeated(Network::X, &activity), [activity]);
    }
}
