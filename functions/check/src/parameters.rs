//! What is wrong with a deployment's parameters.
//!
//! Each value is read by the code that the other functions read it with. A parameter is found by the name of its
//! environment variable: `NETWORK_SETTINGS` is `NetworkSettings`.

use std::collections::BTreeMap;

use carteiro_adapters::http::mail::SesAddress;
use carteiro_adapters::http::network_client::Addresses;
use carteiro_adapters::runtime::settings::{SettingsError, SettingsReader};
use carteiro_core::address::{PrivateTargets, WebhookUrl};
use carteiro_core::alert::AlertSender;
use carteiro_core::browser::FrameAncestors;
use carteiro_core::own_hosts::OwnHosts;
use carteiro_networks::poll::settings::NetworkSettings;

/// The parameters, by their names. A secret is not among them: `…Given` says whether it was given.
pub(crate) type Parameters = BTreeMap<String, String>;

/// Numbers that no function reads, for they configure the platform. A template alone would take fractions of them.
const OF_THE_PLATFORM: [(&str, u64, u64); 9] = [
    ("ALARM_DEAD_ITEMS", 1, 1_000_000),
    ("DELIVER_BATCH_SIZE", 1, 10),
    ("DELIVER_CONCURRENCY", 2, 1000),
    ("INGEST_RESERVED_CONCURRENCY", 0, 1000),
    ("INTAKE_RATE", 1, 5000),
    ("LOG_RETENTION_DAYS", 1, 365),
    ("MANAGE_RESERVED_CONCURRENCY", 0, 1000),
    ("POLL_CONCURRENCY", 2, 1000),
    ("SLOW_CONCURRENCY", 2, 1000),
];

/// What means nothing without something else: a parameter, those of which it needs one, and why.
const NEEDS: [(&str, &[&str], &str); 4] = [
    ("GoogleClientSecret", &["GoogleClientId"], "it is the secret of no client"),
    ("XClientSecret", &["XClientId"], "it is the secret of no client"),
    ("MetaVerifyToken", &["MetaAppSecrets"], "no push could be verified"),
    (
        "LinkedinApplicationId",
        &["LinkedinClientSecrets", "LinkedinClientSecret"],
        "no push that is subscribed to could be verified",
    ),
];

/// Everything that is wrong with the parameters, a sentence each that begins with the parameter's name. Empty, they
/// are good. `version` and `processor` are those that the functions were built with.
pub(crate) fn faults(parameters: &Parameters, version: &str, processor: &str) -> Vec<String> {
    let mut faults = of_the_build(parameters, version, processor);
    faults.extend(of_values(parameters));
    faults.extend(of_each_other(parameters));
    faults
}

fn of_the_build(parameters: &Parameters, version: &str, processor: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let processor = if processor == "aarch64" { "arm64" } else { processor };
    for (name, built) in [("Version", version), ("Architecture", processor)] {
        let given = parameters.get(name).map_or("nothing", String::as_str);
        if given != built {
            faults.push(format!(
                "{name} is {given}, but the functions were built for {built}: build and deploy with the same settings"
            ));
        }
    }
    faults
}

/// Reads every value as the functions do.
fn of_values(parameters: &Parameters) -> Vec<String> {
    let lookup = |variable: &str| parameters.get(&parameter_of(variable)).cloned();
    let mut reader = SettingsReader::new(&lookup);
    reader.admin_key();
    reader.rule();
    reader.retention();
    reader.attempt_time();
    reader.attempt_log_time();
    reader.host_concurrency();
    reader.tick_minutes();
    for (variable, least, most) in OF_THE_PLATFORM {
        reader.number(variable, least, most);
    }
    reader.parsed::<bool>("PUSHES_NEED_PROOF");
    reader.parsed::<NetworkSettings>("NETWORK_SETTINGS");
    reader.parsed::<PrivateTargets>("ALLOWED_PRIVATE_TARGETS");
    reader.parsed::<OwnHosts>("OWN_HOSTS");
    reader.parsed::<FrameAncestors>("CONSOLE_FRAME_ANCESTORS");
    Addresses::read(&mut reader);
    reader.parsed::<AlertSender>("ALERT_SENDER");
    reader.parsed::<SesAddress>("SES_BASE_URL");
    let SettingsError(wrong) = match reader.finish(Some(())) {
        Ok(()) => return Vec::new(),
        Err(error) => error,
    };
    wrong.iter().map(|sentence| with_parameter(sentence)).collect()
}

/// Settings that contradict one another.
fn of_each_other(parameters: &Parameters) -> Vec<String> {
    let is_given = |name: &str| {
        parameters.get(name).is_some_and(|value| !value.is_empty())
            || parameters.get(&format!("{name}Given")).is_some_and(|given| given == "true")
    };
    let mut faults = Vec::new();
    for (name, needed, why) in NEEDS {
        if is_given(name) && !needed.iter().any(|name| is_given(name)) {
            faults.push(format!("{name} is given without {}: {why}", needed.join(" or ")));
        }
    }
    let number = |name: &str| parameters.get(name).and_then(|text| text.parse::<u64>().ok());
    if let (Some(block), Some(days)) = (number("BlockSeconds"), number("RetentionDays"))
        && block >= days.saturating_mul(86_400)
    {
        faults.push(
            "BlockSeconds is no less than RetentionDays: what a block holds would die before its end"
                .to_owned(),
        );
    }
    faults.extend(push_base_outside(parameters));
    faults
}

/// A webhook could lead to the deployment itself where the address for pushes is not among its own hosts.
fn push_base_outside(parameters: &Parameters) -> Option<String> {
    let text = |name: &str| parameters.get(name).filter(|text| !text.is_empty());
    let base = text("PushBaseUrl")?;
    let private: PrivateTargets = parameters.get("AllowedPrivateTargets")?.parse().ok()?;
    let domain = parameters.get("DomainName").map_or("", String::as_str);
    let own: OwnHosts = format!("{domain},{}", parameters.get("OwnHosts")?).parse().ok()?;
    // An address that no webhook may have leads nowhere.
    let url = WebhookUrl::check(base, &private).ok()?;
    own.refuse_name(&url)
        .is_ok()
        .then(|| "PushBaseUrl has a host that neither OwnHosts nor DomainName names".to_owned())
}

/// The parameter behind an environment variable.
fn parameter_of(variable: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_ascii_lowercase())
    };
    variable.split('_').map(word).collect()
}

/// A reader's sentence, which begins with a variable, with the parameter in its place.
fn with_parameter(sentence: &str) -> String {
    match sentence.split_once(' ') {
        Some((variable, rest)) => format!("{} {rest}", parameter_of(variable)),
        None => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use carteiro_networks::network::Network;

    use super::*;

    fn good() -> Parameters {
        let mut parameters: Parameters = [
            ("Version", "1.2.3"),
            ("Architecture", "arm64"),
            ("AlarmDeadItems", "1"),
            ("AlertSender", ""),
            ("AllowedPrivateTargets", ""),
            ("AttemptLogDays", "14"),
            ("AttemptSeconds", "15"),
            ("BlockSeconds", "14400"),
            ("CollectMinutes", "15"),
            ("ConsoleFrameAncestors", ""),
            ("DeliverBatchSize", "10"),
            ("DeliverConcurrency", "20"),
            ("FailureThreshold", "1000"),
            ("HostConcurrency", "50"),
            ("IngestReservedConcurrency", "0"),
            ("IntakeRate", "2000"),
            ("LogRetentionDays", "30"),
            ("ManageReservedConcurrency", "0"),
            ("NetworkSettings", "{}"),
            ("OwnHosts", ""),
            ("PollConcurrency", "50"),
            ("PushBaseUrl", ""),
            ("PushesNeedProof", "true"),
            ("RetentionDays", "14"),
            ("SesBaseUrl", "https://email.us-east-1.amazonaws.com"),
            ("SlowConcurrency", "2"),
            ("YoutubeHubUrl", "https://hub.example/subscribe"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        parameters.insert("AdminKeySha256".to_owned(), "0".repeat(64));
        for network in Network::ALL {
            for of in ["BASE_URL", "TOKEN_URL"] {
                let name = parameter_of(&format!("{}_{of}", network.spec().environment));
                parameters.insert(name, "https://api.example/v1".to_owned());
            }
        }
        parameters
    }

    fn faults_with(changes: &[(&str, &str)]) -> Vec<String> {
        let mut parameters = good();
        parameters.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        faults(&parameters, "1.2.3", "aarch64")
    }

    #[test]
    fn good_parameters_have_no_fault() {
        for changes in [
            &[][..],
            &[("NetworkSettings", r#"{"x": {"messages": false}, "calls": 10}"#)],
            &[("AllowedPrivateTargets", "127.0.0.0/8, ::1/128"), ("XBaseUrl", "http://127.0.0.1:3005/x")],
            &[("PushBaseUrl", "https://hooks.example.org"), ("OwnHosts", "hooks.example.org")],
            &[("PushBaseUrl", "https://hooks.example.org"), ("DomainName", "hooks.example.org")],
            &[("XClientSecretGiven", "true"), ("XClientId", "client")],
            &[("LinkedinApplicationId", "77"), ("LinkedinClientSecretGiven", "true")],
            &[("MetaVerifyTokenGiven", "true"), ("MetaAppSecretsGiven", "true")],
            &[("MetaVerifyTokenGiven", "false")],
            &[("BlockSeconds", "86399"), ("RetentionDays", "1")],
            &[("AlertSender", "alerts@example.com"), ("SesBaseUrl", "http://127.0.0.1:3005/ses")],
        ] {
            assert_eq!(faults_with(changes), Vec::<String>::new(), "{changes:?}");
        }
    }

    #[test]
    fn each_bad_parameter_is_named_with_what_is_wrong() {
        for (name, value, fault) in [
            ("NetworkSettings", "{bad", "is malformed: key must be a string at line 1 column 2"),
            ("NetworkSettings", "[]", "is malformed: invalid type: sequence, expected a map"),
            ("NetworkSettings", r#"{"facebok": {}}"#, "is malformed: unknown variant `facebok`"),
            ("NetworkSettings", r#"{"x": {"page_size": 0}}"#, "is malformed: x.page_size is not"),
            ("NetworkSettings", r#"{"x": {"sise": 1}}"#, "is malformed: unknown field `sise`"),
            ("AllowedPrivateTargets", "10.0.0.0/40", "is malformed: not a CIDR: 10.0.0.0/40"),
            ("OwnHosts", "a.example:99999", "is malformed: "),
            (
                "ConsoleFrameAncestors",
                "https://*.com",
                "is malformed: not an origin as https://name: https://*.com",
            ),
            ("XBaseUrl", "http://api.x.com", "is malformed: an https URL is expected"),
            ("GooglePlayTokenUrl", "https://", "is malformed: an https URL is expected"),
            ("YoutubeHubUrl", "hub", "is malformed: an https URL is expected"),
            ("FailureThreshold", "1.5", "is malformed: invalid digit found in string"),
            ("AttemptSeconds", "21", "is not between 1 and 20"),
            ("DeliverConcurrency", "2.5", "is malformed: invalid digit found in string"),
            ("AdminKeySha256", "x", "is malformed: 64 lower-case hexadecimal digits are expected"),
            ("AlertSender", "Carteiro <a@example.com>", "is malformed: an e-mail address such as"),
            ("SesBaseUrl", "http://ses.example", "is malformed: an https URL is expected"),
            ("PushesNeedProof", "yes", "is malformed: "),
            ("XClientSecretGiven", "true", "is given without XClientId: "),
            ("GoogleClientSecretGiven", "true", "is given without GoogleClientId: "),
            ("MetaVerifyTokenGiven", "true", "is given without MetaAppSecrets: "),
            (
                "LinkedinApplicationId",
                "77",
                "is given without LinkedinClientSecrets or LinkedinClientSecret: ",
            ),
            (
                "PushBaseUrl",
                "https://hooks.example.org/x",
                "has a host that neither OwnHosts nor DomainName names",
            ),
            ("Architecture", "x86_64", "is x86_64, but the functions were built for arm64: "),
            ("Version", "1.2.4", "is 1.2.4, but the functions were built for 1.2.3: "),
        ] {
            let faults = faults_with(&[(name, value)]);
            let expected = format!("{} {fault}", name.trim_end_matches("Given"));
            assert!(faults.len() == 1 && faults[0].starts_with(&expected), "{name}={value}: {faults:?}");
        }
        let faults = faults_with(&[("BlockSeconds", "86400"), ("RetentionDays", "1")]);
        assert!(faults.len() == 1 && faults[0].starts_with("BlockSeconds is no less than"), "{faults:?}");
    }

    #[test]
    fn every_parameter_is_needed_and_all_faults_are_told() {
        let faults = faults(&Parameters::new(), "1.2.3", "x86_64");
        for name in good().keys() {
            // Empty means that there is none.
            let is_told = faults.iter().any(|fault| fault.starts_with(&format!("{name} is ")));
            assert!(is_told || name == "PushBaseUrl", "{name}: {faults:?}");
        }
    }
}
