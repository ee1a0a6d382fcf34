//! Permissions: a function's calls are judged by what the template allows it, as they would be on AWS.
//!
//! Each function has an access key of its own, whose id is the function's logical id, and whoever signs with that id is
//! judged as that function. All others (tests, AWS clients, what the stack itself does with its queues) may do
//! everything. Signatures are not checked, so this shows mistakes and keeps nobody out.
//!
//! The needed grants can be asked for: those without which an access that was made would have been refused. The
//! accesses that services make in a function's name (to its queues, its logs and its keys) count as made.
//!
//! **Guaranteed:** a call of a function on the tables or queues has no effect, and is answered as a denied one, where
//! its policies do not allow each part of it; a request of which it cannot be told what it asks for counts as one for
//! everything. What was refused can be asked for, so that a test can demand that nothing was.
//!
//! Not as on the real service: a batch of PartiQL statements is refused whole where one of them is. Rights on keys
//! (KMS) and logs are checked once, when the template is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::template::{ACCOUNT, Access, Grant, Policy, Template, queue_arn, table_arn};

/// A call of a function that the template does not allow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error(
    "User: arn:aws:sts::{ACCOUNT}:assumed-role/{function}/{function} is not authorized to perform: {action} on resource: \
     {resource} because no identity-based policy allows the {action} action"
)]
pub struct RefusedCall {
    /// The function's logical id.
    pub function: String,
    /// Such as `dynamodb:GetItem`.
    pub action: String,
    /// The ARN of a table, an index or a queue; `*` where the request names none that is understood.
    pub resource: String,
}

/// What every function may call.
#[derive(Debug)]
pub(crate) struct Permissions {
    /// By function.
    policies: BTreeMap<String, Policy>,
    /// The name of each table's partition key.
    partition_keys: BTreeMap<String, String>,
    /// Each once.
    refused: Mutex<BTreeSet<RefusedCall>>,
    needed: Mutex<BTreeSet<Grant>>,
}

impl Permissions {
    pub(crate) fn new(template: &Template) -> Self {
        let policies =
            template.functions.values().map(|function| (function.name.clone(), function.policy.clone()));
        let partition_key = |schema: &Value| {
            let mut keys = schema.as_array().into_iter().flatten();
            let key = keys.find(|key| key["KeyType"] == "HASH")?;
            key["AttributeName"].as_str().map(str::to_owned)
        };
        let partition_keys = template
            .tables
            .values()
            .filter_map(|table| Some((table.name.clone(), partition_key(&table.create["KeySchema"])?)));
        Self {
            policies: policies.collect(),
            partition_keys: partition_keys.collect(),
            refused: Mutex::default(),
            needed: Mutex::new(needed_by_services(template)),
        }
    }

    /// The grants that were needed until now.
    pub(crate) fn needed(&self) -> BTreeSet<Grant> {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was refused until now.
    pub(crate) fn refused(&self) -> Vec<RefusedCall> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Judges a call to DynamoDB.
    pub(crate) fn dynamodb(
        &self,
        caller: Option<&str>,
        operation: &str,
        body: &[u8],
    ) -> Result<(), RefusedCall> {
        let Some((function, policy)) = self.function(caller) else { return Ok(()) };
        let accesses = dynamodb_accesses(operation, body, &self.partition_keys)
            .unwrap_or_else(|| vec![Access::new(format!("dynamodb:{operation}"), "*")]);
        accesses.into_iter().try_for_each(|access| self.judge(function, policy, access))
    }

    /// Judges a call to SQS.
    pub(crate) fn sqs(
        &self,
        caller: Option<&str>,
        action: &str,
        queue: Option<&str>,
    ) -> Result<(), RefusedCall> {
        let Some((function, policy)) = self.function(caller) else { return Ok(()) };
        let action = action.strip_suffix("Batch").unwrap_or(action);
        let resource = queue.map_or_else(|| "*".to_owned(), queue_arn);
        self.judge(function, policy, Access::new(format!("sqs:{action}"), resource))
    }

    fn function<'a>(&'a self, caller: Option<&str>) -> Option<(&'a str, &'a Policy)> {
        self.policies.get_key_value(caller?).map(|(name, policy)| (name.as_str(), policy))
    }

    fn judge(&self, function: &str, policy: &Policy, access: Access) -> Result<(), RefusedCall> {
        if policy.allows(&access) {
            let needed = policy.needed_for(function, &access);
            self.needed.lock().unwrap_or_else(PoisonError::into_inner).extend(needed);
            return Ok(());
        }
        let Access { action, resource, .. } = access;
        let refused = RefusedCall { function: function.to_owned(), action, resource };
        tracing::error!(
            function,
            action = refused.action,
            resource = refused.resource,
            "the template does not allow a function what it calls"
        );
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(refused.clone());
        Err(refused)
    }
}

/// The grants that are needed for the accesses that services make in functions' names.
fn needed_by_services(template: &Template) -> BTreeSet<Grant> {
    let of_function = |function: &crate::template::Function| {
        let needs = function.needs.iter();
        let needed: Vec<Grant> =
            needs.filter_map(|need| function.policy.needed_for(&function.name, &need.access)).collect();
        needed
    };
    template.functions.values().flat_map(of_function).collect()
}

/// An item or a key, by the names of its attributes.
type Row<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnOneTable<'a> {
    table_name: String,
    index_name: Option<String>,
    #[serde(borrow)]
    key: Option<Row<'a>>,
    #[serde(borrow)]
    item: Option<Row<'a>>,
    return_values: Option<String>,
    return_values_on_condition_check_failure: Option<String>,
    key_condition_expression: Option<String>,
    #[serde(borrow)]
    expression_attribute_values: Option<Row<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchGet<'a> {
    #[serde(borrow)]
    request_items: BTreeMap<String, Keys<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys<'a> {
    #[serde(borrow)]
    keys: Vec<Row<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchWrite<'a> {
    /// Of each table, one entry for each item: the kind of write, and the item or key.
    #[serde(borrow)]
    request_items: BTreeMap<String, Vec<BTreeMap<String, ItemOrKey<'a>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ItemOrKey<'a> {
    #[serde(borrow)]
    key: Option<Row<'a>>,
    #[serde(borrow)]
    item: Option<Row<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transaction<'a> {
    /// `Put`, `Get`, …, and what it is about.
    #[serde(borrow)]
    transact_items: Vec<BTreeMap<String, OnOneTable<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    statement: String,
}

#[derive(Deserialize)]
struct Statements {
    #[serde(alias = "Statements", alias = "TransactStatements")]
    statements: Vec<Statement>,
}

/// All accesses of a request to DynamoDB (DynamoDB developer guide, "DynamoDB API permissions"; for transactions,
/// "Using IAM with transactions"; for PartiQL, "IAM security policies with PartiQL"). None where they cannot be told.
fn dynamodb_accesses(
    operation: &str,
    body: &[u8],
    partition_keys: &BTreeMap<String, String>,
) -> Option<Vec<Access>> {
    let reader = Reader { partition_keys };
    match operation {
        "DeleteItem" | "DescribeTable" | "DescribeTimeToLive" | "GetItem" | "PutItem" | "Query" | "Scan"
        | "UpdateItem" => Some(vec![reader.on_one_table(operation, &parse(body)?)]),
        "BatchGetItem" => {
            let tables = parse::<BatchGet<'_>>(body)?.request_items;
            let access =
                |(table, keys): (&String, &Keys<'_>)| reader.on_rows(operation, table, keys.keys.iter());
            Some(tables.iter().map(access).collect())
        }
        "BatchWriteItem" => {
            let tables = parse::<BatchWrite<'_>>(body)?.request_items;
            let access = |(table, writes): (&String, &Vec<BTreeMap<String, ItemOrKey<'_>>>)| {
                let rows = writes.iter().flat_map(BTreeMap::values);
                let rows = rows.filter_map(|write| write.key.as_ref().or(write.item.as_ref()));
                reader.on_rows(operation, table, rows)
            };
            Some(tables.iter().map(access).collect())
        }
        "TransactGetItems" | "TransactWriteItems" => {
            let items = parse::<Transaction<'_>>(body)?.transact_items;
            let each = items.iter().flatten();
            each.map(|(kind, item)| Some(reader.on_one_table(part_of_transaction(kind)?, item))).collect()
        }
        "ExecuteStatement" => Some(vec![partiql(&parse::<Statement>(body)?.statement)?]),
        "BatchExecuteStatement" | "ExecuteTransaction" => {
            parse::<Statements>(body)?.statements.iter().map(|one| partiql(&one.statement)).collect()
        }
        _ => None,
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn part_of_transaction(kind: &str) -> Option<&'static str> {
    match kind {
        "ConditionCheck" => Some("ConditionCheckItem"),
        "Delete" => Some("DeleteItem"),
        "Get" => Some("GetItem"),
        "Put" => Some("PutItem"),
        "Update" => Some("UpdateItem"),
        _ => None,
    }
}

/// Reads requests on tables whose keys are known.
struct Reader<'a> {
    partition_keys: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    fn on_one_table(&self, operation: &str, request: &OnOneTable<'_>) -> Access {
        let arn = arn_of(&request.table_name, request.index_name.as_deref());
        let row = request.key.as_ref().or(request.item.as_ref());
        let of_row = row.and_then(|row| self.leading_keys(&request.table_name, std::iter::once(row)));
        Access {
            leading_keys: of_row.or_else(|| self.queried_key(request)),
            return_values: [&request.return_values, &request.return_values_on_condition_check_failure]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            ..Access::new(format!("dynamodb:{operation}"), arn)
        }
    }

    fn on_rows<'r>(&self, operation: &str, table: &str, rows: impl Iterator<Item = &'r Row<'r>>) -> Access {
        let leading_keys = self.leading_keys(table, rows);
        Access { leading_keys, ..Access::new(format!("dynamodb:{operation}"), arn_of(table, None)) }
    }

    /// The partition key of each row, where all have one.
    fn leading_keys<'r>(&self, table: &str, rows: impl Iterator<Item = &'r Row<'r>>) -> Option<Vec<String>> {
        let partition_key = self.partition_key(table)?;
        rows.map(|row| value_of(row, partition_key)).collect()
    }

    /// The partition key that a query of a table begins with, as in `pk = :pk AND …`.
    fn queried_key(&self, request: &OnOneTable<'_>) -> Option<Vec<String>> {
        let partition_key =
            self.partition_key(&request.table_name).filter(|_| request.index_name.is_none())?;
        let mut words = request.key_condition_expression.as_ref()?.split_ascii_whitespace();
        let (name, operator, value) = (words.next()?, words.next()?, words.next()?);
        let is_key = name == partition_key && operator == "=";
        let value = is_key.then(|| value_of(request.expression_attribute_values.as_ref()?, value))?;
        Some(vec![value?])
    }

    fn partition_key(&self, table: &str) -> Option<&String> {
        self.partition_keys.get(table.rsplit('/').next().unwrap_or(table))
    }
}

/// The text of an attribute: `{"S": "text"}`; numbers and bytes are texts too.
fn value_of(row: &Row<'_>, name: &str) -> Option<String> {
    let typed: BTreeMap<String, String> = serde_json::from_str(row.get(name)?.get()).ok()?;
    typed.into_values().next()
}

/// The ARN of a table, which a request names by it or by its name, or of an index of it.
fn arn_of(table: &str, index: Option<&str>) -> String {
    let table = if table.starts_with("arn:") { Cow::from(table) } else { Cow::from(table_arn(table)) };
    index.map_or_else(|| table.to_string(), |index| format!("{table}/index/{index}"))
}

/// What a PartiQL statement asks for.
fn partiql(statement: &str) -> Option<Access> {
    let mut words = statement.split_ascii_whitespace();
    let verb = words.next()?.to_ascii_uppercase();
    let (action, after) = match verb.as_str() {
        "INSERT" => ("PartiQLInsert", Some("INTO")),
        "UPDATE" => ("PartiQLUpdate", None),
        "DELETE" => ("PartiQLDelete", Some("FROM")),
        "SELECT" => ("PartiQLSelect", Some("FROM")),
        _ => return None,
    };
    if let Some(after) = after {
        words.find(|word| word.eq_ignore_ascii_case(after))?;
    }
    // "Table", Table, or "Table"."index".
    let mut names = words.next()?.split('.').map(|name| name.trim_matches('"'));
    let (table, index) = (names.next()?, names.next());
    let named = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let understood = named(table) && index.is_none_or(named) && names.next().is_none();
    understood.then(|| Access::new(format!("dynamodb:{action}"), arn_of(table, index)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Action, resource, and the partitions that it touches.
    type Short = (String, String, Option<Vec<String>>);

    fn accesses(operation: &str, body: &Value) -> Option<Vec<Short>> {
        let keys = BTreeMap::from([("T".to_owned(), "pk".to_owned())]);
        let accesses = dynamodb_accesses(operation, body.to_string().as_bytes(), &keys)?;
        let short = |access: Access| {
            let resource = access.resource.rsplit_once(":table/").map_or("", |(_, name)| name).to_owned();
            (access.action.replace("dynamodb:", ""), resource, access.leading_keys)
        };
        Some(accesses.into_iter().map(short).collect())
    }

    fn one(operation: &str, body: &Value) -> Short {
        accesses(operation, body).unwrap().remove(0)
    }

    fn keys(keys: &[&str]) -> Option<Vec<String>> {
        Some(keys.iter().map(|key| (*key).to_owned()).collect())
    }

    #[test]
    fn a_request_on_one_item_asks_for_its_operation_on_its_key() {
        let key = json!({"pk": {"S": "a"}, "sk": {"N": "1"}});
        let asked = |operation: &str, body| one(operation, &body);
        assert_eq!(
            asked("GetItem", json!({"TableName": "T", "Key": key})),
            ("GetItem".into(), "T".into(), keys(&["a"]))
        );
        let by_arn = json!({"TableName": table_arn("T"), "Item": key});
        assert_eq!(asked("PutItem", by_arn), ("PutItem".into(), "T".into(), keys(&["a"])));
        let other = json!({"TableName": "U", "Key": key});
        assert_eq!(asked("DeleteItem", other), ("DeleteItem".into(), "U".into(), None));
    }

    #[test]
    fn an_answer_to_a_failed_condition_is_told_too() {
        let answered = |operation: &str, body: &Value| {
            let accesses =
                dynamodb_accesses(operation, body.to_string().as_bytes(), &BTreeMap::new()).unwrap();
            accesses.into_iter().flat_map(|access| access.return_values).collect::<Vec<_>>()
        };
        let mut put = json!({"TableName": "T", "Item": {}});
        assert!(answered("PutItem", &put).is_empty());
        put["ReturnValues"] = "NONE".into();
        put["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
        assert_eq!(answered("PutItem", &put), ["NONE", "ALL_OLD"]);
        let update = json!({"TableName": "T", "Key": {}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"});
        let transaction = json!({"TransactItems": [{"Update": update}]});
        assert_eq!(answered("TransactWriteItems", &transaction), ["ALL_OLD"]);
    }

    #[test]
    fn a_query_asks_for_its_partition_key_or_its_index() {
        let query = json!({"TableName": "T", "KeyConditionExpression": "pk = :a"});
        assert_eq!(one("Query", &query), ("Query".into(), "T".into(), None));
        let values = json!({":a": {"S": "1"}, ":b": {"S": "2"}});
        for (condition, leading) in
            [("pk = :a AND sk >= :b", keys(&["1"])), ("sk = :a", None), ("pk = :c", None)]
        {
            let query = json!({
                "TableName": "T", "KeyConditionExpression": condition, "ExpressionAttributeValues": values,
            });
            assert_eq!(one("Query", &query), ("Query".into(), "T".into(), leading), "{condition}");
        }
        let query = json!({"TableName": "T", "IndexName": "due"});
        assert_eq!(one("Query", &query), ("Query".into(), "T/index/due".into(), None));
    }

    #[test]
    fn a_batch_asks_for_its_own_action_on_each_table() {
        let get = json!({"RequestItems": {
            "T": {"Keys": [{"pk": {"S": "a"}}, {"pk": {"S": "b"}}]},
            "U": {"Keys": [{"pk": {"S": "c"}}]},
        }});
        let expected = vec![
            ("BatchGetItem".to_owned(), "T".to_owned(), keys(&["a", "b"])),
            ("BatchGetItem".to_owned(), "U".to_owned(), None),
        ];
        assert_eq!(accesses("BatchGetItem", &get).unwrap(), expected);
        let write = json!({"RequestItems": {"T": [
            {"PutRequest": {"Item": {"pk": {"S": "a"}}}},
            {"DeleteRequest": {"Key": {"pk": {"S": "b"}}}},
        ]}});
        assert_eq!(one("BatchWriteItem", &write), ("BatchWriteItem".into(), "T".into(), keys(&["a", "b"])));
    }

    #[test]
    fn a_transaction_asks_for_each_of_its_parts() {
        let key = json!({"pk": {"S": "a"}});
        let transaction = json!({"TransactItems": [
            {"Put": {"TableName": "T", "Item": key}},
            {"Update": {"TableName": "T", "Key": key}},
            {"Delete": {"TableName": "T", "Key": key}},
            {"ConditionCheck": {"TableName": "T", "Key": key}},
        ]});
        let asked = accesses("TransactWriteItems", &transaction).unwrap();
        let actions: Vec<_> = asked.iter().map(|(action, ..)| action.as_str()).collect();
        assert_eq!(actions, ["PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"]);
        assert!(asked.iter().all(|(_, table, leading)| table == "T" && *leading == keys(&["a"])));
        let get = json!({"TransactItems": [{"Get": {"TableName": "T", "Key": key}}]});
        assert_eq!(one("TransactGetItems", &get).0, "GetItem");
    }

    #[test]
    fn a_statement_of_partiql_asks_for_its_verb() {
        for (statement, action, resource) in [
            ("INSERT INTO \"T\" VALUE {'pk': ?}", "PartiQLInsert", "T"),
            ("select * from T where pk = ?", "PartiQLSelect", "T"),
            ("SELECT pk FROM \"T\".\"due\" WHERE x = ?", "PartiQLSelect", "T/index/due"),
            ("UPDATE \"T\" SET a = 1", "PartiQLUpdate", "T"),
            ("DELETE FROM \"T\" WHERE pk = 'a'", "PartiQLDelete", "T"),
        ] {
            let expected = (action.to_owned(), resource.to_owned(), None);
            assert_eq!(one("ExecuteStatement", &json!({"Statement": statement})), expected);
            let statements = json!([{"Statement": statement}]);
            assert_eq!(one("BatchExecuteStatement", &json!({"Statements": statements})), expected);
            assert_eq!(one("ExecuteTransaction", &json!({"TransactStatements": statements})), expected);
        }
    }

    #[test]
    fn what_is_not_understood_is_not_told() {
        for (operation, body) in [
            ("CreateTable", json!({"TableName": "T"})),
            ("GetItem", json!({"Key": {"pk": {"S": "a"}}})),
            ("TransactWriteItems", json!({"TransactItems": [{"Rename": {"TableName": "T"}}]})),
            ("ExecuteStatement", json!({"Statement": "EXISTS(SELECT * FROM T)"})),
            ("ExecuteStatement", json!({"Statement": "DELETE FROM T{}"})),
            ("ExecuteStatement", json!({"Statement": "INSERT INTO"})),
        ] {
            assert_eq!(accesses(operation, &body), None, "{operation} {body}");
        }
    }
}
