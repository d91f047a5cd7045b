//! Schemas of every service discovery, whether built or not.

mod aws;
mod cloud;
mod cluster;
mod local;

use yaml::{Checker, Field, Schema, Type, View, field};

/// The keys `static_configs` and `<x>_sd_configs`.
pub(crate) static DISCOVERY: Schema = Schema::new("service discovery", FIELDS);

const LATER: &str = "this kind of service discovery";

static FIELDS: &[Field] = &[
    field("static_configs", Type::List(&Type::Object(&local::STATIC))),
    field("file_sd_configs", Type::List(&Type::Object(&local::FILE))),
    field("http_sd_configs", Type::List(&Type::Object(&local::HTTP_SD))).later(LATER),
    field("dns_sd_configs", Type::List(&Type::Object(&local::DNS))).later(LATER),
    field("docker_sd_configs", Type::List(&Type::Object(&local::DOCKER))).later(LATER),
    field("dockerswarm_sd_configs", Type::List(&Type::Object(&local::DOCKER_SWARM))).later(LATER),
    field("consul_sd_configs", Type::List(&Type::Object(&cluster::CONSUL))).later(LATER),
    field("nomad_sd_configs", Type::List(&Type::Object(&cluster::NOMAD))).later(LATER),
    field("kubernetes_sd_configs", Type::List(&Type::Object(&cluster::KUBERNETES))).later(LATER),
    field("kuma_sd_configs", Type::List(&Type::Object(&cluster::KUMA))).later(LATER),
    field("eureka_sd_configs", Type::List(&Type::Object(&cluster::EUREKA))).later(LATER),
    field("marathon_sd_configs", Type::List(&Type::Object(&cluster::MARATHON))).later(LATER),
    field("nerve_sd_configs", Type::List(&Type::Object(&cluster::NERVE))).later(LATER),
    field("serverset_sd_configs", Type::List(&Type::Object(&cluster::SERVERSET))).later(LATER),
    field("puppetdb_sd_configs", Type::List(&Type::Object(&cluster::PUPPETDB))).later(LATER),
    field("uyuni_sd_configs", Type::List(&Type::Object(&cluster::UYUNI))).later(LATER),
    field("aws_sd_configs", Type::List(&Type::Object(&aws::AWS))).later(LATER),
    field("ec2_sd_configs", Type::List(&Type::Object(&aws::EC2))).later(LATER),
    field("ecs_sd_configs", Type::List(&Type::Object(&aws::ECS))).later(LATER),
    field("elasticache_sd_configs", Type::List(&Type::Object(&aws::ELASTICACHE))).later(LATER),
    field("lightsail_sd_configs", Type::List(&Type::Object(&aws::LIGHTSAIL))).later(LATER),
    field("msk_sd_configs", Type::List(&Type::Object(&aws::MSK))).later(LATER),
    field("rds_sd_configs", Type::List(&Type::Object(&aws::RDS))).later(LATER),
    field("azure_sd_configs", Type::List(&Type::Object(&cloud::AZURE))).later(LATER),
    field("gce_sd_configs", Type::List(&Type::Object(&cloud::GCE))).later(LATER),
    field("oci_sd_configs", Type::List(&Type::Object(&cloud::OCI))).later(LATER),
    field("openstack_sd_configs", Type::List(&Type::Object(&cloud::OPENSTACK))).later(LATER),
    field("ovhcloud_sd_configs", Type::List(&Type::Object(&cloud::OVHCLOUD))).later(LATER),
    field("outscale_sd_configs", Type::List(&Type::Object(&cloud::OUTSCALE))).later(LATER),
    field("scaleway_sd_configs", Type::List(&Type::Object(&cloud::SCALEWAY))).later(LATER),
    field("hetzner_sd_configs", Type::List(&Type::Object(&cloud::HETZNER))).later(LATER),
    field("ionos_sd_configs", Type::List(&Type::Object(&cloud::IONOS))).later(LATER),
    field("linode_sd_configs", Type::List(&Type::Object(&cloud::LINODE))).later(LATER),
    field("digitalocean_sd_configs", Type::List(&Type::Object(&cloud::DIGITALOCEAN))).later(LATER),
    field("vultr_sd_configs", Type::List(&Type::Object(&cloud::VULTR))).later(LATER),
    field("stackit_sd_configs", Type::List(&Type::Object(&cloud::STACKIT))).later(LATER),
    field("triton_sd_configs", Type::List(&Type::Object(&cloud::TRITON))).later(LATER),
];

/// Any port that a number can be; Prometheus does not check its range.
const PORT: Type = Type::Int(i64::MIN, i64::MAX);

/// Notes a key that must be filled, with Prometheus's words for it.
fn require(view: View<'_>, check: &mut Checker, key: &str, message: &str) {
    if !view.filled(key) {
        check.error(view.value_at(key), message);
    }
}

/// Notes a URL under `key` that is not `http(s)://host…`.
fn require_web_url(view: View<'_>, check: &mut Checker, key: &str, scheme_message: &str) {
    let text = view.text_or_empty(key);
    let Ok(parsed) = Parts::split(text) else {
        return check.error(view.value_at(key), format!("{scheme_message}; got {text:?}"));
    };
    if !matches!(parsed.scheme, "http" | "https") {
        check.error(view.value_at(key), scheme_message);
    } else if parsed.host.is_empty() {
        check.error(
            view.value_at(key),
            format!("host is missing in URL {text:?}; expected one like http://host/path"),
        );
    }
}

/// Scheme and host of a URL.
struct Parts<'t> {
    scheme: &'t str,
    host: &'t str,
}

impl<'t> Parts<'t> {
    fn split(text: &'t str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once(':').ok_or(())?;
        let authority = rest.strip_prefix("//").unwrap_or_default();
        let host = authority.split(['/', '?', '#']).next().unwrap_or_default();
        Ok(Self { scheme, host: host.rsplit('@').next().unwrap_or_default() })
    }
}
