//! What the documents say, held to what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use carteiro_core::retry::{MAX_QUEUE_DELAY, SCHEDULE};
use carteiro_core::signature::{Secret, TOLERANCE_SECONDS, sign};
use carteiro_core::{
    account_limit, browser, credentials, cursor, idempotency, item, ndjson, release, session, signature,
    test_share, webhook,
};
use carteiro_networks::collected::{Action, Kind, MAX_ATTACHMENTS, MAX_TEXT_BYTES, SCHEMA};
use carteiro_networks::{inbox, network, page, push};
use carteiro_tests::{ADMIN_KEY, Bundle, machine_clock, program, tools, workspace};
use serde_json::Value;

/// A section of a document: its path, and a heading of the second level; all of it where there is none.
type Place = (&'static str, Option<&'static str>);

/// Where each thing stands that the tests hold to the code.
mod place {
    use super::Place;

    pub(super) const CURL: Place = ("README.md", Some("Five minutes with curl"));
    pub(super) const GUARANTEES: Place = ("docs/guarantees.md", None);
    pub(super) const RETRIES: Place = ("docs/delivery.md", Some("Retries"));
    pub(super) const RECEIVING: Place = ("docs/receiving.md", None);
    pub(super) const ROTATION: Place = ("docs/receiving.md", Some("Rotate a secret"));
    pub(super) const COLLECTED_ITEMS: Place = ("docs/collecting.md", Some("Collected items"));
    pub(super) const PARAMETERS: Place = ("docs/configuration.md", Some("Parameters"));
    pub(super) const LIMITS: Place = ("docs/limits.md", None);
    pub(super) const PROGRAM: Place = ("infra/README.md", Some("The program"));
    pub(super) const SAMPLES_TOOL: Place = ("infra/README.md", Some("The samples tool"));
    pub(super) const COMPARISON: [Place; 3] = [
        ("docs/comparison.md", Some("Delivery core")),
        ("docs/comparison.md", Some("Security")),
        ("docs/comparison.md", Some("Reliability and isolation")),
    ];
}

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of a place.
fn section((path, heading): Place) -> String {
    let document = read(path);
    let Some(heading) = heading else { return document };
    let start = format!("\n## {heading}\n");
    let (_, rest) = document.split_once(&start).unwrap_or_else(|| panic!("{path} has no section {heading}"));
    rest.split("\n## ").next().unwrap().to_owned()
}

/// A text with its line breaks as spaces: where a document breaks its lines says nothing.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// All documents, by their paths in the repository.
fn documents() -> Vec<String> {
    let mut found: Vec<String> =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "infra/README.md"].map(str::to_owned).into();
    for folder in ["docs", "docs/architecture"] {
        let entries = std::fs::read_dir(workspace().join(folder)).unwrap().map(Result::unwrap);
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        found.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    found
}

/// The cells of a section's table rows, heads and rules left out.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = section.lines().collect();
    let is_row = |line: &str| line.starts_with("| ");
    let rows = lines.iter().enumerate().filter(|&(index, line)| {
        is_row(line) && !lines.get(index + 1).is_some_and(|next| next.starts_with("|---"))
    });
    rows.map(|(_, line)| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// A section's fenced blocks of one language.
fn each_block<'a>(section: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let blocks: Vec<_> = section.split(fence.as_str()).skip(1).collect();
    blocks.into_iter().filter_map(|block| block.split("```").next())
}

/// Their text, together.
fn blocks(section: &str, language: &str) -> String {
    each_block(section, language).collect()
}

/// The code in one language that receivers are shown, and that holds a text.
pub(crate) fn snippet(language: &str, holding: &str) -> String {
    let receiving = section(place::RECEIVING);
    let found = each_block(&receiving, language).find(|block| block.contains(holding));
    found.unwrap_or_else(|| panic!("no {language} with {holding:?}")).to_owned()
}

/// The template's parameters and their defaults, as their document writes them.
fn declared_parameters() -> Vec<(String, String)> {
    let template = read("template.yaml");
    let (_, rest) = template.split_once("\nParameters:\n").expect("the template has parameters");
    let mut declared: Vec<(String, String)> = Vec::new();
    for line in rest.lines().take_while(|line| line.is_empty() || line.starts_with(' ')) {
        let indented = line.strip_prefix("  ").unwrap_or_default();
        if let Some(name) = indented.strip_suffix(':').filter(|name| !name.starts_with(' ')) {
            declared.push((format!("`{name}`"), "required".to_owned()));
        } else if let Some(default) = indented.strip_prefix("  Default: ") {
            let default = default.trim_matches('"');
            let shown = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
            declared.last_mut().expect("a default belongs to a parameter").1 = shown;
        }
    }
    declared
}

/// The sources in these folders, by the names of their files; a `mod.rs` by its folder's.
fn sources_by_name(folders: &[&str]) -> BTreeMap<String, String> {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| workspace().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let (path, mut name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if name == "mod.rs" {
                name = format!("{}.rs", folder.file_name().unwrap().to_string_lossy());
            }
            if path.is_dir() {
                open.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                sources.entry(name).or_default().push_str(&text);
            }
        }
    }
    sources
}

#[test]
fn each_claim_of_the_comparison_is_tested_or_denied() {
    let sources = sources_by_name(&["functions", "infra", "tests"]);
    let mut counted = 0;
    for place in place::COMPARISON {
        for row in rows(&section(place)) {
            let [what, ours, others @ .., test] = row.as_slice() else { panic!("{row:?}") };
            assert!(others.len() == 4 && others.iter().all(|cell| !cell.is_empty()), "{what}");
            counted += 1;
            if ours.starts_with("**No**") {
                assert_eq!(test, "–", "{what}");
                continue;
            }
            let (file, name) =
                test.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("{what}: {test}"));
            let source = sources.get(file).unwrap_or_else(|| panic!("{what}: no {file}"));
            let is_test = source.contains(&format!("fn {name}(")) || source.contains(&format!("{name} =>"));
            assert!(is_test, "{what}: {file} has no {name}");
        }
    }
    assert!(counted >= 31, "{counted} rows");
}

#[test]
fn the_parameters_are_the_templates_with_their_defaults() {
    let listed: Vec<_> =
        rows(&section(place::PARAMETERS)).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let declared = declared_parameters();
    assert!(declared.len() > 20, "{declared:?}");
    assert_eq!(listed, declared);
}

#[test]
fn the_documented_limits_are_those_of_the_core() {
    let limits: BTreeMap<_, _> =
        rows(&section(place::LIMITS)).into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let (kib, mib) = (1024, 1024 * 1024);
    let expected = [
        ("one item", format!("{} KiB", item::MAX_ITEM_BYTES / kib)),
        ("bulk request", format!("{} MiB, {} lines", ndjson::MAX_BULK_BYTES / mib, ndjson::MAX_BULK_LINES)),
        ("push", format!("{} MiB", push::MAX_PUSH_BYTES / mib)),
        ("memory of an inbox entry", format!("{} days", inbox::REMEMBERED.as_secs() / 86400)),
        ("idempotency key", format!("{} visible", idempotency::MAX_KEY_BYTES)),
        ("idempotency key", format!("{} h", idempotency::REMEMBERED.as_secs() / 3600)),
        ("bot's name", format!("{} of", item::MAX_BOT_NAME_BYTES)),
        ("keys of an account", account_limit::MAX_KEYS_PER_ACCOUNT.to_string()),
        ("webhooks of an account", webhook::MAX_WEBHOOKS_PER_ACCOUNT.to_string()),
        (
            "tests of an account's webhooks",
            format!("{} at once, {} a minute", test_share::TESTS_AT_ONCE, test_share::TESTS_A_MINUTE),
        ),
        (
            "lookups of an account's items",
            format!("{} at once, {} a minute", test_share::LOOKUPS_AT_ONCE, test_share::LOOKUPS_A_MINUTE),
        ),
        (
            "alerts to an account's chats",
            format!("{} at once, {} a minute", test_share::CHATS_AT_ONCE, test_share::CHATS_A_MINUTE),
        ),
        ("sign-in link", format!("{} to {} s", session::LINK_SECONDS.start(), session::LINK_SECONDS.end())),
        (
            "session of the console",
            format!(
                "{} h, {} h without",
                session::SESSION_TIME.as_secs() / 3600,
                session::IDLE_TIME.as_secs() / 3600
            ),
        ),
        ("sessions of an account", format!("{};", session::MAX_SESSIONS)),
        ("sites that may frame the console", browser::MAX_FRAME_ANCESTORS.to_string()),
        ("webhook's URL", format!("{} bytes", carteiro_core::address::MAX_URL_BYTES)),
        (
            "webhook's own headers",
            format!("{}, of {} bytes", webhook::MAX_HEADERS, webhook::MAX_HEADER_BYTES),
        ),
        ("webhook's sources", webhook::MAX_SOURCES.to_string()),
        (
            "webhook's secret",
            format!("{} to {} bytes", signature::MIN_SECRET_BYTES, signature::MAX_SECRET_BYTES),
        ),
        (
            "replaced secrets that sign, and replaced key pairs",
            format!("{} each, for at most {} s", credentials::MAX_REPLACED, credentials::MAX_OVERLAP_SECONDS),
        ),
        ("webhook's own threshold", format!("1 to {} failures", webhook::MAX_THRESHOLD)),
        ("webhook's own block", format!("1 s to {} s", webhook::MAX_BLOCK_SECONDS)),
        (
            "step of a release",
            format!(
                "{} items at first, at most {}, and {} MiB",
                release::FIRST_STEP,
                release::MAX_STEP,
                release::MAX_STEP_BYTES / mib
            ),
        ),
        (
            "replays of a single item that take it at the same time",
            format!("{} of", carteiro_core::replay::MAX_ITEMS_AT_ONCE),
        ),
        ("pages of an account", account_limit::MAX_PAGES_PER_ACCOUNT.to_string()),
        ("page's name", format!("{} bytes", page::MAX_PAGE_NAME_BYTES)),
        ("page's token, refresh token", format!("{} KiB each", page::MAX_TOKEN_BYTES / kib)),
        ("network's id of a page", format!("{} of", network::MAX_NETWORK_ID_BYTES)),
        ("passages of an item through Carteiro", carteiro_core::hop::Hop::LIMIT.count().to_string()),
        ("page of a list", format!("{}, at most {}", cursor::DEFAULT_LIMIT, cursor::MAX_LIMIT)),
    ];
    for (what, limit) in expected {
        let documented = limits.get(what).unwrap_or_else(|| panic!("{what} is not among the limits"));
        assert!(documented.contains(&limit), "{what}: {documented}, not {limit}");
    }
    let lease = format!("for {} s (its lease)", idempotency::LEASE.as_secs());
    assert!(unwrapped(&section(place::GUARANTEES)).contains(&lease), "{lease}");
}

#[test]
fn the_documented_retries_are_those_of_the_core() {
    let shown = |seconds: u64| match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    };
    let place = |soon: bool| if soon { "queue" } else { "held" }.to_owned();
    let mut expected: Vec<_> = (1..)
        .zip(SCHEDULE)
        .map(|(attempt, wait): (u32, _)| {
            vec![attempt.to_string(), shown(wait.as_secs()), place(wait <= MAX_QUEUE_DELAY)]
        })
        .collect();
    expected.push(vec![(SCHEDULE.len() + 1).to_string(), "none: dead".to_owned(), "dead".to_owned()]);
    assert_eq!(rows(&section(place::RETRIES)), expected);
}

#[test]
fn the_documented_rotation_is_that_of_the_core() {
    let rotation = section(place::ROTATION);
    let rows = rows(&rotation);
    let fields: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(fields, credentials::ROTATION_FIELDS);
    let (most, usual) = (credentials::MAX_OVERLAP_SECONDS, credentials::DEFAULT_OVERLAP_SECONDS);
    assert!(rows[2][1].contains(&format!("0 to {most}; {usual} where")), "{rows:?}");
    assert!(
        unwrapped(&rotation).contains(&format!("at most {} replaced secrets", credentials::MAX_REPLACED))
    );
    let shown = [snippet("python", "def genuine("), snippet("python", "def genuine_by_public_key(")];
    assert!(shown.iter().all(|check| check.contains(&format!("> {TOLERANCE_SECONDS}:"))), "{shown:?}");
}

/// The anchor of a heading, as web pages of repositories make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(document: &str) -> BTreeSet<String> {
    document
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_relative_link_of_the_documents_has_a_target() {
    let mut checked = 0;
    for name in documents() {
        let document = read(&name);
        let folder = workspace().join(&name).parent().unwrap().to_owned();
        for link in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { workspace().join(&name) } else { folder.join(path) };
            assert!(target.exists(), "{name} links to {link}");
            if !fragment.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).contains(fragment), "{name} links to {link}");
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} links were found");
}

/// The lines of a document that are neither code nor table.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let outside = document.split("\n```").step_by(2);
    outside.flat_map(str::lines).filter(|line| !line.starts_with('|'))
}

#[test]
fn the_readme_and_the_overview_stay_short() {
    for (name, most_lines, most_words) in
        [("README.md", 220, 1800), ("docs/architecture/overview.md", 110, 1100)]
    {
        let document = read(name);
        let (lines, words) = (document.lines().count(), document.split_whitespace().count());
        assert!(lines <= most_lines && words <= most_words, "{name}: {lines} lines, {words} words");
    }
}

#[test]
fn the_prose_of_the_documents_is_wrapped_at_120_columns() {
    for name in documents().iter().filter(|name| *name != "CHANGELOG.md") {
        let document = read(name);
        let is_long = |line: &&str| line.chars().count() > 120 && line.split(' ').count() > 2;
        let long: Vec<_> = prose(&document).filter(is_long).collect();
        assert!(long.is_empty(), "{name}: {long:?}");
    }
}

#[test]
fn each_module_of_a_large_crate_is_named_in_its_head() {
    for name in ["core", "manage", "networks"] {
        let source = read(&format!("functions/{name}/src/lib.rs"));
        let (head, code) = source.split_once("\n\n").expect("a crate begins with its head");
        let declared = code.lines().filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("mod ")?.strip_suffix(';')
        });
        let hidden = ["fixtures", "named", "seventh"];
        let missing: Vec<_> = declared
            .filter(|module| !hidden.contains(module) && !head.contains(&format!("`{module}`")))
            .collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

/// The names of the tests in a source.
fn names_of_tests(source: &str) -> impl Iterator<Item = &str> {
    let marked = ["#[test]\n", "#[tokio::test"].into_iter().flat_map(|mark| source.split(mark).skip(1));
    marked.filter_map(|rest| rest.split_once("fn ")?.1.split_once(['(', '<'])).map(|(name, _)| name)
}

#[test]
fn comments_and_the_names_of_tests_keep_to_their_lengths() {
    // A table's row and an address cannot be wrapped.
    let is_wrapped = |line: &str| !line.contains("| ") && line.split_whitespace().count() > 2;
    for (file, source) in sources_by_name(&["functions", "infra", "tests"]) {
        let is_comment = |line: &str| line.trim_start().starts_with("//") && is_wrapped(line);
        let is_long = |line: &&str| line.chars().count() > 120 && is_comment(line);
        let comments: Vec<_> = source.lines().filter(is_long).collect();
        let names: Vec<_> = names_of_tests(&source).filter(|name| name.len() > 60).collect();
        assert!(comments.is_empty() && names.is_empty(), "{file}: {comments:#?}, {names:#?}");
    }
}

#[test]
fn the_readme_tells_to_run_what_ci_runs() {
    let (readme, ci) = (read("README.md"), read(".ci/run").replace("--locked ", ""));
    for command in ["cargo test --workspace", "cargo run -- --once"] {
        assert!(readme.contains(&format!("`{command}")), "the README does not name {command}");
        assert!(ci.lines().any(|line| line.starts_with(command)), ".ci/run does not run {command}");
    }
    let rust = format!("({} or newer)", env!("CARGO_PKG_RUST_VERSION"));
    assert!(readme.contains(&rust), "the README does not ask for Rust {rust}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_options_are_listed() {
    let program = program().await;
    let help = Command::new(program).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let named = |line: &str| {
        let name = line.trim_start_matches('`').split([' ', '`', '<']).next()?;
        name.starts_with("--").then(|| name.to_owned())
    };
    let of_program: BTreeSet<_> = help.lines().filter_map(|line| named(line.trim_start())).collect();
    let listed: BTreeSet<_> =
        rows(&section(place::PROGRAM)).iter().filter_map(|row| named(&row[0])).collect();
    assert!(of_program.contains("--once"), "{help}");
    assert_eq!(listed, of_program);
}

/// The options of a program, as its source declares them.
fn declared_options(source: &str) -> BTreeSet<String> {
    let fields = source.split("#[arg(long").skip(1).filter_map(|rest| {
        let field = rest.lines().skip(1).find(|line| !line.trim_start().starts_with(['/', '#']))?;
        let name = field.trim_start().split(':').next()?;
        Some(format!("--{}", name.replace('_', "-")))
    });
    fields.collect()
}

#[test]
fn the_samples_tools_options_are_listed() {
    let declared = declared_options(&read("infra/samples/src/main.rs"));
    let options = rows(&section(place::SAMPLES_TOOL));
    let listed: BTreeSet<_> = options
        .iter()
        .flat_map(|row| row[0].split(", "))
        .filter_map(|option| option.trim_matches('`').split(' ').next())
        .filter(|option| option.starts_with("--"))
        .map(str::to_owned)
        .collect();
    assert!(declared.contains("--json") && declared.len() == 8, "{declared:?}");
    assert_eq!(listed, declared);
}

#[test]
fn collected_items_are_shown_as_their_schema_has_them() {
    let collected = section(place::COLLECTED_ITEMS);
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let shown: Value = serde_json::from_str(&blocks(&collected, "json")).unwrap();
    assert_eq!(shown, schema["examples"][0]);
    let first: Vec<_> = rows(&collected).into_iter().map(|row| row[0].clone()).collect();
    let listed =
        |name: &String| first.iter().any(|cell| cell.split(", ").any(|one| one == format!("`{name}`")));
    for field in schema["properties"].as_object().unwrap().keys() {
        assert!(listed(field), "{field}");
    }
    let kinds = Kind::ALL.map(|kind| format!("`{}`", kind.as_str()));
    let actions = Action::ALL.map(|action| format!("`{}`", action.as_str()));
    assert!(first.windows(kinds.len()).any(|cells| cells == kinds), "{first:?}");
    assert!(first.windows(actions.len()).any(|cells| cells == actions), "{first:?}");
    let (text, attachments) = (MAX_TEXT_BYTES / 1024, MAX_ATTACHMENTS);
    for limit in [format!("up to {text} KiB"), format!("up to {attachments};")] {
        assert!(collected.contains(&limit), "{limit}");
    }
}

/// Runs a script with a program that reads it from its standard input.
pub(crate) async fn run(mut program: Command, script: String) -> Output {
    let run = move || {
        let mut child =
            program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn the_documented_check_accepts_only_genuine_signatures() {
    let Some(python) = tools::python_with("hmac") else { return };
    let secret = Secret::from_random([7; 32]);
    let now = i64::try_from(machine_clock().now_ms() / 1000).unwrap();
    let other = Secret::from_random([8; 32]);
    let mut script = snippet("python", "def genuine(");
    let known = secret.reveal();
    for (known, time, body) in [
        (known.as_str(), now, "é"),
        (known.as_str(), now, "e"),
        (&Secret::from_random([9; 32]).reveal(), now, "é"),
        (known.as_str(), now - TOLERANCE_SECONDS - 5, "é"),
        (known.as_str(), now - TOLERANCE_SECONDS + 60, "é"),
    ] {
        let signature = sign([&other, &secret], "item_1", time, "{\"a\":\"é\"}".as_bytes());
        write!(
            script,
            "\nheaders = {{'webhook-id': 'item_1', 'webhook-timestamp': '{time}', 'webhook-signature': '{signature}'}}\
             \nprint(genuine('{known}', headers, '{{\"a\":\"{body}\"}}'.encode()))\n"
        )
        .unwrap();
    }
    let mut python = Command::new(python);
    python.arg("-").env("PYTHONUTF8", "1");
    let output = run(python, script).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let verdicts: Vec<_> = str::from_utf8(&output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(verdicts, ["True", "False", "False", "False", "True"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_minutes_with_curl_show_a_block_and_its_release() {
    if let Some(missing) = ["bash", "curl", "sed"].into_iter().find(|tool| !is_there(tool)) {
        return tools_are_missing(missing);
    }
    let bundle = Bundle::start().await;
    let addresses = bundle.stack.addresses();
    let receiver = bundle.receiver.url("");
    let script = blocks(&section(place::CURL), "sh")
        .replace("http://127.0.0.1:3000", &addresses.api)
        .replace("http://127.0.0.1:3001", receiver.trim_end_matches('/'))
        .replace("http://127.0.0.1:3004", &addresses.lambda)
        .replace("$(cat .carteiro/admin-key)", ADMIN_KEY);
    assert!(!script.contains("127.0.0.1:300") && !script.contains(".carteiro"), "{script}");
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-s"]);
    let output = run(bash, script).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        r#""webhooks":1"#,
        r#""signature":"valid""#,
        r#"["carteiro-attempt","2"]"#,
        r#""state":"blocked""#,
        r#""held":4,"#,
        "Sending events to this URL is blocked from ",
        r#""state":"open""#,
        r#""outcome":"success""#,
        r#""planned":true"#,
    ] {
        assert!(said.contains(expected), "{expected} is not in {said}");
    }
    assert!(!said.contains(r#""signature":"invalid""#), "{said}");
    bundle.stop().await;
}

fn is_there(tool: &str) -> bool {
    let version = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    // Some know no such option, and say so.
    version.is_ok()
}

#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests are told by their environment what is required, and say what they skip"
)]
fn tools_are_missing(tool: &str) {
    assert!(std::env::var("CARTEIRO_REQUIRE_ALL").as_deref() != Ok("1"), "{tool} is required and missing");
    println!("SKIPPED: {tool} is missing");
}
