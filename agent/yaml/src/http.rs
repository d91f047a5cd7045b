//! `http_config`: how to reach another server, as both configuration files write it.

use crate::field::field;
use crate::node::{Kind, Node};
use crate::schema::{Schema, Type};
use crate::view::View;
use crate::walk::Checker;

/// Versions of TLS that may be asked for, oldest first.
const TLS_VERSIONS: &[&str] = &["TLS10", "TLS11", "TLS12", "TLS13"];

/// Headers that the client sets itself.
const RESERVED_HEADERS: &[&str] = &[
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// `tls_config`.
pub static TLS: Schema = Schema::new(
    "tls_config",
    &[
        field("ca", Type::Text),
        field("ca_file", Type::Text),
        field("cert", Type::Text),
        field("cert_file", Type::Text),
        field("key", Type::Secret),
        field("key_file", Type::Text),
        field("server_name", Type::Text),
        field("insecure_skip_verify", Type::Bool),
        field("min_version", Type::Choice(TLS_VERSIONS)),
        field("max_version", Type::Choice(TLS_VERSIONS)),
    ],
)
.verify(tls);

/// `proxy_url` and its companions.
pub static PROXY: Schema = Schema::new(
    "proxy settings",
    &[
        field("proxy_url", Type::Url),
        field("no_proxy", Type::Text),
        field("proxy_from_environment", Type::Bool),
        field("proxy_connect_header", Type::Map(&Type::List(&Type::Secret))),
    ],
)
.verify(proxy);

static BASIC_AUTH: Schema = Schema::new(
    "basic_auth",
    &[
        field("username", Type::Text),
        field("username_file", Type::Text),
        field("password", Type::Secret),
        field("password_file", Type::Text),
        field("username_ref", Type::Text).later("a secret reference"),
        field("password_ref", Type::Text).later("a secret reference"),
    ],
)
.verify(basic_auth);

static AUTHORIZATION: Schema = Schema::new(
    "authorization",
    &[
        field("type", Type::Text),
        field("credentials", Type::Secret),
        field("credentials_file", Type::Text),
        field("credentials_ref", Type::Text).later("a secret reference"),
    ],
)
.verify(authorization);

static OAUTH2: Schema = Schema::new(
    "oauth2",
    &[
        field("client_id", Type::Text),
        field("client_secret", Type::Secret),
        field("client_secret_file", Type::Text),
        field("client_secret_ref", Type::Text),
        field("client_certificate_key_id", Type::Text),
        field("client_certificate_key", Type::Secret),
        field("client_certificate_key_file", Type::Text),
        field("client_certificate_key_ref", Type::Text),
        field("grant_type", Type::Text),
        field("signature_algorithm", Type::Choice(&["", "RS256", "RS384", "RS512"])),
        field("iss", Type::Text),
        field("audience", Type::Text),
        field("claims", Type::Map(&Type::Any)),
        field("scopes", Type::TEXTS),
        field("token_url", Type::Text),
        field("endpoint_params", Type::TEXT_MAP),
        field("tls_config", Type::Object(&TLS)),
    ],
)
.with(&[&PROXY])
.verify(oauth2);

static HEADER: Schema = Schema::new(
    "http_headers",
    &[field("values", Type::TEXTS), field("secrets", Type::List(&Type::Secret)), field("files", Type::TEXTS)],
);

/// Everything of `http_config`, also where its keys stand inline.
pub static HTTP: Schema = Schema::new(
    "http_config",
    &[
        field("basic_auth", Type::Object(&BASIC_AUTH)),
        field("authorization", Type::Object(&AUTHORIZATION)),
        field("oauth2", Type::Object(&OAUTH2)).later("OAuth 2"),
        field("bearer_token", Type::Secret),
        field("bearer_token_file", Type::Text),
        field("tls_config", Type::Object(&TLS)),
        field("follow_redirects", Type::Bool),
        field("enable_http2", Type::Bool),
        field("http_headers", Type::Map(&Type::Object(&HEADER))),
    ],
)
.with(&[&PROXY])
.verify(http);

/// Notes where more than one of `keys` is set.
pub fn at_most_one(view: View<'_>, check: &mut Checker, keys: &[&str], message: &str) -> bool {
    let set: Vec<&&str> = keys.iter().filter(|key| view.filled(key)).collect();
    if let [_, second, ..] = set.as_slice() {
        check.error(view.key_at(second), message);
        return false;
    }
    true
}

fn basic_auth(view: View<'_>, check: &mut Checker) {
    at_most_one(
        view,
        check,
        &["username", "username_file", "username_ref"],
        "at most one of basic_auth username & username_file must be configured",
    );
    at_most_one(
        view,
        check,
        &["password", "password_file", "password_ref"],
        "at most one of basic_auth password & password_file must be configured",
    );
}

fn authorization(view: View<'_>, check: &mut Checker) {
    at_most_one(
        view,
        check,
        &["credentials", "credentials_file", "credentials_ref"],
        "at most one of authorization credentials & credentials_file must be configured",
    );
    if view.text_or_empty("type").trim().eq_ignore_ascii_case("basic") {
        check.error(
            view.value_at("type"),
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        );
    }
}

fn oauth2(view: View<'_>, check: &mut Checker) {
    if !view.filled("client_id") {
        check.error(view.value_at("client_id"), "oauth2 client_id must be configured");
    }
    if !view.filled("token_url") {
        check.error(view.value_at("token_url"), "oauth2 token_url must be configured");
    }
    at_most_one(
        view,
        check,
        &["client_secret", "client_secret_file", "client_secret_ref"],
        "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured",
    );
    at_most_one(
        view,
        check,
        &["client_certificate_key", "client_certificate_key_file", "client_certificate_key_ref"],
        "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured",
    );
    let grant = view.text_or_empty("grant_type");
    if !matches!(grant, "" | "client_credentials" | "urn:ietf:params:oauth:grant-type:jwt-bearer") {
        check.error(
            view.value_at("grant_type"),
            format!("unknown oauth2 grant_type {grant:?}; expected client_credentials or urn:ietf:params:oauth:grant-type:jwt-bearer"),
        );
    }
}

fn tls(view: View<'_>, check: &mut Checker) {
    for (inline, file) in [("ca", "ca_file"), ("cert", "cert_file"), ("key", "key_file")] {
        at_most_one(
            view,
            check,
            &[inline, file],
            &format!("at most one of {inline} and {file} must be configured"),
        );
    }
    let cert = view.filled("cert") || view.filled("cert_file");
    let key = view.filled("key") || view.filled("key_file");
    if cert && !key {
        check.error(
            view.at(),
            "exactly one of key or key_file must be configured when a client certificate is configured",
        );
    }
    if key && !cert {
        check.error(
            view.at(),
            "exactly one of cert or cert_file must be configured when a client key is configured",
        );
    }
    let rank = |key: &str| view.text(key).and_then(|text| TLS_VERSIONS.iter().position(|name| *name == text));
    if let (Some(least), Some(most)) = (rank("min_version"), rank("max_version"))
        && most < least
    {
        check.error(
            view.value_at("max_version"),
            "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified",
        );
    }
}

fn proxy(view: View<'_>, check: &mut Checker) {
    let (url, environment) = (view.filled("proxy_url"), view.flag("proxy_from_environment") == Some(true));
    if environment && url {
        check.error(
            view.key_at("proxy_url"),
            "if proxy_from_environment is configured, proxy_url must not be configured",
        );
    }
    if environment && view.filled("no_proxy") {
        check.error(
            view.key_at("no_proxy"),
            "if proxy_from_environment is configured, no_proxy must not be configured",
        );
    }
    if !environment && !url && view.filled("no_proxy") {
        check.error(view.key_at("no_proxy"), "if no_proxy is configured, proxy_url must also be configured");
    }
    let headers = view.get("proxy_connect_header").is_some_and(|node| !node.entries().is_empty());
    if headers && !url && !environment {
        check.error(
            view.key_at("proxy_connect_header"),
            "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
        );
    }
}

fn http(view: View<'_>, check: &mut Checker) {
    if !at_most_one(
        view,
        check,
        &["bearer_token", "bearer_token_file"],
        "at most one of bearer_token & bearer_token_file must be configured",
    ) {
        return;
    }
    let bearer = ["bearer_token", "bearer_token_file"].into_iter().find(|key| view.filled(key));
    let (basic, oauth, authorization) =
        (view.has("basic_auth"), view.has("oauth2"), view.has("authorization"));
    if let Some(bearer) = bearer.filter(|_| basic || oauth) {
        check.error(
            view.key_at(bearer),
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        );
    } else if let Some(bearer) = bearer.filter(|_| authorization) {
        check.error(
            view.key_at(bearer),
            "authorization is not compatible with bearer_token & bearer_token_file",
        );
    } else if usize::from(basic) + usize::from(oauth) + usize::from(authorization) > 1 {
        let last = if authorization && (basic || oauth) { "authorization" } else { "oauth2" };
        check
            .error(view.key_at(last), "at most one of basic_auth, oauth2 & authorization must be configured");
    }
    for entry in view.get("http_headers").map_or(&[][..], Node::entries) {
        if RESERVED_HEADERS.contains(&entry.key.to_ascii_lowercase().as_str()) {
            check.error(entry.at, format!("setting header {:?} is not allowed", entry.key));
        }
        if matches!(entry.value.kind, Kind::Null) {
            check.error(
                entry.value.at,
                format!("header {:?} has nothing; expected values, secrets or files", entry.key),
            );
        }
    }
}
