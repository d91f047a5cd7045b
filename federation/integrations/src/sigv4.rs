//! Amazon's signature, version 4, for form requests; and where credentials come from.

use std::fmt::Write as _;
use std::path::PathBuf;

use client::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use template::GoTime;
use url::Url;

use crate::common::hex;

/// Who signs.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret,
    pub(crate) session_token: Option<Secret>,
}

/// What a request to a service gets besides its body.
pub(crate) struct Signed {
    pub(crate) date: String,
    pub(crate) authorization: String,
    pub(crate) session_token: Option<String>,
}

/// Type of the body that is signed.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Signs `POST url` with a form as its body.
pub(crate) fn sign(
    credentials: &Credentials,
    service: &str,
    region: &str,
    url: &Url,
    body: &str,
    now_ms: i64,
) -> Signed {
    let now = GoTime::from_ms(now_ms).unwrap_or_else(GoTime::zero);
    let (date, day) = (now.format("20060102T150405Z"), now.format("20060102"));
    let host = match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    };
    let token = credentials.session_token.as_ref().map(|token| token.expose().to_owned());
    let mut headers = format!("content-type:{FORM}\nhost:{host}\nx-amz-date:{date}\n");
    let mut names = "content-type;host;x-amz-date".to_owned();
    if let Some(token) = &token {
        let _ = writeln!(headers, "x-amz-security-token:{token}");
        names.push_str(";x-amz-security-token");
    }
    let hash = |text: &str| hex(&Sha256::digest(text.as_bytes()));
    let request = format!("POST\n{}\n\n{headers}\n{names}\n{}", url.path(), hash(body));
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(&request));
    let mut key = format!("AWS4{}", credentials.secret_key.expose()).into_bytes();
    for part in [day.as_str(), region, service, "aws4_request"] {
        key = keyed(&key, part);
    }
    let signature = hex(&keyed(&key, &text));
    let access = &credentials.access_key;
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}");
    Signed { date, authorization, session_token: token }
}

/// HMAC with SHA-256; keys may have any length.
fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        Err(_) => Vec::new(),
    }
}

/// A form with its texts escaped as Amazon wants them.
pub(crate) fn form(pairs: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, text) in pairs {
        out.push_str(if out.is_empty() { "" } else { "&" });
        escape(name, &mut out);
        out.push('=');
        escape(text, &mut out);
    }
    out
}

fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            // Writing to a String cannot fail.
            other => drop(write!(out, "%{other:02X}")),
        }
    }
}

/// Where credentials come from that alertmanager.yml does not give: the environment, then a profile of the
/// files that Amazon's own tools read.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// A variable of the environment.
    pub(crate) variable: fn(&str) -> Option<String>,
    /// `sigv4.profile`.
    pub(crate) profile: String,
}

impl Surroundings {
    pub(crate) fn region(&self) -> Option<String> {
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(self.variable);
        named.or_else(|| self.of_profile("AWS_CONFIG_FILE", "config", "region"))
    }

    pub(crate) fn credentials(&self) -> Option<Credentials> {
        let get = self.variable;
        if self.profile.is_empty()
            && let (Some(access_key), Some(secret)) = (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"))
        {
            let session_token = get("AWS_SESSION_TOKEN").map(Secret::new);
            return Some(Credentials { access_key, secret_key: Secret::new(secret), session_token });
        }
        let value = |key| {
            self.of_profile("AWS_SHARED_CREDENTIALS_FILE", "credentials", key)
                .or_else(|| self.of_profile("AWS_CONFIG_FILE", "config", key))
        };
        Some(Credentials {
            access_key: value("aws_access_key_id")?,
            secret_key: Secret::new(value("aws_secret_access_key")?),
            session_token: value("aws_session_token").map(Secret::new),
        })
    }

    fn of_profile(&self, variable: &str, file: &str, key: &str) -> Option<String> {
        let get = self.variable;
        let path = match get(variable) {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(get("HOME")?).join(".aws").join(file),
        };
        let profile = if self.profile.is_empty() {
            get("AWS_PROFILE").unwrap_or_else(|| "default".to_owned())
        } else {
            self.profile.clone()
        };
        ini(&std::fs::read_to_string(path).ok()?, &profile, key)
    }
}

/// The value of a key in a profile's section.
fn ini(text: &str, profile: &str, key: &str) -> Option<String> {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let section = section.trim();
            inside = section == profile || section.strip_prefix("profile ").map(str::trim) == Some(profile);
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed() {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let url = Url::parse("https://example.amazonaws.com/").expect("a URL");
        let body =
            form(&[("Action".to_owned(), "Publish".to_owned()), ("Message".to_owned(), "a b+ü".to_owned())]);
        assert_eq!(body, "Action=Publish&Message=a%20b%2B%C3%BC");
        let signed = sign(&credentials, "sns", "us-east-1", &url, &body, 1_440_938_160_000);
        assert_eq!(signed.date, "20150830T123600Z");
        let prefix = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/sns/aws4_request, \
                      SignedHeaders=content-type;host;x-amz-date, Signature=";
        assert!(signed.authorization.starts_with(prefix), "{}", signed.authorization);
        // Computed from Amazon's description of the signature with an independent program.
        assert!(
            signed
                .authorization
                .ends_with("c7a90628e954728ea5f8fb8b48b2a9e25f39477bc7653d1bd50f5694050b73ba"),
            "{}",
            signed.authorization
        );
    }

    #[test]
    fn profiles_are_read_from_files() {
        let text = "# none\n[default]\nregion = a\n[profile work]\nregion=b\n[other]\nregion=c\n";
        for (profile, region) in
            [("default", Some("a")), ("work", Some("b")), ("other", Some("c")), ("no", None)]
        {
            assert_eq!(ini(text, profile, "region").as_deref(), region, "{profile}");
        }
    }
}
