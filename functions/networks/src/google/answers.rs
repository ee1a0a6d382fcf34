//! What Google's APIs say when they refuse: the same bodies for YouTube and Google Play.
//!
//! Two forms are read: the older `error.errors[].reason` and the newer `error.status` with `error.details[].reason`
//! (google.rpc.ErrorInfo), which has no `errors`. Sources: developers.google.com/youtube/v3/docs/errors,
//! google.aip.dev/193, and a captured answer of the newer form.

use jiff::Timestamp;

use crate::poll::body::{number_header, tree};
use crate::poll::scope::after;
use crate::poll::{CooldownScope, NetworkResponse, OperatorFault, TokenTrouble, Verdict};

/// How long to wait where an answer says nothing of it: Google's shorter quotas are of a minute.
const PAUSE: i64 = 60;
/// The longest wait that an answer may ask for.
const DAY: i64 = 24 * 3600;

/// A refusal.
pub(crate) struct Refusal {
    reasons: Vec<String>,
}

impl Refusal {
    /// Reads a body in either form.
    pub(crate) fn of(body: &[u8]) -> Self {
        let body = tree(body);
        let error = &body["error"];
        let list = |name: &str| error[name].as_array().cloned().unwrap_or_default();
        let reasons = list("errors").into_iter().chain(list("details"));
        let reasons = reasons.filter_map(|one| one["reason"].as_str().map(str::to_owned));
        let status = error["status"].as_str().map(str::to_owned);
        Self { reasons: reasons.chain(status).collect() }
    }

    /// Whether any of these is a reason.
    pub(crate) fn is(&self, any: &[&str]) -> bool {
        self.reasons.iter().any(|reason| any.contains(&reason.as_str()))
    }

    /// What the operator has to mend of the app's project, where that is why.
    fn operator_fault(&self) -> Option<OperatorFault> {
        let any = |reasons: &[&str]| self.is(reasons);
        match () {
            () if any(&["accessNotConfigured", "SERVICE_DISABLED", "SERVICE_NOT_VISIBLE"]) => {
                Some(OperatorFault::ApiNotEnabled)
            }
            () if any(&["BILLING_DISABLED", "billingNotEnabled"]) => Some(OperatorFault::CreditsDepleted),
            () if any(&REJECTED) => Some(OperatorFault::AppRejected),
            () => None,
        }
    }
}

/// Reasons that are about the app's project or key. Sources: google.api.ErrorReason (`google/api/error_reason.proto`),
/// and the "global" domain of developers.google.com/youtube/v3/docs/core_errors.
const REJECTED: [&str; 16] = [
    "API_KEY_INVALID",
    "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED",
    "API_KEY_IP_ADDRESS_BLOCKED",
    "CONSUMER_INVALID",
    "CONSUMER_SUSPENDED",
    "GCP_SUSPENDED",
    "PROJECT_DELETED",
    "RESOURCE_PROJECT_INVALID",
    "USER_PROJECT_DENIED",
    "keyExpired",
    "keyInvalid",
    "ipRefererBlocked",
    "projectInvalid",
    "projectNotLinked",
    "unregistered",
];

/// What an answer of Google's says. `scope` is the one that the call needs; `quota_ends` is when a spent daily quota is
/// there again; `object` whether one object was asked about, whose refusal says nothing of the token.
pub(crate) fn verdict(
    answer: &NetworkResponse<'_>,
    now: Timestamp,
    quota_ends: Timestamp,
    (scope, object): (&str, bool),
) -> Verdict {
    if (200..300).contains(&answer.status) {
        return Verdict::Fine;
    }
    let refusal = Refusal::of(answer.body);
    if let (400..=403, Some(fault)) = (answer.status, refusal.operator_fault()) {
        return Verdict::OurFault(fault);
    }
    match answer.status {
        // Its user has no channel.
        401 if refusal.is(&["youtubeSignupRequired"]) => Verdict::Token(TokenTrouble::Narrowed(None)),
        401 => Verdict::Token(TokenTrouble::Expired),
        403 | 429 => refused(answer, &refusal, now, quota_ends, (scope, object)),
        404 | 410 => Verdict::Gone,
        408 | 500.. => Verdict::Transient,
        _ => Verdict::Malformed,
    }
}

fn refused(
    answer: &NetworkResponse<'_>,
    refusal: &Refusal,
    now: Timestamp,
    quota_ends: Timestamp,
    (needed, object): (&str, bool),
) -> Verdict {
    if refusal.is(&["quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg"]) {
        return Verdict::Wait { until: quota_ends, of: CooldownScope::TheApp };
    }
    let rate = ["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"];
    if answer.status == 429 || refusal.is(&rate) {
        let wait = number_header(answer, "retry-after").unwrap_or(PAUSE).clamp(1, DAY);
        return Verdict::Wait { until: after(now, wait), of: CooldownScope::TheApp };
    }
    let scope = ["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficientScopes"];
    let gone = ["commentsDisabled", "channelClosed", "channelSuspended", "accountClosed", "accountSuspended"];
    if refusal.is(&gone) || object && !refusal.is(&scope) {
        return Verdict::Gone;
    }
    // Google's reason is no permission's name: what is needed is named where the token lacks a scope, and else nothing.
    let named = refusal.is(&scope).then(|| needed.to_owned());
    Verdict::Token(TokenTrouble::Narrowed(named))
}
