//! Webhook and the like behind the alertmanager's trait.
//!
//! One file for each integration; none keeps state. [`build`] makes what a receiver of a checked
//! alertmanager.yml sends to.

mod webhook;

use std::sync::Arc;

use alertmanager::Notifier;
use alertmanager::config::ReceiverConfig;

pub use webhook::Webhook;

/// An integration cannot be made from its configuration.
#[derive(Debug, thiserror::Error)]
#[error("receiver {receiver:?}, {integration} {index}: {reason}")]
pub struct BuildError {
    /// The receiver's name.
    pub receiver: String,
    /// The integration's name.
    pub integration: &'static str,
    /// Its position in its list.
    pub index: u32,
    /// What is wrong.
    pub reason: String,
}

/// The integrations of a receiver, in the order of its configuration.
///
/// # Errors
/// When one of them cannot be made.
pub fn build(receiver: &ReceiverConfig) -> Result<Vec<Arc<dyn Notifier>>, BuildError> {
    let mut integrations: Vec<Arc<dyn Notifier>> = Vec::new();
    for (index, config) in (0..).zip(&receiver.webhooks) {
        let webhook = Webhook::new(config, index).map_err(|reason| BuildError {
            receiver: receiver.name.clone(),
            integration: "webhook",
            index,
            reason,
        })?;
        integrations.push(Arc::new(webhook));
    }
    Ok(integrations)
}
