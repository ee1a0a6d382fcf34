//! Folders of sample pushes through the whole bundle, by the tool that users have for it.

use std::path::Path;

use carteiro_samples::{Addresses, Report, Secrets, read_folder, run};
use carteiro_tests::{ADMIN_KEY, Bundle, tools, workspace};

use crate::networks::{LINKEDIN_SECRET, YOUTUBE_SECRET};

const META_SECRET: &str = "a-meta-secret";
const X_SECRET: &str = "an-x-secret";

async fn report(folder: &Path) -> Report {
    let (samples, no_pushes) = read_folder(folder).unwrap();
    let bundle = Bundle::start_with([
        ("MetaAppSecrets", META_SECRET),
        ("XConsumerSecrets", X_SECRET),
        ("LinkedinClientSecrets", LINKEDIN_SECRET),
        ("YoutubeHubSecret", YOUTUBE_SECRET),
    ])
    .await;
    let addresses = bundle.stack.addresses();
    let addresses = Addresses {
        api: addresses.api.clone(),
        receiver: bundle.receiver.url(""),
        dynamodb: addresses.dynamodb.clone(),
        lambda: addresses.lambda.clone(),
        admin_key: ADMIN_KEY.to_owned(),
    };
    let secrets = Secrets {
        meta: META_SECRET.to_owned(),
        x: X_SECRET.to_owned(),
        linkedin: LINKEDIN_SECRET.to_owned(),
        youtube: YOUTUBE_SECRET.to_owned(),
    };
    let report = run(addresses, &secrets, &samples, no_pushes).await.unwrap();
    bundle.stop().await;
    report
}

/// Whatever the machine is busy with: the bound on an answer's time has a test of its own.
fn is_good_but_for_the_time(report: &Report) -> bool {
    let slow = |fault: &String| fault.starts_with("the answer took longer");
    report.faults.is_empty() && report.rows.iter().all(|row| row.faults.iter().all(slow))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fixture_is_delivered_once_and_a_repeat_adds_nothing() {
    let folder = workspace().join("tests/fixtures/pushes");
    let files = read_folder(&folder).unwrap().0.len();
    let report = report(&folder).await;
    println!("{report}");
    assert!(is_good_but_for_the_time(&report));
    let sum = |of: fn(&carteiro_samples::Row) -> usize| report.rows.iter().map(of).sum::<usize>();
    assert_eq!((report.rows.len(), report.no_pushes.len()), (files, 0));
    let (updates, distinct) = (sum(|row| row.updates), sum(|row| row.first));
    assert!(updates == distinct && distinct > 60, "{distinct} distinct of {updates}: each is another thing");
    assert_eq!(
        (sum(|row| row.incomplete), sum(|row| row.nobodys)),
        (5, 0),
        "a mention, two comments and two videos wait"
    );
    assert_eq!((sum(|row| row.delivered), sum(|row| row.valid)), (distinct - 5, distinct - 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_sample_is_delivered_once_and_a_repeat_adds_none() {
    let Some(folder) = tools::samples() else { return };
    let report = report(&folder).await;
    println!("{report}");
    assert!(!report.rows.is_empty() && is_good_but_for_the_time(&report));
}
