//! Discovery from clouds other than Amazon's.

use yaml::http::{HTTP, TLS};
use yaml::{Checker, Schema, Type, View, field};

use super::{PORT, require};

pub(super) static AZURE: Schema = Schema::new(
    "azure_sd_configs",
    &[
        field("environment", Type::Text),
        field("port", PORT),
        field("subscription_id", Type::Text),
        field("tenant_id", Type::Text),
        field("client_id", Type::Text),
        field("client_secret", Type::Secret),
        field("refresh_interval", Type::Duration),
        field("authentication_method", Type::Text),
        field("resource_group", Type::Text),
    ],
)
.with(&[&HTTP])
.verify(azure);

fn azure(view: View<'_>, check: &mut Checker) {
    let missing = |key: &str| format!("azure SD configuration requires a {key}");
    require(view, check, "subscription_id", &missing("subscription_id"));
    match view.text("authentication_method").unwrap_or("OAuth") {
        "OAuth" => {
            for key in ["tenant_id", "client_id", "client_secret"] {
                require(view, check, key, &missing(key));
            }
        }
        "ManagedIdentity" | "SDK" | "WorkloadIdentity" => {}
        other => check.error(
            view.value_at("authentication_method"),
            format!("unknown authentication_type {other:?}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\""),
        ),
    }
}

pub(super) static GCE: Schema = Schema::new(
    "gce_sd_configs",
    &[
        field("project", Type::Text),
        field("zone", Type::Text),
        field("filter", Type::Text),
        field("refresh_interval", Type::Duration),
        field("port", PORT),
        field("tag_separator", Type::Text),
    ],
)
.verify(gce);

fn gce(view: View<'_>, check: &mut Checker) {
    require(view, check, "project", "GCE SD configuration requires a project");
    require(view, check, "zone", "GCE SD configuration requires a zone");
}

pub(super) static OCI: Schema = Schema::new(
    "oci_sd_configs",
    &[
        field("region", Type::Text),
        field("tenancy", Type::Text),
        field("user", Type::Text),
        field("fingerprint", Type::Text),
        field("key_file", Type::Text),
        field("key_passphrase", Type::Secret),
        field("compartments", Type::TEXTS),
        field("port", PORT),
        field("refresh_interval", Type::Duration),
    ],
)
.verify(oci);

fn oci(view: View<'_>, check: &mut Checker) {
    if view.items("compartments").is_empty() {
        check.error(view.value_at("compartments"), "oci SD configuration requires at least one compartment");
    }
}

const OPENSTACK_ROLES: &[&str] = &["hypervisor", "instance", "loadbalancer"];

pub(super) static OPENSTACK: Schema = Schema::new(
    "openstack_sd_configs",
    &[
        field("identity_endpoint", Type::Text),
        field("username", Type::Text),
        field("userid", Type::Text),
        field("password", Type::Secret),
        field("project_name", Type::Text),
        field("project_id", Type::Text),
        field("domain_name", Type::Text),
        field("domain_id", Type::Text),
        field("application_credential_name", Type::Text),
        field("application_credential_id", Type::Text),
        field("application_credential_secret", Type::Secret),
        field("role", Type::Text),
        field("region", Type::Text),
        field("refresh_interval", Type::Duration),
        field("port", PORT),
        field("all_tenants", Type::Bool),
        field("tls_config", Type::Object(&TLS)),
        field("availability", Type::Text),
    ],
)
.verify(openstack);

fn openstack(view: View<'_>, check: &mut Checker) {
    let role = view.text_or_empty("role");
    if role.is_empty() {
        check.error(view.value_at("role"), "role missing (one of: instance, hypervisor, loadbalancer)");
    } else if !OPENSTACK_ROLES.contains(&role) {
        check.error(
            view.value_at("role"),
            format!("unknown OpenStack SD role {role:?}; expected instance, hypervisor or loadbalancer"),
        );
    }
    let availability = view.text("availability").unwrap_or("public");
    if !matches!(availability, "public" | "internal" | "admin") {
        let message =
            format!("unknown availability {availability}, must be one of admin, internal or public");
        check.error(view.value_at("availability"), message);
    }
    if view.text_or_empty("region").is_empty() {
        check.error(view.value_at("region"), "openstack SD configuration requires a region");
    }
}

pub(super) static OVHCLOUD: Schema = Schema::new(
    "ovhcloud_sd_configs",
    &[
        field("endpoint", Type::Text),
        field("application_key", Type::Text),
        field("application_secret", Type::Secret),
        field("consumer_key", Type::Secret),
        field("refresh_interval", Type::Duration),
        field("service", Type::Text),
    ],
)
.verify(ovhcloud);

fn ovhcloud(view: View<'_>, check: &mut Checker) {
    if view.text("endpoint") == Some("") {
        check.error(view.value_at("endpoint"), "endpoint can not be empty");
    }
    require(view, check, "application_key", "application key can not be empty");
    require(view, check, "application_secret", "application secret can not be empty");
    require(view, check, "consumer_key", "consumer key can not be empty");
    let service = view.text_or_empty("service");
    if !matches!(service, "vps" | "dedicated_server") {
        let message = format!("unknown service: {service:?}; expected vps or dedicated_server");
        check.error(view.value_at("service"), message);
    }
}

pub(super) static OUTSCALE: Schema = Schema::new(
    "outscale_sd_configs",
    &[
        field("region", Type::Text),
        field("endpoint", Type::Text),
        field("access_key", Type::Text),
        field("secret_key", Type::Secret),
        field("secret_key_file", Type::Text),
        field("port", PORT),
        field("refresh_interval", Type::Duration),
    ],
)
.with(&[&HTTP])
.verify(outscale);

fn outscale(view: View<'_>, check: &mut Checker) {
    require(view, check, "region", "outscale SD configuration requires a region");
    require(view, check, "access_key", "outscale SD configuration requires access_key");
    secret_key(view, check, "outscale SD");
}

fn secret_key(view: View<'_>, check: &mut Checker, name: &str) {
    match (view.filled("secret_key"), view.filled("secret_key_file")) {
        (false, false) => check
            .error(view.at(), format!("one of secret_key & secret_key_file must be configured for {name}")),
        (true, true) => check.error(
            view.key_at("secret_key_file"),
            format!("at most one of secret_key & secret_key_file must be configured for {name}"),
        ),
        _ => {}
    }
}

pub(super) static SCALEWAY: Schema = Schema::new(
    "scaleway_sd_configs",
    &[
        field("project_id", Type::Text),
        field("api_url", Type::Text),
        field("zone", Type::Text),
        field("access_key", Type::Text),
        field("secret_key", Type::Secret),
        field("secret_key_file", Type::Text),
        field("name_filter", Type::Text),
        field("tags_filter", Type::TEXTS),
        field("refresh_interval", Type::Duration),
        field("port", PORT),
        field("role", Type::Text),
    ],
)
.with(&[&HTTP])
.verify(scaleway);

fn scaleway(view: View<'_>, check: &mut Checker) {
    let role = view.text_or_empty("role");
    if !matches!(role, "instance" | "baremetal") {
        let message = format!("unknown Scaleway SD role {role:?}; expected instance or baremetal");
        check.error(view.value_at("role"), message);
    }
    require(view, check, "project_id", "project_id is mandatory");
    require(view, check, "access_key", "access_key is mandatory");
    secret_key(view, check, "scaleway SD");
}

/// Where machines listen, and how often to look for them.
static MACHINES: Schema =
    Schema::new("machines", &[field("port", PORT), field("refresh_interval", Type::Duration)]);

pub(super) static HETZNER: Schema =
    Schema::new("hetzner_sd_configs", &[field("role", Type::Text), field("label_selector", Type::Text)])
        .with(&[&MACHINES, &HTTP])
        .verify(hetzner);

fn hetzner(view: View<'_>, check: &mut Checker) {
    match view.text_or_empty("role") {
        "robot" | "hcloud" => {}
        "" => check.error(view.value_at("role"), "role missing (one of: robot, hcloud)"),
        role => {
            check.error(view.value_at("role"), format!("unknown role {role:?}; expected robot or hcloud"))
        }
    }
}

pub(super) static IONOS: Schema = Schema::new("ionos_sd_configs", &[field("datacenter_id", Type::Text)])
    .with(&[&MACHINES, &HTTP])
    .verify(ionos);

fn ionos(view: View<'_>, check: &mut Checker) {
    require(view, check, "datacenter_id", "datacenter id can't be empty");
}

pub(super) static LINODE: Schema =
    Schema::new("linode_sd_configs", &[field("tag_separator", Type::Text), field("region", Type::Text)])
        .with(&[&MACHINES, &HTTP]);

pub(super) static DIGITALOCEAN: Schema =
    Schema::new("digitalocean_sd_configs", &[]).with(&[&MACHINES, &HTTP]);

pub(super) static VULTR: Schema = Schema::new("vultr_sd_configs", &[]).with(&[&MACHINES, &HTTP]);

pub(super) static STACKIT: Schema = Schema::new(
    "stackit_sd_configs",
    &[
        field("project", Type::Text),
        field("region", Type::Text),
        field("endpoint", Type::Text),
        field("service_account_key", Type::Secret),
        field("service_account_key_path", Type::Text),
        field("private_key", Type::Secret),
        field("private_key_path", Type::Text),
        field("credentials_file_path", Type::Text),
    ],
)
.with(&[&MACHINES, &HTTP])
.verify(stackit);

fn stackit(view: View<'_>, check: &mut Checker) {
    require(view, check, "project", "stackit SD configuration requires a project");
}

pub(super) static TRITON: Schema = Schema::new(
    "triton_sd_configs",
    &[
        field("account", Type::Text),
        field("role", Type::Text),
        field("dns_suffix", Type::Text),
        field("endpoint", Type::Text),
        field("groups", Type::TEXTS),
        field("port", PORT),
        field("refresh_interval", Type::Duration),
        field("tls_config", Type::Object(&TLS)),
        field("version", Type::Int(i64::MIN, i64::MAX)),
    ],
)
.verify(triton);

fn triton(view: View<'_>, check: &mut Checker) {
    let role = view.text("role").unwrap_or("container");
    if !matches!(role, "container" | "cn") {
        check.error(view.value_at("role"), "triton SD configuration requires role to be 'container' or 'cn'");
    }
    require(view, check, "account", "triton SD configuration requires an account");
    require(view, check, "dns_suffix", "triton SD configuration requires a dns_suffix");
    require(view, check, "endpoint", "triton SD configuration requires an endpoint");
}
