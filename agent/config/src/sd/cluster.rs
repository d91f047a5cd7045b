//! Discovery from cluster managers and service registries.

use yaml::http::{HTTP, at_most_one};
use yaml::{Checker, Schema, Type, View, field};

use super::{PORT, require, require_web_url};

pub(super) static CONSUL: Schema = Schema::new(
    "consul_sd_configs",
    &[
        field("server", Type::Text),
        field("path_prefix", Type::Text),
        field("token", Type::Secret),
        field("datacenter", Type::Text),
        field("namespace", Type::Text),
        field("partition", Type::Text),
        field("tag_separator", Type::Text),
        field("scheme", Type::Text),
        field("username", Type::Text),
        field("password", Type::Secret),
        field("allow_stale", Type::Bool),
        field("refresh_interval", Type::Duration),
        field("services", Type::TEXTS),
        field("tags", Type::TEXTS),
        field("node_meta", Type::TEXT_MAP),
        field("filter", Type::Text),
        field("health_filter", Type::Text),
    ],
)
.with(&[&HTTP])
.verify(consul);

fn consul(view: View<'_>, check: &mut Checker) {
    if view.has("server") && view.text_or_empty("server").trim().is_empty() {
        check.error(view.value_at("server"), "consul SD configuration requires a server address");
    }
    let own = view.filled("username") || view.filled("password");
    if own && view.has("basic_auth") {
        check.error(
            view.key_at("basic_auth"),
            "at most one of consul SD configuration username and password and basic auth can be configured",
        );
    }
    let credentials = ["authorization", "oauth2", "bearer_token", "bearer_token_file"];
    if let Some(key) = credentials.into_iter().find(|key| view.has(key)).filter(|_| view.filled("token")) {
        check.error(
            view.key_at(key),
            "at most one of consul SD token, authorization, or oauth2 can be configured",
        );
    }
}

pub(super) static NOMAD: Schema = Schema::new(
    "nomad_sd_configs",
    &[
        field("server", Type::Text),
        field("namespace", Type::Text),
        field("region", Type::Text),
        field("tag_separator", Type::Text),
        field("allow_stale", Type::Bool),
        field("refresh_interval", Type::Duration),
    ],
)
.with(&[&HTTP])
.verify(nomad);

fn nomad(view: View<'_>, check: &mut Checker) {
    if view.has("server") && view.text_or_empty("server").trim().is_empty() {
        check.error(view.value_at("server"), "nomad SD configuration requires a server address");
    }
}

static NAMESPACES: Schema =
    Schema::new("namespaces", &[field("own_namespace", Type::Bool), field("names", Type::TEXTS)]);
static SELECTOR: Schema = Schema::new(
    "selectors",
    &[field("role", Type::Text), field("label", Type::Text), field("field", Type::Text)],
);
static ATTACH: Schema = Schema::new(
    "attach_metadata",
    &[
        field("node", Type::Bool),
        field("namespace", Type::Bool),
        field("deployment", Type::Bool),
        field("job", Type::Bool),
        field("cronjob", Type::Bool),
    ],
);

pub(super) static KUBERNETES: Schema = Schema::new(
    "kubernetes_sd_configs",
    &[
        field("role", Type::Text),
        field("api_server", Type::Url),
        field("kubeconfig_file", Type::Text),
        field("namespaces", Type::Object(&NAMESPACES)),
        field("selectors", Type::List(&Type::Object(&SELECTOR))),
        field("attach_metadata", Type::Object(&ATTACH)),
    ],
)
.with(&[&HTTP])
.verify(kubernetes);

/// Which kinds of object each role looks at, and so may select by.
const SELECTABLE: &[(&str, &[&str])] = &[
    ("pod", &["pod"]),
    ("service", &["service"]),
    ("endpoints", &["pod", "service", "endpoints"]),
    ("endpointslice", &["pod", "service", "endpointslice"]),
    ("node", &["node"]),
    ("ingress", &["ingress"]),
];

fn kubernetes(view: View<'_>, check: &mut Checker) {
    let role = view.text_or_empty("role").to_ascii_lowercase();
    let Some((_, selectable)) = SELECTABLE.iter().find(|(name, _)| *name == role) else {
        let message = if role.is_empty() {
            "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)".to_owned()
        } else {
            format!(
                "unknown Kubernetes SD role {role:?}; expected pod, service, endpoints, endpointslice, node or ingress"
            )
        };
        return check.error(view.value_at("role"), message);
    };
    kubernetes_access(view, check);
    let mut seen = Vec::new();
    for selector in view.list("selectors") {
        let on = selector.text_or_empty("role").to_ascii_lowercase();
        // Pods carry their node's metadata where it is attached, and are then selected by node too.
        let by_node = role == "pod" && on == "node" && view.map("attach_metadata").flag("node") == Some(true);
        if seen.contains(&on) {
            let message = format!("duplicated selector role: {on}");
            check.error(selector.value_at("role"), message);
        } else if !selectable.contains(&on.as_str()) && !by_node {
            let message =
                format!("{role} role supports only {} selectors; got {on:?}", selectable.join(", "));
            check.error(selector.value_at("role"), message);
        }
        seen.push(on);
    }
}

fn kubernetes_access(view: View<'_>, check: &mut Checker) {
    let own = view.map("namespaces").flag("own_namespace") == Some(true);
    let (api, kubeconfig) = (view.filled("api_server"), view.filled("kubeconfig_file"));
    let keys = [
        "basic_auth",
        "authorization",
        "oauth2",
        "bearer_token",
        "bearer_token_file",
        "tls_config",
        "proxy_url",
        "http_headers",
        "follow_redirects",
        "enable_http2",
    ];
    let custom = keys.into_iter().find(|key| view.has(key));
    let own_at = view.map("namespaces").key_at("own_namespace");
    if api && kubeconfig {
        check.error(
            view.key_at("kubeconfig_file"),
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
        );
    }
    if let Some(key) = custom.filter(|_| kubeconfig) {
        check.error(
            view.key_at(key),
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        );
    } else if let Some(key) = custom.filter(|_| !api && !kubeconfig) {
        check.error(
            view.key_at(key),
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        );
    }
    if api && own {
        check.error(own_at, "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously");
    }
    if kubeconfig && own {
        check.error(own_at, "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously");
    }
}

pub(super) static KUMA: Schema = Schema::new(
    "kuma_sd_configs",
    &[
        field("server", Type::Text),
        field("client_id", Type::Text),
        field("refresh_interval", Type::Duration),
        field("fetch_timeout", Type::Duration),
    ],
)
.with(&[&HTTP])
.verify(kuma);

fn kuma(view: View<'_>, check: &mut Checker) {
    let server = view.text_or_empty("server");
    if server.is_empty() {
        check.error(view.value_at("server"), "kuma SD server must not be empty and have a scheme");
    } else {
        require_web_url(view, check, "server", "kuma SD server must not be empty and have a scheme");
    }
}

pub(super) static EUREKA: Schema = Schema::new(
    "eureka_sd_configs",
    &[field("server", Type::Text), field("refresh_interval", Type::Duration)],
)
.with(&[&HTTP])
.verify(eureka);

fn eureka(view: View<'_>, check: &mut Checker) {
    if !view.filled("server") {
        return check.error(view.value_at("server"), "eureka_sd: empty or null eureka server");
    }
    require_web_url(
        view,
        check,
        "server",
        "eureka_sd: invalid eureka server URL; expected one like http://host:8761/eureka",
    );
}

pub(super) static MARATHON: Schema = Schema::new(
    "marathon_sd_configs",
    &[
        field("servers", Type::TEXTS),
        field("refresh_interval", Type::Duration),
        field("auth_token", Type::Secret),
        field("auth_token_file", Type::Text),
    ],
)
.with(&[&HTTP])
.verify(marathon);

fn marathon(view: View<'_>, check: &mut Checker) {
    if view.items("servers").is_empty() {
        check.error(view.value_at("servers"), "marathon_sd: must contain at least one Marathon server");
    }
    at_most_one(
        view,
        check,
        &["auth_token", "auth_token_file"],
        "marathon_sd: at most one of auth_token & auth_token_file must be configured",
    );
    let token = view.filled("auth_token") || view.filled("auth_token_file");
    let clash = [
        (
            "basic_auth",
            "marathon_sd: at most one of basic_auth, auth_token & auth_token_file must be configured",
        ),
        (
            "bearer_token",
            "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured",
        ),
        (
            "bearer_token_file",
            "marathon_sd: at most one of bearer_token, bearer_token_file, auth_token & auth_token_file must be configured",
        ),
        (
            "authorization",
            "marathon_sd: at most one of auth_token, auth_token_file & authorization must be configured",
        ),
    ];
    for (key, message) in clash.into_iter().filter(|(key, _)| token && view.has(key)) {
        check.error(view.key_at(key), message);
    }
}

static ZOOKEEPER: Schema = Schema::new(
    "ZooKeeper access",
    &[field("servers", Type::TEXTS), field("paths", Type::TEXTS), field("timeout", Type::Duration)],
);

pub(super) static NERVE: Schema = Schema::new("nerve_sd_configs", &[]).with(&[&ZOOKEEPER]).verify(nerve);
pub(super) static SERVERSET: Schema =
    Schema::new("serverset_sd_configs", &[]).with(&[&ZOOKEEPER]).verify(serverset);

fn nerve(view: View<'_>, check: &mut Checker) {
    zookeeper(view, check, "nerve");
}

fn serverset(view: View<'_>, check: &mut Checker) {
    zookeeper(view, check, "serverset");
}

fn zookeeper(view: View<'_>, check: &mut Checker, name: &str) {
    for (key, what) in [("servers", "Zookeeper server"), ("paths", "path")] {
        if view.items(key).is_empty() {
            check.error(view.value_at(key), format!("{name} SD config must contain at least one {what}"));
        }
    }
    for path in
        view.items("paths").iter().filter(|path| !path.text().is_some_and(|text| text.starts_with('/')))
    {
        check.error(
            path.at,
            format!("{name} SD config paths must begin with '/': {}", path.text().unwrap_or_default()),
        );
    }
}

pub(super) static PUPPETDB: Schema = Schema::new(
    "puppetdb_sd_configs",
    &[
        field("url", Type::Text),
        field("query", Type::Text),
        field("include_parameters", Type::Bool),
        field("port", PORT),
        field("refresh_interval", Type::Duration),
    ],
)
.with(&[&HTTP])
.verify(puppetdb);

fn puppetdb(view: View<'_>, check: &mut Checker) {
    if !view.filled("url") {
        return check.error(view.value_at("url"), "URL is missing");
    }
    require_web_url(view, check, "url", "URL scheme must be 'http' or 'https'");
    require(view, check, "query", "query missing");
}

pub(super) static UYUNI: Schema = Schema::new(
    "uyuni_sd_configs",
    &[
        field("server", Type::Url),
        field("username", Type::Text),
        field("password", Type::Secret),
        field("entitlement", Type::Text),
        field("separator", Type::Text),
        field("refresh_interval", Type::Duration),
    ],
)
.with(&[&HTTP])
.verify(uyuni);

fn uyuni(view: View<'_>, check: &mut Checker) {
    require(view, check, "server", "Uyuni SD configuration requires server host");
    require(view, check, "username", "Uyuni SD configuration requires a username");
    require(view, check, "password", "Uyuni SD configuration requires a password");
}
