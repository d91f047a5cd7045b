//! An SMTP client of our own: what libraries offer has neither CRAM-MD5 nor a place for our TLS settings.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use client::Secure;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::hex;

/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// Bytes of one reply at most.
const REPLY_MOST: usize = 64 * 1024;

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct SmtpError {
    /// What happened.
    pub(crate) what: String,
    /// Whether the server may have taken it all the same.
    pub(crate) maybe_sent: bool,
}

impl SmtpError {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), maybe_sent: false }
    }
}

/// Who logs in.
#[derive(Default)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) identity: String,
    pub(crate) password: String,
    /// What CRAM-MD5 proves to know.
    pub(crate) secret: String,
}

/// How to reach the server.
pub(crate) struct Server<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) hello: &'a str,
    /// TLS from the first byte.
    pub(crate) implicit_tls: bool,
    /// TLS before anything else, by STARTTLS.
    pub(crate) require_tls: bool,
    pub(crate) secure: &'a Secure,
}

/// Sends one mail.
pub(crate) async fn send(
    server: &Server<'_>,
    login: Option<&Login>,
    from: &str,
    to: &[String],
    mail: &str,
) -> Result<(), SmtpError> {
    let stream = TcpStream::connect((server.host, server.port))
        .await
        .map_err(|error| SmtpError::new(format!("no connection to the smarthost: {error}")))?;
    let tls_failed = |error: client::ClientError| SmtpError::new(format!("no secure connection: {error}"));
    if server.implicit_tls {
        let stream = server.secure.connect(stream, server.host).await.map_err(tls_failed)?;
        let mut session = Session::new(stream);
        session.greet().await?;
        session.hello(server.hello).await?;
        return session.deliver(server, login, true, from, to, mail).await;
    }
    let mut session = Session::new(stream);
    session.greet().await?;
    session.hello(server.hello).await?;
    if !server.require_tls {
        return session.deliver(server, login, false, from, to, mail).await;
    }
    if session.extension("STARTTLS").is_none() {
        return Err(SmtpError::new("require_tls is true (default), but the server offers no STARTTLS"));
    }
    session.command("STARTTLS", &[220], "STARTTLS").await?;
    // What came before the handshake was written by who knows whom.
    if !session.buffer.is_empty() {
        return Err(SmtpError::new("the server speaks before TLS does"));
    }
    let stream = server.secure.connect(session.stream, server.host).await.map_err(tls_failed)?;
    let mut session = Session::new(stream);
    session.hello(server.hello).await?;
    session.deliver(server, login, true, from, to, mail).await
}

struct Session<S> {
    stream: S,
    buffer: Vec<u8>,
    extensions: Vec<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), extensions: Vec::new() }
    }

    async fn line(&mut self) -> Result<String, SmtpError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.buffer.len() > REPLY_MOST {
                return Err(SmtpError::new("the server's reply is too long"));
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            match read {
                Ok(0) => return Err(SmtpError::new("the server closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(SmtpError::new(format!("the connection broke: {error}"))),
            }
        }
    }

    /// A reply's code and lines.
    async fn reply(&mut self) -> Result<(u16, Vec<String>), SmtpError> {
        let (mut lines, mut len) = (Vec::new(), 0);
        loop {
            let line = self.line().await?;
            len += line.len();
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let Some(code) = code.filter(|_| len <= REPLY_MOST) else {
                return Err(SmtpError::new("the server's reply is no SMTP"));
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok((code, lines));
            }
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), SmtpError> {
        let written = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        written
            .await
            .map_err(|error: std::io::Error| SmtpError::new(format!("the connection broke: {error}")))
    }

    /// Sends a line and wants one of these codes; `shown` names it in errors, without what is secret.
    async fn command(&mut self, line: &str, wanted: &[u16], shown: &str) -> Result<Vec<String>, SmtpError> {
        self.write(&format!("{line}\r\n")).await?;
        self.wanted(wanted, shown).await
    }

    async fn wanted(&mut self, wanted: &[u16], shown: &str) -> Result<Vec<String>, SmtpError> {
        let (code, lines) = self.reply().await?;
        if wanted.contains(&code) {
            return Ok(lines);
        }
        let said: String = lines.join(" ").chars().take(200).collect();
        Err(SmtpError::new(format!("{shown}: {code} {said}")))
    }

    async fn greet(&mut self) -> Result<(), SmtpError> {
        self.wanted(&[220], "greeting").await.map(|_| ())
    }

    async fn hello(&mut self, name: &str) -> Result<(), SmtpError> {
        self.write(&format!("EHLO {name}\r\n")).await?;
        let (code, lines) = self.reply().await?;
        if code == 250 {
            self.extensions = lines.into_iter().skip(1).collect();
            return Ok(());
        }
        self.command(&format!("HELO {name}"), &[250], "HELO").await.map(|_| ())
    }

    /// The parameters of an extension that the server has.
    fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find_map(|line| {
            let (word, rest) = line.split_once([' ', '=']).unwrap_or((line, ""));
            word.eq_ignore_ascii_case(name).then_some(rest)
        })
    }

    async fn deliver(
        mut self,
        server: &Server<'_>,
        login: Option<&Login>,
        encrypted: bool,
        from: &str,
        to: &[String],
        mail: &str,
    ) -> Result<(), SmtpError> {
        if let (Some(login), Some(ways)) = (login, self.extension("AUTH").map(str::to_owned)) {
            self.login(server, login, &ways, encrypted).await?;
        }
        let wide = !from.is_ascii() || to.iter().any(|address| !address.is_ascii());
        let utf8 = if wide && self.extension("SMTPUTF8").is_some() { " SMTPUTF8" } else { "" };
        self.command(&format!("MAIL FROM:<{from}>{utf8}"), &[250], "MAIL FROM").await?;
        for address in to {
            self.command(&format!("RCPT TO:<{address}>"), &[250, 251], "RCPT TO").await?;
        }
        self.command("DATA", &[354], "DATA").await?;
        let maybe = |error: SmtpError| SmtpError { maybe_sent: true, ..error };
        self.write(&stuffed(mail)).await?;
        self.write(".\r\n").await.map_err(maybe)?;
        // A refusal is no doubt; silence is.
        let (code, lines) = self.reply().await.map_err(maybe)?;
        if code != 250 {
            let said: String = lines.join(" ").chars().take(200).collect();
            return Err(SmtpError::new(format!("the mail was refused: {code} {said}")));
        }
        // It is taken, whatever the server says to a goodbye.
        let goodbye = self.command("QUIT", &[221], "QUIT");
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        Ok(())
    }

    /// Logs in by the first of the server's ways that can be gone.
    async fn login(
        &mut self,
        server: &Server<'_>,
        login: &Login,
        ways: &str,
        encrypted: bool,
    ) -> Result<(), SmtpError> {
        let mut wrong = Vec::new();
        let local = matches!(server.host, "localhost" | "127.0.0.1" | "::1");
        for way in ways.split_whitespace() {
            match way {
                "CRAM-MD5" if login.secret.is_empty() => wrong.push("missing secret for CRAM-MD5".to_owned()),
                "CRAM-MD5" => return self.cram_md5(login).await,
                "PLAIN" | "LOGIN" if login.password.is_empty() => {
                    wrong.push(format!("missing password for {way}"));
                }
                "PLAIN" if !encrypted && !local => {
                    wrong.push("PLAIN shows the password, and the connection has no TLS".to_owned());
                }
                "PLAIN" => {
                    let text = format!("{}\0{}\0{}", login.identity, login.username, login.password);
                    let line = format!("AUTH PLAIN {}", BASE64.encode(text));
                    return self.command(&line, &[235], "AUTH PLAIN").await.map(|_| ());
                }
                "LOGIN" => return self.plain_login(login).await,
                other => wrong.push(format!("unknown auth mechanism {other}")),
            }
        }
        Err(SmtpError::new(format!("no way to log in: {}", wrong.join("; "))))
    }

    async fn cram_md5(&mut self, login: &Login) -> Result<(), SmtpError> {
        let lines = self.command("AUTH CRAM-MD5", &[334], "AUTH CRAM-MD5").await?;
        let challenge = lines.first().and_then(|line| BASE64.decode(line).ok());
        let challenge =
            challenge.ok_or_else(|| SmtpError::new("AUTH CRAM-MD5: the challenge is no base64"))?;
        let mut mac = Hmac::<Md5>::new_from_slice(login.secret.as_bytes())
            .map_err(|error| SmtpError::new(format!("AUTH CRAM-MD5: {error}")))?;
        mac.update(&challenge);
        let answer = format!("{} {}", login.username, hex(&mac.finalize().into_bytes()));
        self.command(&BASE64.encode(answer), &[235], "AUTH CRAM-MD5").await.map(|_| ())
    }

    async fn plain_login(&mut self, login: &Login) -> Result<(), SmtpError> {
        let mut line = "AUTH LOGIN".to_owned();
        for (question, answer) in [("user", &login.username), ("pass", &login.password)] {
            let lines = self.command(&line, &[334], "AUTH LOGIN").await?;
            let asked = lines.first().and_then(|line| BASE64.decode(line).ok()).unwrap_or_default();
            // "Username:" most say, "User Name" with a NUL the oldest.
            if !asked.get(..question.len()).is_some_and(|it| it.eq_ignore_ascii_case(question.as_bytes())) {
                return Err(SmtpError::new("AUTH LOGIN: unexpected server challenge"));
            }
            line = BASE64.encode(answer);
        }
        self.command(&line, &[235], "AUTH LOGIN").await.map(|_| ())
    }
}

/// Lines that begin with a dot get another: a dot alone ends the mail.
fn stuffed(mail: &str) -> String {
    let mut out = String::with_capacity(mail.len() + 64);
    for line in mail.split_inclusive("\r\n") {
        out.push_str(if line.starts_with('.') { "." } else { "" });
        out.push_str(line);
    }
    if !out.ends_with("\r\n") {
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_alone_ends_no_mail() {
        assert_eq!(stuffed("a\r\n.\r\n..b"), "a\r\n..\r\n...b\r\n");
    }
}
