//! The email integration: HTML and text to a smarthost.

use alertmanager::config::IntegrationConfig;
use alertmanager::{NotifyError, NotifyOutcome, Sent};
use client::{Secure, Source};
use template::GoTime;

use crate::answer::{permanent, uncertain};
use crate::common::{Common, Deliver, Job, read};
use crate::mime::{Mail, addresses, header_name};
use crate::settings::{Settings, Text};
use crate::smtp::{Login, Server, SmtpError, send};

/// The port where TLS is spoken from the first byte unless the configuration says otherwise.
const IMPLICIT_TLS_PORT: u16 = 465;

/// Whether mails of a group belong together.
enum Threading {
    No,
    Yes,
    ByDay,
}

/// One entry of `email_configs`.
pub(crate) struct Email {
    host: String,
    port: u16,
    hello: String,
    implicit_tls: bool,
    require_tls: bool,
    secure: Secure,
    username: String,
    identity: String,
    password: Option<Source>,
    secret: Option<Source>,
    from: Text,
    to: Text,
    headers: Vec<(String, Text)>,
    html: Text,
    text: Text,
    threading: Threading,
}

impl Email {
    pub(crate) fn new(settings: &Settings<'_>, config: &IntegrationConfig) -> Result<Self, String> {
        let smarthost = settings.plain("smarthost");
        let (host, port) = smarthost.rsplit_once(':').ok_or("smarthost: missing port")?;
        let port = port.parse().map_err(|_| format!("smarthost: {port:?} is no port"))?;
        let (from, to) = (settings.text("from")?, settings.text("to")?);
        let mut headers = Vec::new();
        for (name, text) in settings.pairs("headers")? {
            headers.push((header_name(&name).map_err(|why| format!("headers: {why}"))?, text));
        }
        let subject = settings.checked("Subject", "{{ template \"email.default.subject\" . }}")?;
        for (name, text) in [("Subject", &subject), ("To", &to), ("From", &from)] {
            if headers.iter().all(|(known, _)| known != name) {
                headers.push((name.to_owned(), text.clone()));
            }
        }
        headers.sort_by(|one, other| one.0.cmp(&other.0));
        let hello = settings.plain("hello");
        let hello = if hello.is_empty() { "localhost".to_owned() } else { hello };
        if hello.contains(|char: char| char.is_whitespace() || char.is_control()) {
            return Err("hello: expected a name without spaces".to_owned());
        }
        let threading = settings.map("threading");
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            hello,
            implicit_tls: settings.flag("force_implicit_tls").unwrap_or(port == IMPLICIT_TLS_PORT),
            require_tls: settings.flag("require_tls").unwrap_or(true),
            secure: Secure::new(&config.tls).map_err(|error| error.to_string())?,
            username: settings.plain("auth_username"),
            identity: settings.plain("auth_identity"),
            password: settings.secret("auth_password"),
            secret: settings.secret("auth_secret"),
            from,
            to,
            headers,
            html: settings.text_or("html", "{{ template \"email.default.html\" . }}")?,
            text: settings.text("text")?,
            threading: match (threading.flag("enabled"), threading.plain("thread_by_date").as_str()) {
                (Some(true), "none") => Threading::Yes,
                (Some(true), _) => Threading::ByDay,
                _ => Threading::No,
            },
        })
    }

    /// `from` is the address that the mail's identity is made with: all attempts have the same one.
    fn mail(&self, common: &Common, job: &Job<'_>, from: &str) -> Result<String, NotifyError> {
        let now = GoTime::from_ms(common.clock.now_ms()).unwrap_or_else(GoTime::zero);
        let mut mail = Mail::new(job.nid.get(..60).unwrap_or(job.nid));
        for (name, text) in &self.headers {
            mail.header(name, &job.text(text)?);
        }
        if self.headers.iter().all(|(name, _)| name != "Message-Id") {
            let domain = from.split_once('@').map_or("localhost", |(_, domain)| domain);
            mail.header("Message-Id", &format!("<{}@{domain}>", job.nid));
        }
        let thread = match self.threading {
            Threading::No => None,
            Threading::Yes => Some(String::new()),
            Threading::ByDay => Some(now.format("2006-01-02")),
        };
        if let Some(day) = thread {
            let root = format!("<alert-{}-{day}@alertmanager>", &job.group_hash()[..16]);
            mail.header("References", &root);
            mail.header("In-Reply-To", &root);
        }
        mail.header("Date", &now.format("Mon, 02 Jan 2006 15:04:05 -0700"));
        if !self.text.as_str().is_empty() {
            mail.part("text/plain; charset=UTF-8", &job.text(&self.text)?);
        }
        // The preferred form comes last.
        if !self.html.as_str().is_empty() {
            mail.part("text/html; charset=UTF-8", &job.html(&self.html)?);
        }
        Ok(mail.finish())
    }

    async fn login(&self) -> Result<Option<Login>, NotifyError> {
        if self.username.is_empty() {
            return Ok(None);
        }
        let mut login =
            Login { username: self.username.clone(), identity: self.identity.clone(), ..Login::default() };
        if let Some(source) = &self.password {
            login.password = read("auth_password_file", source).await?;
        }
        if let Some(source) = &self.secret {
            login.secret = read("auth_secret_file", source).await?;
        }
        Ok(Some(login))
    }
}

fn failed(error: &SmtpError) -> NotifyError {
    // Every failure of the conversation is tried again, as in Alertmanager.
    let sent = if error.maybe_sent { Sent::Maybe } else { Sent::No };
    NotifyError { sent, ..uncertain(error.to_string()) }
}

impl Deliver for Email {
    async fn deliver(&self, common: &Common, job: &Job<'_>) -> Result<NotifyOutcome, NotifyError> {
        let found = |key: &str, text: &Text| {
            addresses(&job.text(text)?).map_err(|why| permanent(format!("{key}: {why}")))
        };
        let (from, to) = (found("from", &self.from)?, found("to", &self.to)?);
        let [from] = from.as_slice() else {
            return Err(permanent(format!("from: {} addresses; expected one", from.len())));
        };
        let mail = self.mail(common, job, from)?;
        let server = Server {
            host: &self.host,
            port: self.port,
            hello: &self.hello,
            implicit_tls: self.implicit_tls,
            require_tls: self.require_tls,
            secure: &self.secure,
        };
        let login = self.login().await?;
        send(&server, login.as_ref(), from, &to, &mail).await.map_err(|error| failed(&error))?;
        Ok(NotifyOutcome::default())
    }
}
