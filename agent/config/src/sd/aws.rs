//! Discovery in Amazon's cloud.

use yaml::http::HTTP;
use yaml::{Checker, Schema, Type, View, field};

use super::PORT;
use super::local::FILTER;

/// Where and as whom to ask.
static ACCESS: Schema = Schema::new(
    "AWS access",
    &[
        field("region", Type::Text),
        field("endpoint", Type::Text),
        field("access_key", Type::Text),
        field("secret_key", Type::Secret),
        field("profile", Type::Text),
        field("role_arn", Type::Text),
        field("external_id", Type::Text),
        field("port", PORT),
        field("refresh_interval", Type::Duration),
    ],
);

static CLUSTERS: Schema = Schema::new(
    "AWS clusters",
    &[field("clusters", Type::TEXTS), field("request_concurrency", Type::Int(i64::MIN, i64::MAX))],
);

static FILTERS: Schema =
    Schema::new("AWS filters", &[field("filters", Type::List(&Type::Object(&FILTER)))]).verify(filters);

fn filters(view: View<'_>, check: &mut Checker) {
    for filter in view.list("filters") {
        if filter.items("values").is_empty() {
            check.error(
                filter.value_at("values"),
                "EC2 SD configuration filter values cannot be empty; expected a list of values",
            );
        }
    }
}

pub(super) static AWS: Schema = Schema::new("aws_sd_configs", &[field("role", Type::Text)])
    .with(&[&ACCESS, &CLUSTERS, &FILTERS, &HTTP])
    .verify(aws);

fn aws(view: View<'_>, check: &mut Checker) {
    let role = view.text_or_empty("role");
    if !matches!(role, "ec2" | "lightsail" | "ecs" | "msk" | "elasticache" | "rds") {
        let message =
            format!("unknown AWS SD role {role:?}; expected ec2, lightsail, ecs, msk, elasticache or rds");
        check.error(view.value_at("role"), message);
    }
}

pub(super) static EC2: Schema = Schema::new("ec2_sd_configs", &[]).with(&[&ACCESS, &FILTERS, &HTTP]);
pub(super) static LIGHTSAIL: Schema = Schema::new("lightsail_sd_configs", &[]).with(&[&ACCESS, &HTTP]);
pub(super) static ECS: Schema = Schema::new("ecs_sd_configs", &[]).with(&[&ACCESS, &CLUSTERS, &HTTP]);
pub(super) static MSK: Schema = Schema::new("msk_sd_configs", &[]).with(&[&ACCESS, &CLUSTERS, &HTTP]);
pub(super) static ELASTICACHE: Schema =
    Schema::new("elasticache_sd_configs", &[]).with(&[&ACCESS, &CLUSTERS, &HTTP]);
pub(super) static RDS: Schema =
    Schema::new("rds_sd_configs", &[]).with(&[&ACCESS, &CLUSTERS, &FILTERS, &HTTP]);
