//! Which proof the calls of a poll carry, where a network takes [proofs](crate::spec::ProofSpec) and several secrets
//! are configured.
//!
//! A token may be of any of the apps whose secrets are known, or of another app. So the next secret is tried where a
//! proof is refused; then none, for an app that requires no proof answers without one. What worked is used for the rest
//! of the poll.

use crate::spec::ProofReply;

/// The most secrets that are tried in one poll.
const MOST_SECRETS: usize = 8;

/// The proof that calls carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProofChoice {
    with: Option<usize>,
    next: usize,
    required: bool,
}

impl ProofChoice {
    /// The proof of the first call, of this many secrets.
    #[must_use]
    pub fn first(is_sent_first: bool, secrets: usize) -> Self {
        let with = (is_sent_first && secrets > 0).then_some(0);
        Self { with, next: usize::from(with.is_some()), required: false }
    }

    /// The number of the secret; none where calls carry no proof.
    #[must_use]
    pub fn with(self) -> Option<usize> {
        self.with
    }

    /// The proof that the same call is made with once more. None where the answer stands.
    #[must_use]
    pub fn after(self, reply: ProofReply, secrets: usize) -> Option<Self> {
        let required = self.required || reply == ProofReply::Required;
        let another = self.next < secrets.min(MOST_SECRETS);
        let other = Self { with: Some(self.next), next: self.next + 1, required };
        match (reply, self.with) {
            (ProofReply::Refused, Some(_)) | (ProofReply::Required, None) if another => Some(other),
            (ProofReply::Refused, Some(_)) if !required => Some(Self { with: None, ..self }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proofs of one call after the other, where all but `right` are wrong.
    fn tried(first: bool, secrets: usize, right: Option<usize>, is_required: bool) -> Vec<Option<usize>> {
        let mut choice = ProofChoice::first(first, secrets);
        let mut tried = vec![choice.with()];
        loop {
            let reply = match choice.with() {
                Some(secret) if Some(secret) != right => ProofReply::Refused,
                None if is_required => ProofReply::Required,
                _ => ProofReply::Accepted,
            };
            let Some(next) = choice.after(reply, secrets) else { return tried };
            choice = next;
            tried.push(choice.with());
        }
    }

    #[test]
    fn secrets_are_tried_in_turn_and_then_none_at_all() {
        for (first, secrets, right, is_required, expected) in [
            (true, 2, Some(0), true, vec![Some(0)]),
            (true, 2, Some(1), true, vec![Some(0), Some(1)]),
            (true, 2, None, false, vec![Some(0), Some(1), None]),
            (true, 2, None, true, vec![Some(0), Some(1), None]),
            (true, 0, None, true, vec![None]),
            (false, 2, Some(1), true, vec![None, Some(0), Some(1)]),
            (false, 2, None, true, vec![None, Some(0), Some(1)]),
            (false, 2, Some(1), false, vec![None]),
        ] {
            assert_eq!(tried(first, secrets, right, is_required), expected, "{first} {secrets} {right:?}");
        }
        assert_eq!(tried(true, 99, None, true).len(), MOST_SECRETS + 1);
    }
}
