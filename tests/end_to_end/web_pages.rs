//! No web page but the stack's own can use its ports, whatever is open in the browser of who runs it.

use carteiro_tests::Bundle;
use carteiro_tests::client::{Client, Reply};
use http::Method;

/// An address, and the method, path and headers of a request to it.
type Ask = (String, Method, &'static str, Vec<(&'static str, &'static str)>);

/// The six ports, and a request that each answers for a program.
fn ports(bundle: &Bundle) -> [Ask; 6] {
    let addresses = bundle.stack.addresses();
    let aws = |target| vec![("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target)];
    let receiver = bundle.receiver.url("");
    [
        (addresses.api.clone(), Method::GET, "/openapi.json", vec![]),
        (receiver.trim_end_matches('/').to_owned(), Method::GET, "/_/deliveries", vec![]),
        (
            addresses.dynamodb.clone(),
            Method::POST,
            "/",
            [
                aws("DynamoDB_20120810.ListTables"),
                vec![
                    (
                        "authorization",
                        "AWS4-HMAC-SHA256 Credential=a/20261121/us-east-1/dynamodb/aws4_request, \
                                    SignedHeaders=host, Signature=a",
                    ),
                    ("x-amz-date", "20261121T120000Z"),
                ],
            ]
            .concat(),
        ),
        (addresses.sqs.clone(), Method::POST, "/", aws("AmazonSQS.ListQueues")),
        (addresses.lambda.clone(), Method::GET, "/2015-03-31/functions/", vec![]),
        (bundle.networks.url(), Method::GET, "/control/calls?network=facebook", vec![]),
    ]
}

fn shows_cors(reply: &Reply) -> bool {
    reply.headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn no_web_page_but_its_own_uses_a_port_of_the_stack() {
    let bundle = Bundle::start().await;
    for (address, method, path, headers) in ports(&bundle) {
        let client = Client::new(&address);
        let ask = async |more: &[(&str, &str)]| {
            let headers = [headers.as_slice(), more].concat();
            client
                .request(method.clone(), path, &headers, if method == Method::POST { "{}" } else { "" })
                .await
        };
        let own_host = address.strip_prefix("http://").unwrap();
        let program = ask(&[]).await;
        assert!(program.status < 400, "{address}{path}: {} {}", program.status, program.text());
        for own in [
            vec![("origin", address.as_str()), ("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "none")],
        ] {
            let reply = ask(&own).await;
            assert_eq!((reply.status, shows_cors(&reply)), (program.status, false), "{address} {own:?}");
        }
        let by_name = own_host.replace("127.0.0.1", "localhost");
        assert_eq!(ask(&[("host", by_name.as_str())]).await.status, program.status, "{address}");
        for (foreign, status) in [
            (vec![("host", "evil.example")], 421),
            (vec![("host", "evil.example"), ("origin", "http://evil.example")], 421),
            (vec![("origin", "https://evil.example")], 403),
            (vec![("origin", "null")], 403),
            (vec![("origin", "http://127.0.0.1:1")], 403),
            (vec![("sec-fetch-site", "cross-site")], 403),
            (vec![("sec-fetch-site", "same-site")], 403),
        ] {
            let reply = ask(&foreign).await;
            assert_eq!((reply.status, shows_cors(&reply)), (status, false), "{address} {foreign:?}");
        }
        let preflight = [("origin", "https://evil.example"), ("access-control-request-method", "POST")];
        let reply = client.request(Method::OPTIONS, path, &preflight, "").await;
        assert_eq!((reply.status, shows_cors(&reply)), (403, false), "{address}");
    }
    bundle.stop().await;
}
