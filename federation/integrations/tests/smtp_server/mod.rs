//! A server that speaks as much SMTP as tests need, with a certificate of its own, and remembers what it heard.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use env::Tasks;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// How the server is.
#[derive(Clone)]
pub(crate) struct Behaviour {
    pub(crate) implicit_tls: bool,
    pub(crate) starttls: bool,
    /// What it offers, empty for nothing.
    pub(crate) auth: &'static str,
    /// What it asks one who logs in by LOGIN.
    pub(crate) questions: [&'static str; 2],
    /// The command that it refuses.
    pub(crate) refuse: &'static str,
    /// It closes the connection when the mail is there.
    pub(crate) hang_up: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        let questions = ["Username:", "Password:"];
        Self { implicit_tls: false, starttls: true, auth: "", questions, refuse: "never", hang_up: false }
    }
}

#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    mail: String,
}

pub(crate) struct SmtpServer {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    certificate: String,
    tasks: Tasks,
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl SmtpServer {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (heard, tasks) = (Arc::new(Mutex::new(Heard::default())), Tasks::new());
        let (log, stop) = (Arc::clone(&heard), tasks.clone());
        tasks.spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = stop.stopping() => return,
                    accepted = listener.accept() => accepted.expect("a connection").0,
                };
                // One after the other is enough; a client that goes away early is none's fault.
                let session = Session { log: Arc::clone(&log), behaviour: behaviour.clone() };
                let _ = session.serve(stream, &acceptor).await;
            }
        });
        Self { address, heard, certificate: cert.pem(), tasks }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The commands since the last time, and the last mail.
    pub(crate) fn take(&self) -> (Vec<String>, String) {
        let mut heard = self.heard.lock().expect("no panic");
        (std::mem::take(&mut heard.lines), std::mem::take(&mut heard.mail))
    }
}

struct Session {
    log: Arc<Mutex<Heard>>,
    behaviour: Behaviour,
}

impl Session {
    fn note(&self, line: &str) {
        self.log.lock().expect("no panic").lines.push(line.to_owned());
    }

    async fn serve(&self, stream: TcpStream, acceptor: &TlsAcceptor) -> std::io::Result<()> {
        if self.behaviour.implicit_tls {
            let mut stream = BufReader::new(acceptor.accept(stream).await?);
            self.note("TLS");
            stream.write_all(b"220 ready\r\n").await?;
            return self.talk(&mut stream, true).await.map(|_| ());
        }
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220-hello\r\n220 ready\r\n").await?;
        if self.talk(&mut stream, false).await? {
            let mut stream = BufReader::new(acceptor.accept(stream.into_inner()).await?);
            self.note("TLS");
            self.talk(&mut stream, true).await?;
        }
        Ok(())
    }

    /// Whether the client wants TLS now.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        secure: bool,
    ) -> std::io::Result<bool> {
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let said = line.trim_end().to_owned();
            line.clear();
            self.note(&said);
            let word = said.split([' ', ':']).next().unwrap_or_default();
            let answer = match word {
                word if word == self.behaviour.refuse => "550 no\r\n".to_owned(),
                "EHLO" => self.extensions(secure),
                "STARTTLS" => {
                    stream.write_all(b"220 go\r\n").await?;
                    return Ok(true);
                }
                "AUTH" => {
                    self.login(stream, &said).await?;
                    "235 welcome\r\n".to_owned()
                }
                "DATA" => {
                    stream.write_all(b"354 go\r\n").await?;
                    self.mail(stream).await?;
                    match self.behaviour.refuse {
                        _ if self.behaviour.hang_up => return Ok(false),
                        "." => "550 no\r\n".to_owned(),
                        _ => "250 taken\r\n".to_owned(),
                    }
                }
                _ => "250 ok\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(false)
    }

    fn extensions(&self, secure: bool) -> String {
        let mut lines = "250-localhost\r\n".to_owned();
        if self.behaviour.starttls && !secure {
            lines.push_str("250-STARTTLS\r\n");
        }
        if !self.behaviour.auth.is_empty() && secure {
            lines.push_str(&format!("250-AUTH {}\r\n", self.behaviour.auth));
        }
        lines + "250 8BITMIME\r\n"
    }

    async fn login<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        said: &str,
    ) -> std::io::Result<()> {
        let questions: &[&str] = match said.split(' ').nth(1) {
            Some("LOGIN") => &self.behaviour.questions,
            Some("CRAM-MD5") => &["<1896.697170952@postoffice.reston.mci.net>"],
            _ => &[],
        };
        for question in questions {
            stream.write_all(format!("334 {}\r\n", BASE64.encode(question)).as_bytes()).await?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await?;
            self.note(answer.trim_end());
        }
        Ok(())
    }

    async fn mail<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
    ) -> std::io::Result<()> {
        let mut mail = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
                break;
            }
            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
        }
        self.log.lock().expect("no panic").mail = mail;
        Ok(())
    }
}
