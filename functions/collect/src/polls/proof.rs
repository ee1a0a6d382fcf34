//! Proofs that calls come from the app that their token was given to.
//!
//! A proof is made for each call and stored nowhere. It is masked in answers, as tokens are.

use carteiro_adapters::http::network_client::Answered;
use carteiro_networks::page::AccessToken;
use carteiro_networks::poll::Auth;
use carteiro_networks::poll::proof::ProofChoice;

use super::page::PagePoll;

/// The proofs that a poll's calls carry.
#[derive(Default)]
pub(super) struct Proofs {
    /// With the page's token; none before the first call.
    page: Option<ProofChoice>,
    /// With the app's own token, as inspections are made.
    app: ProofChoice,
    /// Those that were made, so that they are masked.
    made: Vec<AccessToken>,
}

impl PagePoll<'_> {
    /// The proof of the next call, and its parameter; none where it carries none.
    pub(super) fn prove_call(&mut self, auth: Auth) -> Option<(&'static str, AccessToken)> {
        let spec = self.page.network.spec().token.proof?;
        let secrets = self.collect.polls.apps.secrets(self.page.network);
        let (token, choice) = match auth {
            Auth::PushSecret(_) | Auth::None => return None,
            Auth::Inspected(_) => (self.collect.polls.apps.meta.as_ref()?, self.proofs.app),
            Auth::Bearer | Auth::Query(_) => {
                let token = &self.access.call_token;
                let first =
                    || ProofChoice::first((spec.is_sent_first)(token, self.page.login), secrets.len());
                (token, *self.proofs.page.get_or_insert_with(first))
            }
        };
        let proof = (spec.of)(secrets.get(choice.with()?)?, token)?;
        if !self.proofs.made.contains(&proof) {
            self.proofs.made.push(proof.clone());
        }
        Some((spec.parameter, proof))
    }

    /// Whether the same call is to be made with another proof, by its answer.
    pub(super) fn chooses_another_proof(&mut self, auth: Auth, answered: &Answered) -> bool {
        let Some(spec) = self.page.network.spec().token.proof else { return false };
        let secrets = self.collect.polls.apps.secrets(self.page.network).len();
        let choice = match auth {
            Auth::PushSecret(_) | Auth::None => return false,
            Auth::Inspected(_) => &mut self.proofs.app,
            Auth::Bearer | Auth::Query(_) => self.proofs.page.get_or_insert_default(),
        };
        let next = choice.after(answered.parse(spec.read), secrets);
        next.is_some_and(|next| {
            *choice = next;
            true
        })
    }

    /// The proofs that were made, which nothing that is stored or sent may hold.
    pub(super) fn made_proofs(&self) -> &[AccessToken] {
        &self.proofs.made
    }
}
