//! The limits of an account hold for requests that come at the same time, and nothing within them goes unrouted.

use carteiro_tests::{ADMIN_KEY, Account, Bundle, assert_problem, dynamodb};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

/// How many requests are under way at once: more than the copies that a race needs, and fewer than a machine of two
/// cores has processes for.
const AT_ONCE: usize = 40;

/// Posts these bodies, and answers how many were created. Each of the others is refused for `field`.
async fn created(bundle: &Bundle, path: &str, key: &str, bodies: Vec<String>, field: &str) -> usize {
    let posts = stream::iter(bodies).map(|body| bundle.client.post(path, key, body));
    let replies: Vec<_> = posts.buffer_unordered(AT_ONCE).collect().await;
    let mut created = 0;
    for reply in replies {
        if reply.status == 201 {
            created += 1;
        } else {
            let problem = assert_problem(&reply, 422, "invalid");
            assert_eq!(problem["errors"][0]["field"], field, "{problem}");
        }
    }
    created
}

/// What an account's row says.
async fn account_row(bundle: &Bundle, account: &str) -> Value {
    let rows = dynamodb::query(bundle, "ConfigTable", "accounts").await;
    rows.into_iter().find(|row| row["sk"]["S"] == account).unwrap()
}

/// The id of the account that there is.
async fn id_of_the_account(bundle: &Bundle) -> String {
    let listed = bundle.client.get("/accounts", ADMIN_KEY).await.json();
    listed["data"][0]["id"].as_str().unwrap().to_owned()
}

fn webhooks(bundle: &Bundle, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| json!({"url": bundle.receiver.url(&format!("/{n}")), "items": ["message"]}).to_string())
        .collect()
}

#[tokio::test]
async fn webhooks_created_concurrently_stop_at_the_limit() {
    let bundle = Bundle::start().await;
    let account: Account = bundle.account().await;
    let made = created(&bundle, "/webhooks", &account.key, webhooks(&bundle, 160), "webhooks").await;
    assert_eq!(made, 100, "60 of 160 are refused");
    let routed = bundle.client.post("/bots/b/messages", &account.key, "{}").await.json();
    assert_eq!(routed["webhooks"], 100, "{routed}");
    let listed = bundle.client.get("/webhooks?limit=200", &account.key).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 100);
    // Ten are deleted, each by three requests at once: each counts once.
    let paths: Vec<String> = listed["data"].as_array().unwrap()[..10]
        .iter()
        .flat_map(|webhook| std::iter::repeat_n(format!("/webhooks/{}", webhook["id"].as_str().unwrap()), 3))
        .collect();
    let deletes = stream::iter(&paths).map(|path| bundle.client.delete(path, &account.key));
    let deleted: Vec<_> = deletes.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(deleted.iter().filter(|reply| reply.status == 200).count(), 10);
    let made = created(&bundle, "/webhooks", &account.key, webhooks(&bundle, 30), "webhooks").await;
    assert_eq!(made, 10, "what was deleted is free, and no more");
    bundle.stop().await;
}

#[tokio::test]
async fn keys_created_at_once_stop_at_the_limit() {
    let bundle = Bundle::start().await;
    bundle.account().await;
    let id = id_of_the_account(&bundle).await;
    let keys = format!("/accounts/{id}/keys");
    let made = created(&bundle, &keys, ADMIN_KEY, vec![String::new(); 160], "keys").await;
    assert_eq!(made, 99, "the account had one");
    assert_eq!(account_row(&bundle, &id).await["keys"]["N"], "100");
    bundle.stop().await;
}

#[tokio::test]
async fn pages_of_an_older_version_count_towards_the_limit() {
    let bundle = Bundle::start().await;
    let account: Account = bundle.account().await;
    let id = id_of_the_account(&bundle).await;
    // As an older version left it: rows of pages, and nothing that counts them.
    let rows: Vec<Value> = (0..960)
        .map(|n| {
            json!({"PutRequest": {"Item": {
                "pk": {"S": format!("account#{id}")},
                "sk": {"S": format!("own-page#facebook#9{n:04}")},
                "page": {"S": format!("page_{n:032x}")},
            }}})
        })
        .collect();
    for rows in rows.chunks(25) {
        dynamodb::call(&bundle, "BatchWriteItem", &json!({"RequestItems": {"ConfigTable": rows}})).await;
    }
    let forget = json!({
        "TableName": "ConfigTable",
        "Key": {"pk": {"S": "accounts"}, "sk": {"S": id}},
        "UpdateExpression": "REMOVE webhooks, pages, #keys",
        "ExpressionAttributeNames": {"#keys": "keys"},
    });
    dynamodb::call(&bundle, "UpdateItem", &forget).await;
    let page = |n: usize| {
        let access_token = format!("a-token-of-page-{n}");
        json!({"network": "facebook", "network_id": format!("8{n:04}"), "name": "p", "access_token": access_token})
            .to_string()
    };
    let made = created(&bundle, "/pages", &account.key, (0..80).map(page).collect(), "pages").await;
    assert_eq!(made, 40, "960 were there");
    // One is deleted, by two requests at once; one more may come.
    let listed = bundle.client.get("/pages?limit=1", &account.key).await.json();
    let path = format!("/pages/{}", listed["data"][0]["id"].as_str().unwrap());
    let both =
        tokio::join!(bundle.client.delete(&path, &account.key), bundle.client.delete(&path, &account.key));
    let statuses = [both.0.status, both.1.status];
    assert!(statuses == [200, 404] || statuses == [404, 200], "{statuses:?}");
    let made = created(&bundle, "/pages", &account.key, (100..105).map(page).collect(), "pages").await;
    assert_eq!(made, 1);
    bundle.stop().await;
}

#[tokio::test]
async fn a_wrong_count_is_corrected_by_the_next_creation() {
    let bundle = Bundle::start().await;
    let account: Account = bundle.account().await;
    let id = id_of_the_account(&bundle).await;
    // As where an older version created and deleted beside this one.
    for wrong in ["100", "-3"] {
        let miscount = json!({
            "TableName": "ConfigTable",
            "Key": {"pk": {"S": "accounts"}, "sk": {"S": id}},
            "UpdateExpression": "SET webhooks = :wrong",
            "ExpressionAttributeValues": {":wrong": {"N": wrong}},
        });
        dynamodb::call(&bundle, "UpdateItem", &miscount).await;
        assert_eq!(created(&bundle, "/webhooks", &account.key, webhooks(&bundle, 1), "webhooks").await, 1);
    }
    assert_eq!(account_row(&bundle, &id).await["webhooks"]["N"], "2");
    bundle.stop().await;
}
