//! Mails to a server that speaks SMTP over real sockets: STARTTLS, TLS from the first byte, logins, refusals.

mod smtp_server;
mod support;

use alertmanager::{NotifyError, Sent};
use smtp_server::{Behaviour, SmtpServer};
use support::{NID, built, notification};

async fn send(server: &SmtpServer, keys: &str) -> Result<(), NotifyError> {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, server.certificate()).expect("written");
    let receiver = format!(
        "email_configs:\n- to: 'Ops <ops@example.org>, b@c.org'\n  from: am@example.org\n  smarthost: {}\n  \
         tls_config: {{ca_file: {}, server_name: localhost}}\n{keys}",
        server.address(),
        ca.display()
    );
    built("", &receiver, "http://127.0.0.1:1")[0]
        .notify(NID, &notification(&["firing".to_owned()]))
        .await
        .map(|_| ())
}

#[tokio::test]
async fn a_mail_has_headers_and_both_parts() {
    let server = SmtpServer::start(Behaviour::default()).await;
    send(&server, "  hello: agent.example\n").await.expect("sent");
    let (session, mail) = server.take();
    assert_eq!(
        session,
        [
            "EHLO agent.example",
            "STARTTLS",
            "TLS",
            "EHLO agent.example",
            "MAIL FROM:<am@example.org>",
            "RCPT TO:<ops@example.org>",
            "RCPT TO:<b@c.org>",
            "DATA",
            "QUIT",
        ]
    );
    let (head, body) = mail.split_once("\r\n\r\n").expect("a mail");
    assert_eq!(
        head.replace("\r\n", "\n"),
        format!(
            "From: am@example.org\nSubject: [FIRING:1] Down (critical)\nTo: Ops <ops@example.org>, b@c.org\n\
             Message-Id: <{NID}@example.org>\nDate: Thu, 29 Feb 2024 13:04:05 +0000\n\
             Content-Type: multipart/alternative; boundary={}\nMIME-Version: 1.0",
            &NID[..60]
        )
    );
    let start = format!(
        "--{}\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/html; charset=UTF-8\r\n\r\n<!DOCTYPE html>\r\n",
        &NID[..60]
    );
    assert!(body.starts_with(&start), "{body}");
    assert!(body.ends_with(&format!("--{}--\r\n", &NID[..60])), "{body}");
    assert!(body.lines().all(|line| line.len() <= 76), "{body}");
}

#[tokio::test]
async fn texts_headers_and_threads_are_as_configured() {
    let server = SmtpServer::start(Behaviour::default()).await;
    let keys = "  text: \"t {{ .Status }}\\n.\\nü\"\n  html: '<p>{{ .CommonAnnotations.summary }}</p>'\n  \
                headers: {subject: 'Größe {{ .Status }}', x-own: a}\n  threading: {enabled: true, thread_by_date: daily}\n";
    send(&server, keys).await.expect("sent");
    let (_, mail) = server.take();
    for part in [
        "Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe_firing?=\r\n",
        "X-Own: a\r\n",
        "References: <alert-911cf54dbb38d92c-2024-02-29@alertmanager>\r\n",
        "In-Reply-To: <alert-911cf54dbb38d92c-2024-02-29@alertmanager>\r\n",
        "Content-Type: text/plain; charset=UTF-8\r\n\r\nt firing\r\n.\r\n=C3=BC\r\n--",
        "Content-Type: text/html; charset=UTF-8\r\n\r\n<p>a &lt; b &amp; &#34;c&#34;</p>\r\n--",
    ] {
        assert!(mail.contains(part), "{part}\n{mail}");
    }
    let (plain, html) = (mail.find("text/plain").expect("a part"), mail.find("text/html").expect("a part"));
    assert!(plain < html, "the preferred part comes last");
}

#[tokio::test]
async fn tls_from_the_first_byte_and_none_at_all() {
    let server = SmtpServer::start(Behaviour { implicit_tls: true, ..Behaviour::default() }).await;
    send(&server, "  force_implicit_tls: true\n").await.expect("sent");
    assert_eq!(server.take().0[..2], ["TLS", "EHLO localhost"]);
    let server = SmtpServer::start(Behaviour { starttls: false, ..Behaviour::default() }).await;
    let error = send(&server, "").await.expect_err("no STARTTLS");
    assert!(error.to_string().contains("offers no STARTTLS") && error.retry, "{error}");
    assert!(!server.take().0.iter().any(|line| line.starts_with("MAIL")), "nothing is sent in the clear");
    send(&server, "  require_tls: false\n").await.expect("sent");
    assert!(!server.take().0.contains(&"TLS".to_owned()));
    // A certificate of somebody else.
    let server = SmtpServer::start(Behaviour::default()).await;
    let receiver = format!("email_configs: [{{to: a@b, from: c@d, smarthost: '{}'}}]", server.address());
    let notifier = &built("", &receiver, "http://127.0.0.1:1")[0];
    let error =
        notifier.notify(NID, &notification(&["firing".to_owned()])).await.expect_err("an unknown authority");
    assert!(
        error.retry && error.sent == Sent::No && error.to_string().contains("no secure connection"),
        "{error}"
    );
}

#[tokio::test]
async fn logins_follow_the_servers_order() {
    const KEYS: &str = "  auth_username: user\n  auth_password: pass word\n  auth_secret: tanstaaftanstaaf\n  auth_identity: id\n";
    for (ways, lines) in [
        // base64 of "id\0user\0pass word", and so on.
        ("PLAIN LOGIN", vec!["AUTH PLAIN aWQAdXNlcgBwYXNzIHdvcmQ="]),
        ("LOGIN PLAIN", vec!["AUTH LOGIN", "dXNlcg==", "cGFzcyB3b3Jk"]),
        // HMAC-MD5 of the server's "<1896.697170952@postoffice.reston.mci.net>".
        ("CRAM-MD5 PLAIN", vec!["AUTH CRAM-MD5", "dXNlciBiOTEzYTYwMmM3ZWRhN2E0OTViNGU2ZTczMzRkMzg5MA=="]),
        ("NTLM LOGIN", vec!["AUTH LOGIN", "dXNlcg==", "cGFzcyB3b3Jk"]),
    ] {
        let server = SmtpServer::start(Behaviour { auth: ways, ..Behaviour::default() }).await;
        send(&server, KEYS).await.expect(ways);
        let (session, _) = server.take();
        let after = session.iter().position(|line| line.starts_with("AUTH")).expect(ways);
        assert_eq!(session[after..after + lines.len()], lines[..], "{ways}");
        assert!(session[after + lines.len()].starts_with("MAIL FROM"), "{session:?}");
    }
    let old = Behaviour { auth: "LOGIN", questions: ["User Name\0", "Password\0"], ..Behaviour::default() };
    send(&SmtpServer::start(old).await, KEYS).await.expect("questions of the oldest servers");
    let odd = Behaviour { auth: "LOGIN", questions: ["Username:", "PIN:"], ..Behaviour::default() };
    let error = send(&SmtpServer::start(odd).await, KEYS).await.expect_err("an odd question");
    assert!(error.to_string().ends_with("AUTH LOGIN: unexpected server challenge"), "{error}");
    let server = SmtpServer::start(Behaviour { auth: "NTLM", ..Behaviour::default() }).await;
    let error = send(&server, KEYS).await.expect_err("no way in");
    assert!(error.to_string().contains("unknown auth mechanism NTLM") && error.retry, "{error}");
    assert!(!error.to_string().contains("pass word"), "{error}");
    let refuses = Behaviour { auth: "PLAIN", refuse: "AUTH", ..Behaviour::default() };
    let server = SmtpServer::start(refuses).await;
    let error = send(&server, KEYS).await.expect_err("refused");
    assert!(error.to_string().ends_with("AUTH PLAIN: 550 no"), "{error}");
}

#[tokio::test]
async fn refusals_are_tried_again_and_silence_is_perhaps_sent() {
    for (word, what) in [
        ("MAIL", "MAIL FROM: 550 no"),
        ("RCPT", "RCPT TO: 550 no"),
        ("DATA", "DATA: 550 no"),
        (".", "the mail was refused: 550 no"),
    ] {
        let server = SmtpServer::start(Behaviour { refuse: word, ..Behaviour::default() }).await;
        let error = send(&server, "").await.expect_err(word);
        assert_eq!((error.retry, error.sent), (true, Sent::No), "{word}: {error}");
        assert!(error.to_string().ends_with(what), "{error}");
    }
    let server = SmtpServer::start(Behaviour { hang_up: true, ..Behaviour::default() }).await;
    let error = send(&server, "").await.expect_err("no answer to the mail");
    assert_eq!((error.retry, error.sent), (true, Sent::Maybe), "{error}");
    let receiver = format!("email_configs: [{{to: a@b, from: nobody, smarthost: '{}'}}]", server.address());
    let notifier = &built("", &receiver, "http://127.0.0.1:1")[0];
    let error = notifier.notify(NID, &notification(&["firing".to_owned()])).await.expect_err("no address");
    assert!(!error.retry && error.to_string().ends_with("from: \"nobody\" is no mail address"), "{error}");
}
