//! What talks to other stores, and the store itself: `remote_write`, `remote_read`, `otlp`, `tracing`, `storage`.

use yaml::http::{HTTP, TLS};
use yaml::{Checker, Node, Schema, Type, View, field};

use super::scrape::RELABEL;

pub(super) static SIGV4: Schema = Schema::new(
    "sigv4",
    &[
        field("region", Type::Text),
        field("access_key", Type::Text),
        field("secret_key", Type::Secret),
        field("profile", Type::Text),
        field("role_arn", Type::Text),
        field("external_id", Type::Text),
        field("use_fips_sts_endpoint", Type::Bool),
        field("service_name", Type::Text),
    ],
)
.verify(sigv4);

fn sigv4(view: View<'_>, check: &mut Checker) {
    if view.filled("access_key") != view.filled("secret_key") {
        check.error(view.at(), "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config");
    }
}

static IDENTITY: Schema = Schema::new("managed_identity", &[field("client_id", Type::Text)]);
static WORKLOAD: Schema = Schema::new(
    "workload_identity",
    &[field("client_id", Type::Text), field("tenant_id", Type::Text), field("token_file_path", Type::Text)],
);
static AZURE_OAUTH: Schema = Schema::new(
    "oauth",
    &[field("client_id", Type::Text), field("client_secret", Type::Secret), field("tenant_id", Type::Text)],
);
static AZURE_CERTIFICATE: Schema = Schema::new(
    "certificate",
    &[
        field("client_id", Type::Text),
        field("tenant_id", Type::Text),
        field("certificate_path", Type::Text),
        field("certificate_password", Type::Secret),
        field("send_certificate_chain", Type::Bool),
    ],
);
static AZURE_SDK: Schema = Schema::new("sdk", &[field("tenant_id", Type::Text)]);
static AZUREAD: Schema = Schema::new(
    "azuread",
    &[
        field("cloud", Type::Choice(&["AzurePublic", "AzureChina", "AzureGovernment"])),
        field("managed_identity", Type::Object(&IDENTITY)),
        field("workload_identity", Type::Object(&WORKLOAD)),
        field("oauth", Type::Object(&AZURE_OAUTH)),
        field("certificate", Type::Object(&AZURE_CERTIFICATE)),
        field("sdk", Type::Object(&AZURE_SDK)),
        field("scope", Type::Text),
    ],
)
.verify(azuread);

fn azuread(view: View<'_>, check: &mut Checker) {
    let ways = ["managed_identity", "workload_identity", "oauth", "certificate", "sdk"];
    let set: Vec<&str> = ways.into_iter().filter(|key| view.has(key)).collect();
    match set.as_slice() {
        [] => check.error(view.at(), "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure certificate or Azure SDK in the Azure AD config"),
        [_] => {}
        [_, second, ..] => check.error(view.key_at(second), "cannot provide multiple authentication methods in the Azure AD config"),
    }
}

static GOOGLE_IAM: Schema = Schema::new("google_iam", &[field("credentials_file", Type::Text)]);

static QUEUE: Schema = Schema::new(
    "queue_config",
    &[
        field("capacity", Type::Int(1, i64::MAX)),
        field("max_shards", Type::Int(1, i64::MAX)),
        field("min_shards", Type::Int(1, i64::MAX)),
        field("max_samples_per_send", Type::Int(1, i64::MAX)),
        field("batch_send_deadline", Type::Duration),
        field("min_backoff", Type::Duration),
        field("max_backoff", Type::Duration),
        field("retry_on_http_429", Type::Bool),
        field("sample_age_limit", Type::Duration),
    ],
)
.verify(queue);

fn queue(view: View<'_>, check: &mut Checker) {
    let (least, most) = (view.int("min_shards").unwrap_or(1), view.int("max_shards").unwrap_or(50));
    if least > most {
        check.error(
            view.value_at("min_shards"),
            format!("min_shards {least} is more than max_shards {most}; expected at most that"),
        );
    }
}

static METADATA: Schema = Schema::new(
    "metadata_config",
    &[
        field("send", Type::Bool),
        field("send_interval", Type::Duration),
        field("max_samples_per_send", Type::Int(1, i64::MAX)),
    ],
);

pub(super) static REMOTE_WRITE: Schema = Schema::new(
    "remote_write",
    &[
        field("url", Type::Url),
        field("name", Type::Text),
        field("remote_timeout", Type::Duration),
        field(
            "protobuf_message",
            Type::Choice(&["prometheus.WriteRequest", "io.prometheus.write.v2.Request"]),
        ),
        field("headers", Type::TEXT_MAP),
        field("write_relabel_configs", Type::List(&Type::Object(&RELABEL)))
            .empty_item("empty or null relabeling rule in remote write config"),
        field("send_exemplars", Type::Bool),
        field("send_native_histograms", Type::Bool),
        field("round_robin_dns", Type::Bool),
        field("failed_request_logging", Type::Bool),
        field("queue_config", Type::Object(&QUEUE)),
        field("metadata_config", Type::Object(&METADATA)),
        field("sigv4", Type::Object(&SIGV4)),
        field("azuread", Type::Object(&AZUREAD)),
        field("google_iam", Type::Object(&GOOGLE_IAM)),
    ],
)
.with(&[&HTTP])
.verify(remote_write);

fn remote_write(view: View<'_>, check: &mut Checker) {
    if !view.filled("url") {
        check.error(view.value_at("url"), "url for remote_write is empty; expected a URL");
    }
    headers(
        view,
        check,
        "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter",
    );
    let ways = ["basic_auth", "authorization", "oauth2", "sigv4", "azuread", "google_iam"];
    let set: Vec<&str> = ways.into_iter().filter(|key| view.has(key)).collect();
    if let [_, second, ..] = set.as_slice() {
        check.error(
            view.key_at(second),
            "at most one of basic_auth, authorization, oauth2, sigv4, azuread & google_iam must be configured",
        );
    }
}

/// Headers that the client sets itself.
const RESERVED: &[&str] = &[
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
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

fn headers(view: View<'_>, check: &mut Checker, authorization: &str) {
    for entry in view.get("headers").map_or(&[][..], Node::entries) {
        let name = entry.key.to_ascii_lowercase();
        if name == "authorization" {
            check.error(entry.at, authorization);
        } else if RESERVED.contains(&name.as_str()) {
            check.error(entry.at, format!("{} is a reserved header. It must not be changed", entry.key));
        }
    }
}

pub(super) static REMOTE_READ: Schema = Schema::new(
    "remote_read",
    &[
        field("url", Type::Url),
        field("name", Type::Text),
        field("remote_timeout", Type::Duration),
        field("chunked_read_limit", Type::COUNT),
        field("headers", Type::TEXT_MAP),
        field("required_matchers", Type::TEXT_MAP),
        field("read_recent", Type::Bool),
        field("filter_external_labels", Type::Bool),
    ],
)
.with(&[&HTTP])
.verify(remote_read);

fn remote_read(view: View<'_>, check: &mut Checker) {
    if !view.filled("url") {
        check.error(view.value_at("url"), "url for remote_read is empty; expected a URL");
    }
    headers(
        view,
        check,
        "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter",
    );
}

const STRATEGIES: &[&str] = &[
    "",
    "UnderscoreEscapingWithSuffixes",
    "UnderscoreEscapingWithoutSuffixes",
    "NoUTF8EscapingWithSuffixes",
    "NoTranslation",
];

pub(super) static OTLP: Schema = Schema::new(
    "otlp",
    &[
        field("promote_all_resource_attributes", Type::Bool),
        field("promote_resource_attributes", Type::TEXTS),
        field("ignore_resource_attributes", Type::TEXTS),
        field("translation_strategy", Type::Check(strategy)),
        field("keep_identifying_resource_attributes", Type::Bool),
        field("convert_histograms_to_nhcb", Type::Bool),
        field("promote_scope_metadata", Type::Bool),
        field("label_name_underscore_sanitization", Type::Bool),
        field("label_name_preserve_multiple_underscores", Type::Bool),
    ],
)
.verify(otlp);

fn strategy(text: &str) -> Result<(), String> {
    match STRATEGIES.contains(&text) {
        true => Ok(()),
        false => Err(format!(
            "unsupported OTLP translation strategy {text:?}; expected one of {}",
            STRATEGIES[1..].join(", ")
        )),
    }
}

fn otlp(view: View<'_>, check: &mut Checker) {
    let all = view.flag("promote_all_resource_attributes") == Some(true);
    if all && !view.items("promote_resource_attributes").is_empty() {
        check.error(
            view.key_at("promote_resource_attributes"),
            "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously",
        );
    }
    if !all && !view.items("ignore_resource_attributes").is_empty() {
        check.error(
            view.key_at("ignore_resource_attributes"),
            "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true",
        );
    }
    for (key, what) in
        [("promote_resource_attributes", "promoted"), ("ignore_resource_attributes", "ignored")]
    {
        let mut seen: Vec<&str> = Vec::new();
        for node in view.items(key) {
            let name = node.text().unwrap_or_default().trim();
            if name.is_empty() {
                check.error(node.at, format!("empty {what} OTel resource attribute"));
            } else if seen.contains(&name) {
                check.error(node.at, format!("duplicated {what} OTel resource attribute {name:?}"));
            }
            seen.push(name);
        }
    }
}

pub(super) static TRACING: Schema = Schema::new(
    "tracing",
    &[
        field("client_type", Type::Choice(&["http", "grpc"])),
        field("endpoint", Type::Text),
        field("sampling_fraction", Type::Float),
        field("insecure", Type::Bool),
        field("tls_config", Type::Object(&TLS)),
        field("headers", Type::TEXT_MAP),
        field("compression", Type::Text),
        field("timeout", Type::Duration),
    ],
)
.verify(tracing);

fn tracing(view: View<'_>, check: &mut Checker) {
    headers(view, check, "authorization header configuration is not yet supported");
    if !view.filled("endpoint") {
        check.error(view.value_at("endpoint"), "tracing endpoint must be set");
    }
    let compression = view.text_or_empty("compression");
    if !matches!(compression, "" | "gzip") {
        let message = format!("invalid compression type {compression} provided, valid options: gzip");
        check.error(view.value_at("compression"), message);
    }
}

static RETENTION: Schema = Schema::new(
    "retention",
    &[
        field("time", Type::Duration),
        field("size", Type::Size),
        field("percentage", Type::Float).later("retention by percentage"),
    ],
)
.verify(retention);

fn retention(view: View<'_>, check: &mut Checker) {
    if view.float("percentage").is_some_and(|share| !(0.0..=100.0).contains(&share)) {
        check.error(
            view.value_at("percentage"),
            "'storage.tsdb.retention.percentage' must be in the range [0, 100]",
        );
    }
}

static ENCODING: Schema = Schema::new("chunk_encoding", &[field("floats", Type::Choice(&["xor", "xor2"]))]);

static TSDB: Schema = Schema::new(
    "tsdb",
    &[
        field("out_of_order_time_window", Type::Duration),
        field("stale_series_compaction_threshold", Type::Float)
            .moot("a series without new samples costs no memory until the next window"),
        field("chunk_encoding", Type::Object(&ENCODING)).moot("values are kept as decimals"),
        field("retention", Type::Object(&RETENTION)),
    ],
);

static EXEMPLARS: Schema = Schema::new("exemplars", &[field("max_exemplars", Type::Int(i64::MIN, i64::MAX))]);

pub(super) static STORAGE: Schema = Schema::new(
    "storage",
    &[field("tsdb", Type::Object(&TSDB)), field("exemplars", Type::Object(&EXEMPLARS))],
);
