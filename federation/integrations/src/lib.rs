//! Receivers behind the alertmanager's trait: Alertmanager's eighteen integrations.
//!
//! One file for each. [`build`] makes what a receiver of a checked alertmanager.yml sends to. An integration
//! reads its own settings, checks its templates when it is made, and turns a notification into requests;
//! what all have in common (HTTP, secrets, judging answers, errors that name receiver and group) is in
//! `common`, `settings` and `answer`. None keeps state but for an access token.

mod answer;
mod common;
mod discord;
mod email;
mod incidentio;
mod jira;
mod mattermost;
mod mime;
mod opsgenie;
mod pagerduty;
mod payload;
mod pushover;
mod rocketchat;
mod settings;
mod sigv4;
mod slack;
mod smtp;
mod sns;
mod teams;
mod telegram;
mod texts;
mod victorops;
mod webex;
mod webhook;
mod wechat;

use std::path::PathBuf;
use std::sync::Arc;

use alertmanager::Notifier;
use alertmanager::config::{IntegrationConfig, ReceiverConfig};
use env::SharedClock;
use template::AlertTemplates;

use crate::common::{Common, Deliver, Integration};
use crate::settings::Settings;

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

/// Addresses that no configuration names.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// Where PagerDuty takes events of its first API.
    pub pagerduty_v1: String,
    /// Where Pushover takes messages.
    pub pushover: String,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            pagerduty_v1: "https://events.pagerduty.com/generic/2010-04-15/create_event.json".to_owned(),
            pushover: "https://api.pushover.net/1/messages.json".to_owned(),
        }
    }
}

/// What all integrations of one configuration share.
#[derive(Clone, Debug)]
pub struct Context {
    /// The templates of the configuration's files, and the defaults.
    pub templates: Arc<AlertTemplates>,
    /// The clock.
    pub clock: SharedClock,
    /// Addresses that no configuration names.
    pub endpoints: Endpoints,
}

impl Context {
    /// Reads the template files that a configuration names.
    ///
    /// # Errors
    /// What is wrong with a file, naming it.
    pub fn load(templates: &[PathBuf], clock: SharedClock) -> Result<Self, String> {
        let templates = Arc::new(AlertTemplates::load(templates)?);
        Ok(Self { templates, clock, endpoints: Endpoints::default() })
    }
}

/// The integrations of a receiver, in the order of its configuration.
///
/// # Errors
/// When one of them cannot be made: a URL or certificate that cannot be used, a text that is no template.
pub fn build(receiver: &ReceiverConfig, context: &Context) -> Result<Vec<Arc<dyn Notifier>>, BuildError> {
    let make = |config: &IntegrationConfig| {
        one(&receiver.name, config, context).map_err(|reason| BuildError {
            receiver: receiver.name.clone(),
            integration: config.kind,
            index: config.index,
            reason,
        })
    };
    receiver.integrations.iter().map(make).collect()
}

fn one(receiver: &str, config: &IntegrationConfig, context: &Context) -> Result<Arc<dyn Notifier>, String> {
    let settings = Settings::new(config, &context.templates);
    let common = || Common::new(receiver, config, context);
    match config.kind {
        "webhook" => made(common()?, webhook::Webhook::new(&settings)?),
        "email" => made(common()?, email::Email::new(&settings, config)?),
        "pagerduty" => made(common()?, pagerduty::PagerDuty::new(&settings, &context.endpoints)?),
        "opsgenie" => made(common()?, opsgenie::OpsGenie::new(&settings)?),
        "wechat" => made(common()?, wechat::WeChat::new(&settings)?),
        "slack" => made(common()?, slack::Slack::new(&settings)?),
        "victorops" => made(common()?, victorops::VictorOps::new(&settings)?),
        "pushover" => made(common()?, pushover::Pushover::new(&settings, &context.endpoints)?),
        "sns" => made(common()?, sns::Sns::new(&settings)?),
        "telegram" => made(common()?, telegram::Telegram::new(&settings)?),
        "discord" => made(common()?, discord::Discord::new(&settings)?),
        "webex" => made(common()?, webex::Webex::new(&settings)?),
        "msteams" => made(common()?, teams::Teams::new(&settings)?),
        "msteamsv2" => made(common()?, teams::TeamsV2::new(&settings)?),
        "jira" => made(common()?, jira::Jira::new(&settings)?),
        "incidentio" => made(common()?, incidentio::IncidentIo::new(&settings)?),
        "rocketchat" => made(common()?, rocketchat::RocketChat::new(&settings)?),
        "mattermost" => made(common()?, mattermost::Mattermost::new(&settings)?),
        other => Err(format!("no integration is called {other:?}")),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "as every arm above")]
fn made(common: Common, deliver: impl Deliver) -> Result<Arc<dyn Notifier>, String> {
    Ok(Arc::new(Integration { common, deliver }))
}
