//! The Amazon SNS integration: a message to a topic, a phone or a device, signed.

use std::collections::BTreeMap;
use std::time::Duration;

use alertmanager::{NotifyError, NotifyOutcome};
use client::{Client, HttpClientConfig, Response, Secret};
use parking_lot::Mutex;
use url::Url;

use crate::answer::{check_with, head, permanent};
use crate::common::{Call, Common, Deliver, Job};
use crate::settings::{Settings, Text, check_url};
use crate::sigv4::{Credentials, FORM, Surroundings, form, sign};

/// Bytes of a message, and of one to a phone.
const MESSAGE_MOST: usize = 256 * 1024;
const PHONE_MOST: usize = 1600;
/// How long the credentials of a role are used: Amazon gives them for an hour.
const ROLE_HOLDS: Duration = Duration::from_mins(50);

/// Credentials of a role, and when on the monotonic clock they were given.
struct Role {
    credentials: Credentials,
    since: Duration,
}

/// One entry of `sns_configs`.
pub(crate) struct Sns {
    api_url: Text,
    region: String,
    own: Option<Credentials>,
    surroundings: Surroundings,
    role_arn: String,
    external_id: String,
    fips: bool,
    topic_arn: Text,
    phone_number: Text,
    target_arn: Text,
    subject: Text,
    message: Text,
    attributes: Vec<(Text, Text)>,
    /// In place of the one that `http_config` describes.
    client: Option<Client>,
    role: Mutex<Option<Role>>,
}

impl Sns {
    pub(crate) fn new(settings: &Settings<'_>) -> Result<Self, String> {
        let sigv4 = settings.map("sigv4");
        let access_key = sigv4.plain("access_key");
        let own = (!access_key.is_empty()).then(|| Credentials {
            access_key,
            secret_key: Secret::new(sigv4.plain("secret_key")),
            session_token: None,
        });
        let plain = settings.flag("use_aws_http_client").unwrap_or(false);
        let client = plain.then(|| Client::new(&HttpClientConfig::default())).transpose();
        let mut attributes = Vec::new();
        for (name, text) in settings.pairs("attributes")? {
            attributes.push((settings.checked("attributes", &name)?, text));
        }
        Ok(Self {
            api_url: settings.text("api_url")?,
            region: sigv4.plain("region"),
            own,
            surroundings: Surroundings {
                variable: |name| std::env::var(name).ok().filter(|text| !text.is_empty()),
                profile: sigv4.plain("profile"),
            },
            role_arn: sigv4.plain("role_arn"),
            external_id: sigv4.plain("external_id"),
            fips: sigv4.flag("use_fips_sts_endpoint").unwrap_or(false),
            topic_arn: settings.text("topic_arn")?,
            phone_number: settings.text("phone_number")?,
            target_arn: settings.text("target_arn")?,
            subject: settings.text_or("subject", "{{ template \"sns.default.subject\" . }}")?,
            message: settings.text_or("message", "{{ template \"sns.default.message\" . }}")?,
            attributes,
            client: client.map_err(|error| error.to_string())?,
            role: Mutex::new(None),
        })
    }

    fn region(&self) -> Result<String, NotifyError> {
        if !self.region.is_empty() {
            return Ok(self.region.clone());
        }
        self.surroundings.region().ok_or_else(|| {
            permanent("no region: expected sigv4.region, AWS_REGION or a region in Amazon's config file")
        })
    }

    async fn credentials(&self, common: &Common, region: &str) -> Result<Credentials, NotifyError> {
        let base = self.own.clone().or_else(|| self.surroundings.credentials()).ok_or_else(|| {
            permanent(
                "no credentials: expected sigv4.access_key and secret_key, AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, or a profile in Amazon's credentials file",
            )
        })?;
        if self.role_arn.is_empty() {
            return Ok(base);
        }
        let now = common.clock.monotonic();
        if let Some(role) = &*self.role.lock()
            && now.saturating_sub(role.since) < ROLE_HOLDS
        {
            return Ok(role.credentials.clone());
        }
        let credentials = self.assume(common, &base, region).await?;
        *self.role.lock() = Some(Role { credentials: credentials.clone(), since: now });
        Ok(credentials)
    }

    /// Takes the role's credentials from Amazon's token service.
    async fn assume(
        &self,
        common: &Common,
        base: &Credentials,
        region: &str,
    ) -> Result<Credentials, NotifyError> {
        let host = if self.fips { "sts-fips" } else { "sts" };
        let url = check_url(&format!("https://{host}.{region}.amazonaws.com/")).map_err(permanent)?;
        let mut pairs = vec![
            pair("Action", "AssumeRole"),
            pair("Version", "2011-06-15"),
            pair("RoleArn", &self.role_arn),
            pair("RoleSessionName", "vedette"),
        ];
        pairs.extend((!self.external_id.is_empty()).then(|| pair("ExternalId", &self.external_id)));
        let response = self.post(common, base, ("sts", region), &url, &form(&pairs)).await?;
        let xml = String::from_utf8_lossy(&response.body);
        let part = |name| {
            element(&xml, name)
                .ok_or_else(|| permanent(format!("role {}: the answer has no {name}", self.role_arn)))
        };
        Ok(Credentials {
            access_key: part("AccessKeyId")?,
            secret_key: Secret::new(part("SecretAccessKey")?),
            session_token: Some(Secret::new(part("SessionToken")?)),
        })
    }

    async fn post(
        &self,
        common: &Common,
        credentials: &Credentials,
        (service, region): (&str, &str),
        url: &Url,
        body: &str,
    ) -> Result<Response, NotifyError> {
        let signed = sign(credentials, service, region, url, body, common.clock.now_ms());
        let mut call = Call { content_type: Some(FORM), ..Call::json(url.clone(), body.to_owned()) }
            .header("x-amz-date", signed.date)
            .header("authorization", signed.authorization);
        if let Some(token) = signed.session_token {
            call = call.header("x-amz-security-token", token);
        }
        let client = self.client.as_ref().unwrap_or(&common.client);
        let response = common.send_with(client, call).await?;
        let xml = String::from_utf8_lossy(&response.body);
        let said = element(&xml, "Message").unwrap_or_else(|| xml.to_string());
        check_with(&response, &[], head(said.as_bytes()))?;
        Ok(response)
    }

    fn publication(&self, job: &Job<'_>) -> Result<Vec<(String, String)>, NotifyError> {
        let mut pairs = vec![pair("Action", "Publish"), pair("Version", "2010-03-31")];
        let mut most = MESSAGE_MOST;
        let topic = job.text(&self.topic_arn)?;
        if !topic.is_empty() {
            pairs.push(pair("TopicArn", &topic));
        }
        // Such a topic delivers once what has one identity: this notification's, not the group's.
        if topic.ends_with(".fifo") {
            pairs.push(pair("MessageDeduplicationId", job.nid));
            pairs.push(pair("MessageGroupId", &job.group_hash()));
        }
        let phone = job.text(&self.phone_number)?;
        if !phone.is_empty() {
            pairs.push(pair("PhoneNumber", &phone));
            most = PHONE_MOST;
        }
        let target = job.text(&self.target_arn)?;
        if !target.is_empty() {
            pairs.push(pair("TargetArn", &target));
        }
        let mut attributes = BTreeMap::new();
        for (name, text) in &self.attributes {
            attributes.insert(job.text(name)?, job.text(text)?);
        }
        let message = job.text(&self.message)?;
        let mut end = message.len().min(most);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        if end < message.len() {
            attributes.insert("truncated".to_owned(), "true".to_owned());
        }
        pairs.push(pair("Message", &message[..end]));
        let subject = job.text(&self.subject)?;
        if !subject.is_empty() {
            pairs.push(pair("Subject", &subject));
        }
        for ((name, text), at) in attributes.iter().zip(1..) {
            let entry = format!("MessageAttributes.entry.{at}");
            pairs.push(pair(&format!("{entry}.Name"), name));
            pairs.push(pair(&format!("{entry}.Value.DataType"), "String"));
            pairs.push(pair(&format!("{entry}.Value.StringValue"), text));
        }
        Ok(pairs)
    }
}

fn pair(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

/// The text of the first XML element of that name.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

impl Deliver for Sns {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let body = form(&self.publication(job)?);
        let region = self.region()?;
        let url = job.text(&self.api_url)?;
        let url = if url.is_empty() { format!("https://sns.{region}.amazonaws.com/") } else { url };
        let url = check_url(&url).map_err(|why| permanent(format!("api_url: {why}")))?;
        let credentials = self.credentials(common, &region).await?;
        self.post(common, &credentials, ("sns", &region), &url, &body).await?;
        Ok(NotifyOutcome::default())
    }
}
