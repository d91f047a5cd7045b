//! Static targets, files, HTTP, DNS, Docker.

use yaml::http::HTTP;
use yaml::{Checker, Schema, Type, View, field};

use super::{PORT, require, require_web_url};

pub(crate) static STATIC: Schema =
    Schema::new("static_configs", &[field("targets", Type::TEXTS), field("labels", Type::TEXT_MAP)]);

pub(super) static FILE: Schema =
    Schema::new("file_sd_configs", &[field("files", Type::TEXTS), field("refresh_interval", Type::Duration)])
        .verify(file);

fn file(view: View<'_>, check: &mut Checker) {
    if view.items("files").is_empty() {
        check.error(
            view.value_at("files"),
            "file service discovery config must contain at least one path name",
        );
    }
    for name in view.items("files") {
        let text = name.text().unwrap_or_default();
        if !valid_file_pattern(text) {
            check.error(name.at, format!("path name {text:?} is not valid for file discovery; expected a path that ends in .json, .yml or .yaml, with at most one * in its last element"));
        }
    }
}

/// `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`, with at most one star.
fn valid_file_pattern(text: &str) -> bool {
    let Some((stem, ending)) = text.rsplit_once('.') else { return false };
    let known = matches!(ending, "json" | "yml" | "yaml" | "JSON" | "YML" | "YAML");
    let star = stem.split_once('*').is_none_or(|(_, tail)| !tail.contains('/'));
    known && star && stem.matches('*').count() <= 1
}

pub(super) static HTTP_SD: Schema =
    Schema::new("http_sd_configs", &[field("url", Type::Text), field("refresh_interval", Type::Duration)])
        .with(&[&HTTP])
        .verify(http);

fn http(view: View<'_>, check: &mut Checker) {
    if !view.filled("url") {
        return check.error(view.value_at("url"), "URL is missing");
    }
    require_web_url(view, check, "url", "URL scheme must be 'http' or 'https'");
}

pub(super) static DNS: Schema = Schema::new(
    "dns_sd_configs",
    &[
        field("names", Type::TEXTS),
        field("type", Type::Text),
        field("port", PORT),
        field("refresh_interval", Type::Duration),
    ],
)
.verify(dns);

fn dns(view: View<'_>, check: &mut Checker) {
    if view.items("names").is_empty() {
        check.error(view.value_at("names"), "DNS-SD config must contain at least one SRV record name");
    }
    match view.text("type").unwrap_or("SRV").to_ascii_uppercase().as_str() {
        "SRV" => {}
        "A" | "AAAA" | "MX" | "NS" => {
            if view.int("port").unwrap_or_default() == 0 {
                check.error(
                    view.value_at("port"),
                    "a port is required in DNS-SD configs for all record types except SRV",
                );
            }
        }
        other => {
            let message = format!("invalid DNS-SD records type {other}; expected SRV, A, AAAA, MX or NS");
            check.error(view.value_at("type"), message);
        }
    }
}

pub(super) static FILTER: Schema =
    Schema::new("filters", &[field("name", Type::Text), field("values", Type::TEXTS)]);

pub(super) static DOCKER: Schema = Schema::new(
    "docker_sd_configs",
    &[
        field("host", Type::Text),
        field("port", PORT),
        field("filters", Type::List(&Type::Object(&FILTER))),
        field("host_networking_host", Type::Text),
        field("match_first_network", Type::Bool),
        field("refresh_interval", Type::Duration),
    ],
)
.with(&[&HTTP])
.verify(docker);

fn docker(view: View<'_>, check: &mut Checker) {
    require(view, check, "host", "host missing");
    if let Some(Err(error)) = view.text("host").map(yaml::check_url) {
        check.error(view.value_at("host"), error);
    }
}

pub(super) static DOCKER_SWARM: Schema = Schema::new(
    "dockerswarm_sd_configs",
    &[
        field("host", Type::Text),
        field("role", Type::Text),
        field("port", PORT),
        field("filters", Type::List(&Type::Object(&FILTER))),
        field("refresh_interval", Type::Duration),
    ],
)
.with(&[&HTTP])
.verify(docker_swarm);

fn docker_swarm(view: View<'_>, check: &mut Checker) {
    docker(view, check);
    match view.text_or_empty("role") {
        "services" | "nodes" | "tasks" => {}
        "" => check.error(view.value_at("role"), "role missing (one of: tasks, services, nodes)"),
        role => check
            .error(view.value_at("role"), format!("invalid role {role}, expected tasks, services, or nodes")),
    }
}
