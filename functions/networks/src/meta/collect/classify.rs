//! What an answer of the Graph API means.
//!
//! The error's code decides, not the status: limits and dead tokens mostly come with 400. Sources:
//! developers.facebook.com/docs/graph-api/guides/error-handling, /overview/rate-limiting; captured answers where they
//! differ.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Settings;
use crate::meta::proof::says_proof;
use crate::normalise::value::{is_true, number, parse, text};
use crate::poll::{CooldownScope, NetworkResponse, OperatorFault, TokenTrouble, Verdict};

/// The longest wait that is believed.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);
/// How long a page is left alone that Meta blocked for a time that it does not tell (code 368).
const BLOCKED: SignedDuration = SignedDuration::from_hours(1);

/// An answer, read.
pub(crate) enum Reply {
    /// It is what was asked for.
    Good {
        /// The body.
        body: Box<RawValue>,
        /// Read.
        value: Value,
        /// That a limit is near, where it is.
        near: Option<Verdict>,
    },
    /// It is not.
    Bad {
        /// What it means.
        verdict: Verdict,
        /// The asked object has no such field: it is of another type.
        unknown_field: bool,
        /// It would be answered if less were asked for at once.
        too_much: bool,
    },
}

/// What an answer of Meta's says of the token, the limits and the object.
#[must_use]
pub fn verdict(answer: &NetworkResponse<'_>, settings: &Settings, now: Timestamp) -> Verdict {
    match read(answer, settings, now) {
        Reply::Good { near, .. } => near.unwrap_or(Verdict::Fine),
        Reply::Bad { verdict, .. } => verdict,
    }
}

/// Reads an answer.
pub(crate) fn read(answer: &NetworkResponse<'_>, settings: &Settings, now: Timestamp) -> Reply {
    let bad = |verdict| Reply::Bad { verdict, unknown_field: false, too_much: false };
    let usage = Usage::of(answer);
    let body = String::from_utf8_lossy(answer.body).trim_ascii().to_owned();
    let Ok(body) = RawValue::from_string(body) else {
        return bad(match answer.status {
            429 => usage.wait(CooldownScope::ThePage, settings, now),
            500.. => Verdict::Transient,
            _ => Verdict::Malformed,
        });
    };
    let value = parse(&body);
    if let Some(error) = value.get("error").filter(|error| error.is_object()) {
        let said = text(error, "message").unwrap_or_default().to_ascii_lowercase();
        return Reply::Bad {
            verdict: of_error(error, answer.status, &usage, settings, now),
            unknown_field: number(error, "code") == Some(100) && said.contains("nonexisting field"),
            too_much: said.contains("reduce the amount of data"),
        };
    }
    match answer.status {
        200..300 if value.is_object() => {
            let near = usage.near(settings).map(|of| usage.wait(of, settings, now));
            Reply::Good { body, value, near }
        }
        429 => bad(usage.wait(CooldownScope::ThePage, settings, now)),
        500.. => bad(Verdict::Transient),
        _ => bad(Verdict::Malformed),
    }
}

fn of_error(error: &Value, status: u16, usage: &Usage, settings: &Settings, now: Timestamp) -> Verdict {
    let code = number(error, "code");
    let subcode = number(error, "error_subcode");
    let fault = operator_fault(code.unwrap_or_default(), error).filter(|_| !is_true(error, "is_transient"));
    if let Some(fault) = fault {
        return Verdict::OurFault(fault);
    }
    match (code.unwrap_or_default(), subcode) {
        // The app's own limit; the others' are the page's, its user's or its use case's.
        (4 | 341, _) => usage.wait(CooldownScope::TheApp, settings, now),
        (17 | 32 | 613 | 80000..80100, _) => usage.wait(CooldownScope::ThePage, settings, now),
        (368, _) => {
            Verdict::Wait { until: now.saturating_add(BLOCKED).unwrap_or(now), of: CooldownScope::ThePage }
        }
        // Also beside what else would be for good: a token that is wrongly taken for dead stops what works.
        (1 | 2, _) => Verdict::Transient,
        _ if is_true(error, "is_transient") => Verdict::Transient,
        (190 | 102, Some(463)) => Verdict::Token(TokenTrouble::Expired),
        (190, None) if says_permission(error) => narrowed(error),
        (190 | 102, _) => Verdict::Token(TokenTrouble::Revoked),
        // The first is outside of the window in which a message may be sent, and says nothing of permissions.
        (10, Some(2_018_278)) | (100, Some(33)) | (803, _) => Verdict::Gone,
        (10 | 200..300, _) => narrowed(error),
        _ if status >= 500 => Verdict::Transient,
        _ if status == 429 => usage.wait(CooldownScope::ThePage, settings, now),
        _ => Verdict::Malformed,
    }
}

/// What the operator has to mend of the app, where that is why.
///
/// The codes are those of the error-handling guide and of the list of the former REST API, whose numbers the Graph API
/// kept: 3 capability, 5 the app's list of addresses, 11 and 12 deprecated method and version, 15 an app's setting, 101
/// the application, 104 its signature; 2635 is a withdrawn version's. That an app is blocked comes with 190 or 200, in
/// words alone.
fn operator_fault(code: i64, error: &Value) -> Option<OperatorFault> {
    const BLOCKED_APP: [&str; 6] = [
        "api access blocked",
        "api access deactivated",
        "application has been deleted",
        "application has been disabled",
        "non-active apps",
        "provide valid app id",
    ];
    let said = text(error, "message").unwrap_or_default().to_ascii_lowercase();
    match code {
        100 if says_proof(&said) => Some(OperatorFault::AppProof),
        3 => Some(OperatorFault::AppAccess),
        11 | 12 | 2635 => Some(OperatorFault::VersionWithdrawn),
        5 | 15 | 101 | 104 => Some(OperatorFault::AppRejected),
        190 | 200 if BLOCKED_APP.iter().any(|part| said.contains(part)) => Some(OperatorFault::AppRejected),
        _ => None,
    }
}

fn says_permission(error: &Value) -> bool {
    let said = text(error, "message").unwrap_or_default().to_ascii_lowercase();
    said.contains("permission(s) must be granted")
}

/// The permissions that a message may name (developers.facebook.com/docs/permissions); other words that begin alike are
/// fields, as `instagram_business_account`.
const PERMISSIONS: [&str; 18] = [
    "ads_read",
    "business_management",
    "instagram_basic",
    "instagram_business_basic",
    "instagram_business_manage_comments",
    "instagram_business_manage_messages",
    "instagram_manage_comments",
    "instagram_manage_insights",
    "instagram_manage_messages",
    "manage_pages",
    "pages_manage_engagement",
    "pages_manage_metadata",
    "pages_manage_posts",
    "pages_messaging",
    "pages_read_engagement",
    "pages_read_user_content",
    "pages_show_list",
    "read_page_mailboxes",
];

/// The permission is a word of the message.
fn narrowed(error: &Value) -> Verdict {
    let said = text(error, "message").unwrap_or_default().to_ascii_lowercase();
    let mut words = said.split(|c: char| !(c.is_ascii_lowercase() || c == '_'));
    let named = words.find(|word| PERMISSIONS.contains(word));
    Verdict::Token(TokenTrouble::Narrowed(named.map(str::to_owned)))
}

/// How much of the limits is used, by the headers: per cent, which may exceed 100.
struct Usage {
    app: f64,
    page: f64,
    /// After how many minutes calls are answered again.
    minutes: i64,
}

impl Usage {
    fn of(answer: &NetworkResponse<'_>) -> Self {
        let header = |name: &str| {
            let text = (answer.header)(name)?;
            serde_json::from_str::<Value>(text).ok()
        };
        let mut usage = Self { app: 0.0, page: 0.0, minutes: 0 };
        if let Some(app) = header("x-app-usage") {
            usage.app = percent(&app);
        }
        if let Some(Value::Object(objects)) = header("x-business-use-case-usage") {
            // A list for each business object; third parties have seen an object in its place.
            for one in objects.values() {
                let listed = one.as_array().map_or(std::slice::from_ref(one), Vec::as_slice);
                for one in listed {
                    usage.page = usage.page.max(percent(one));
                    let minutes = number(one, "estimated_time_to_regain_access").unwrap_or_default();
                    usage.minutes = usage.minutes.max(minutes);
                }
            }
        }
        usage
    }

    /// Whose limit is near, if any is.
    fn near(&self, settings: &Settings) -> Option<CooldownScope> {
        let near = |percent: f64| percent >= f64::from(settings.slow_percent);
        if self.minutes > 0 || near(self.page) {
            return Some(CooldownScope::ThePage);
        }
        near(self.app).then_some(CooldownScope::TheApp)
    }

    fn wait(&self, of: CooldownScope, settings: &Settings, now: Timestamp) -> Verdict {
        let minutes = if self.minutes > 0 { self.minutes } else { i64::from(settings.slow_minutes) };
        let wait = SignedDuration::from_secs(minutes.saturating_mul(60)).min(LONGEST_WAIT);
        Verdict::Wait { until: now.saturating_add(wait).unwrap_or(now), of }
    }
}

fn percent(usage: &Value) -> f64 {
    let of = |name: &str| {
        let value = usage.get(name)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    };
    ["call_count", "total_time", "total_cputime"].into_iter().filter_map(of).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn of(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Verdict {
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        verdict(&NetworkResponse { status, header: &header, body }, &Settings::default(), now())
    }

    fn error(code: i64, subcode: Option<i64>, message: &str) -> Verdict {
        let error = json!({"error": {"message": message, "code": code, "error_subcode": subcode}});
        of(400, &[], error.to_string().as_bytes())
    }

    fn wait(minutes: i64, of: CooldownScope) -> Verdict {
        Verdict::Wait { until: now() + SignedDuration::from_mins(minutes), of }
    }

    #[test]
    fn an_errors_code_decides_and_not_the_status() {
        let narrowed = |name: Option<&str>| Verdict::Token(TokenTrouble::Narrowed(name.map(str::to_owned)));
        for (code, subcode, message, expected) in [
            (190, None, "Error validating access token", Verdict::Token(TokenTrouble::Revoked)),
            (190, Some(458), "", Verdict::Token(TokenTrouble::Revoked)),
            (190, Some(460), "", Verdict::Token(TokenTrouble::Revoked)),
            (190, Some(463), "", Verdict::Token(TokenTrouble::Expired)),
            (190, Some(492), "", Verdict::Token(TokenTrouble::Revoked)),
            (102, None, "", Verdict::Token(TokenTrouble::Revoked)),
            (
                190,
                None,
                "(#190) pages_messaging permission(s) must be granted",
                narrowed(Some("pages_messaging")),
            ),
            (
                10,
                None,
                "requires the 'pages_read_engagement' permission",
                narrowed(Some("pages_read_engagement")),
            ),
            (200, None, "", narrowed(None)),
            (299, None, "", narrowed(None)),
            (10, Some(2_018_278), "outside of allowed window", Verdict::Gone),
            (100, Some(33), "", Verdict::Gone),
            (803, None, "", Verdict::Gone),
            (100, None, "(#100) invalid cursor", Verdict::Malformed),
            (4, None, "", wait(15, CooldownScope::TheApp)),
            (17, None, "", wait(15, CooldownScope::ThePage)),
            (32, None, "", wait(15, CooldownScope::ThePage)),
            (613, None, "", wait(15, CooldownScope::ThePage)),
            (80_001, None, "", wait(15, CooldownScope::ThePage)),
            (80_002, Some(2_446_079), "", wait(15, CooldownScope::ThePage)),
            (368, None, "", wait(60, CooldownScope::ThePage)),
            (1, None, "", Verdict::Transient),
            (2, None, "", Verdict::Transient),
            (99_999, None, "", Verdict::Malformed),
            (341, None, "", wait(15, CooldownScope::TheApp)),
            (10, None, "the field instagram_business_account", narrowed(None)),
        ] {
            assert_eq!(error(code, subcode, message), expected, "{code} {subcode:?} {message}");
        }
    }

    #[test]
    fn what_the_operator_must_mend_says_nothing_of_the_token() {
        for (code, message, expected) in [
            (100, "API calls from the server require an appsecret_proof argument", OperatorFault::AppProof),
            (100, "Invalid appsecret_proof provided in the API argument", OperatorFault::AppProof),
            (
                3,
                "(#3) Application does not have the capability to make this API call.",
                OperatorFault::AppAccess,
            ),
            (5, "(#5) This IP can't make requests for that application.", OperatorFault::AppRejected),
            (11, "(#11) This method is deprecated", OperatorFault::VersionWithdrawn),
            (12, "(#12) This API version is deprecated", OperatorFault::VersionWithdrawn),
            (15, "(#15) This method must be called with an app access_token.", OperatorFault::AppRejected),
            (101, "Error validating application. Invalid application ID.", OperatorFault::AppRejected),
            (104, "Incorrect signature", OperatorFault::AppRejected),
            (
                2635,
                "(#2635) You are calling a deprecated version of the API.",
                OperatorFault::VersionWithdrawn,
            ),
            (190, "Error validating application. Application has been deleted.", OperatorFault::AppRejected),
            (200, "API access blocked.", OperatorFault::AppRejected),
            (
                200,
                "API access deactivated. To reactivate, go to the app dashboard.",
                OperatorFault::AppRejected,
            ),
        ] {
            assert_eq!(error(code, None, message), Verdict::OurFault(expected), "{code} {message}");
        }
    }

    #[test]
    fn a_passing_failure_kills_no_token() {
        let of = |code: i64| {
            let error = json!({"error": {"code": code, "is_transient": true}});
            of(400, &[], error.to_string().as_bytes())
        };
        assert_eq!(of(190), Verdict::Transient);
        assert_eq!(of(4), wait(15, CooldownScope::TheApp));
    }

    #[test]
    fn a_limits_headers_are_read_in_every_form() {
        let listed = r#"{"1":[{"type":"pages","call_count":101,"total_cputime":1,"total_time":1,"estimated_time_to_regain_access":7}]}"#;
        let plain = r#"{"1":{"call_count":"20","total_time":95.4,"estimated_time_to_regain_access":0}}"#;
        let body = br#"{"data":[]}"#;
        let buc = "x-business-use-case-usage";
        assert_eq!(of(200, &[(buc, listed)], body), wait(7, CooldownScope::ThePage));
        assert_eq!(of(200, &[(buc, plain)], body), wait(15, CooldownScope::ThePage));
        assert_eq!(
            of(200, &[("x-app-usage", r#"{"call_count":28,"total_time":208}"#)], body),
            wait(15, CooldownScope::TheApp)
        );
        assert_eq!(of(200, &[("x-app-usage", r#"{"call_count":28}"#), (buc, "[]")], body), Verdict::Fine);
        assert_eq!(of(200, &[("x-app-usage", "nonsense")], body), Verdict::Fine);
        let limited = br#"{"error":{"code":80001}}"#;
        assert_eq!(of(400, &[(buc, listed)], limited), wait(7, CooldownScope::ThePage));
        let endless = r#"{"1":[{"estimated_time_to_regain_access":9223372036854775807}]}"#;
        assert_eq!(of(400, &[(buc, endless)], limited), wait(24 * 60, CooldownScope::ThePage));
    }

    #[test]
    fn what_is_no_graph_answer_is_a_failure_or_malformed() {
        assert_eq!(of(502, &[], b"<html>bad gateway</html>"), Verdict::Transient);
        assert_eq!(of(500, &[], b"{}"), Verdict::Transient);
        assert_eq!(of(200, &[], b"{\"data\":[{\"id\":"), Verdict::Malformed);
        assert_eq!(of(200, &[], b""), Verdict::Malformed);
        assert_eq!(of(200, &[], b"[]"), Verdict::Malformed);
        assert_eq!(of(404, &[], b"not here"), Verdict::Malformed);
        assert_eq!(of(429, &[], b""), wait(15, CooldownScope::ThePage));
        assert_eq!(of(200, &[], br#"{"error":{"code":190}}"#), Verdict::Token(TokenTrouble::Revoked));
    }
}
