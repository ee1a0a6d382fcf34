//! Raises alerts: for each notice that people are alerted of, a work message for each address of the account that takes
//! it. The collector sends the alerts.
//!
//! Alerts are raised after their notices were queued, and before these are removed from where they are pending. So an
//! alert delays no notice, and if a function dies in between, both come again, under the notice's id.

use std::time::Duration;

use carteiro_adapters::error::AdapterError;
use carteiro_adapters::queues::work::{Work, WorkQueue};
use carteiro_adapters::tables::config::ConfigTable;
use carteiro_core::alert::{Alert, Raised};
use carteiro_core::id::{AccountId, ItemId};

/// Raises alerts.
#[derive(Clone, Debug)]
pub struct Alerter {
    /// The addresses.
    pub config: ConfigTable,
    /// The queue of the collector's work.
    pub work: WorkQueue,
}

impl Alerter {
    /// Raises the alerts of an account's notices.
    ///
    /// # Errors
    /// Where a repeat may help. What will never be possible is logged, so that no notice is sent again and again for
    /// it.
    pub async fn raise<'a>(
        &self,
        account: &AccountId,
        notices: impl Iterator<Item = (&'a ItemId, &'a [u8])>,
    ) -> Result<(), AdapterError> {
        let raised: Vec<_> = notices.filter_map(|(id, body)| Some((id, body, Raised::of(body)?))).collect();
        if raised.is_empty() {
            return Ok(());
        }
        match self.queue(account, &raised).await {
            Err(error) if !error.is_transient() => {
                tracing::error!(account = account.as_str(), error = error.chain(), "alerts.not_raised");
                Ok(())
            }
            ended => ended,
        }
    }

    async fn queue(
        &self,
        account: &AccountId,
        raised: &[(&ItemId, &[u8], Raised)],
    ) -> Result<(), AdapterError> {
        let alerts = self.config.all_alerts(account).await?;
        let work = works(&alerts, raised);
        if work.is_empty() { Ok(()) } else { self.work.send(&work).await }
    }
}

fn works(alerts: &[Alert], raised: &[(&ItemId, &[u8], Raised)]) -> Vec<(Work, Duration)> {
    let of_notice = |(id, body, raised): &(&ItemId, &[u8], Raised)| {
        let work = |alert: &Alert| Work::Alert {
            account: alert.account.clone(),
            alert: alert.id.clone(),
            notice: (*id).clone(),
            body: String::from_utf8_lossy(body).into_owned(),
            tries: 0,
        };
        let takers = alerts.iter().filter(|alert| alert.takes(raised.event));
        takers.map(|alert| (work(alert), Duration::ZERO)).collect::<Vec<_>>()
    };
    raised.iter().flat_map(of_notice).collect()
}
