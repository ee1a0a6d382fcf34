//! Refusals that only the deployment's operator can mend: they are about the app that asks, and say nothing of a page's
//! token.
//!
//! A network refuses an app in many words; each network's reader turns them into one of these. The operator is told of
//! each (network, fault), the page shows it, and the next tick asks again, so that collection goes on by itself once it
//! is lifted. No token's state changes by one, and no push is held back by one.

use carteiro_core::both;
use carteiro_core::message::Message;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::network::Network;

carteiro_core::named! {
    /// What the operator has to mend.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum OperatorFault {
        /// The app must prove that it has its secret (Meta's `appsecret_proof`), and none of the configured secrets
        /// does.
        AppProof = "app_proof",
        /// The app is unknown, deleted, disabled or blocked, or calls from an address that it does not allow.
        AppRejected = "app_rejected",
        /// The app, as it is enrolled or approved, may not make this call.
        AppAccess = "app_access",
        /// The API is not enabled in the app's project.
        ApiNotEnabled = "api_not_enabled",
        /// The app's credit is used up, or its billing is off.
        CreditsDepleted = "credits_depleted",
        /// A cap that was set or bought for the app is used up.
        UsageCapped = "usage_capped",
        /// The version of the API that is asked for was withdrawn.
        VersionWithdrawn = "version_withdrawn",
        /// The version of the API that is asked for ends within [`VERSION_NOTICE_DAYS`]. Nothing is refused yet.
        VersionEnding = "version_ending",
        /// The app's id or secret is refused where tokens are renewed or inspected.
        ClientRefused = "client_refused",
        /// The network accepts nothing of what is asked, in a form that no reader knows.
        RequestRefused = "request_refused",
    }
}

/// How many days before a version's end the operator is told.
pub const VERSION_NOTICE_DAYS: i64 = 60;

/// Whether the operator is told that a version ends at a time.
#[must_use]
pub fn is_version_ending(ends_at: Timestamp, now: Timestamp) -> bool {
    let notice = SignedDuration::from_hours(24 * VERSION_NOTICE_DAYS);
    ends_at.saturating_sub(notice).is_ok_and(|from| from <= now)
}

impl OperatorFault {
    /// Whether it is about one operation alone, so that a poll goes on with the others.
    #[must_use]
    pub fn spares_others(self) -> bool {
        self == Self::AppAccess
    }

    /// What a page's owner and the operator read of it.
    #[must_use]
    pub fn message(self, network: Network) -> Message {
        let title = network.spec().title;
        let (portuguese, english) = self.why(title);
        if self == Self::VersionEnding {
            return Message { portuguese, english };
        }
        Message::from(both!(
            "O operador do Carteiro precisa agir: {portuguese} O token da página não precisa ser trocado, e a \
             coleta continua sozinha depois.",
            "The operator of this Carteiro must act: {english} The page's token need not be renewed, and \
             collection goes on by itself afterwards."
        ))
    }

    fn why(self, network: &str) -> (String, String) {
        match self {
            Self::AppProof => both!(
                "o aplicativo no {network} exige a prova do seu segredo (appsecret_proof), e nenhum segredo \
                 configurado (MetaAppSecrets) a dá.",
                "the app at {network} requires a proof of its secret (appsecret_proof), and no configured secret \
                 (MetaAppSecrets) gives it."
            ),
            Self::AppRejected => both!(
                "o {network} não aceita o aplicativo: ele foi excluído, desativado ou bloqueado.",
                "{network} does not accept the app: it was deleted, disabled or blocked."
            ),
            Self::AppAccess => both!(
                "o aplicativo não tem, no {network}, o acesso ou o plano que esta coleta exige.",
                "the app lacks, at {network}, the access or the plan that this collection needs."
            ),
            Self::ApiNotEnabled => both!(
                "a API do {network} não está ativada no projeto do aplicativo.",
                "the API of {network} is not enabled in the app's project."
            ),
            Self::CreditsDepleted => both!(
                "os créditos do aplicativo no {network} acabaram, ou a cobrança está desativada.",
                "the app's credit at {network} is used up, or its billing is off."
            ),
            Self::UsageCapped => both!(
                "o limite de uso contratado no {network} acabou.",
                "the app's usage cap at {network} is used up."
            ),
            Self::VersionWithdrawn => both!(
                "a versão da API do {network} que está configurada não existe mais (NetworkSettings).",
                "the configured version of {network}'s API was withdrawn (NetworkSettings)."
            ),
            Self::VersionEnding => both!(
                "A versão da API do {network} que está configurada termina em breve: configure uma mais nova \
                 (NetworkSettings).",
                "The configured version of {network}'s API ends soon: set a newer one (NetworkSettings)."
            ),
            Self::ClientRefused => both!(
                "o {network} recusa o identificador ou o segredo do aplicativo.",
                "{network} refuses the app's id or secret."
            ),
            Self::RequestRefused => both!(
                "o {network} não aceita nenhuma chamada, por um motivo que só o registro mostra.",
                "{network} accepts none of the calls, for a reason that the log alone shows."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_versions_end_is_told_sixty_days_before_it() {
        let end: Timestamp = "2027-09-15T00:00:00Z".parse().unwrap();
        for (now, told) in [
            ("2027-07-16T23:59:59Z", false),
            ("2027-07-17T00:00:00Z", true),
            ("2027-09-14T00:00:00Z", true),
            ("2027-10-01T00:00:00Z", true),
        ] {
            assert_eq!(is_version_ending(end, now.parse().unwrap()), told, "{now}");
        }
    }

    #[test]
    fn each_fault_has_its_name_and_words_in_both_languages() {
        let mut told = BTreeSet::new();
        for fault in OperatorFault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.as_str());
            let Message { portuguese, english } = fault.message(Network::Instagram);
            for text in [portuguese, english] {
                assert!(text.contains("Instagram") && text.ends_with('.'), "{text}");
                assert!(told.insert(text.clone()), "twice: {text}");
            }
        }
    }
}
