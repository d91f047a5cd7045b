//! From what discovery found to what is scraped: Prometheus's rules for target labels and URLs.

use std::time::Duration;

use discovery::TargetGroup;
use model::{INSTANCE, JOB, Labels, LabelsBuilder, format_duration, parse_duration, relabel};
use url::form_urlencoded;

use crate::config::ScrapeConfig;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
const META: &str = "__meta_";
const RESERVED: &str = "__";

/// A target after relabelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What discovery knew, before relabelling.
    pub(crate) discovered: Labels,
    /// The labels that its series carry.
    pub(crate) labels: Labels,
    pub(crate) url: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// What becomes of a discovered target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Scraped(Box<Found>),
    /// Relabelling dropped it; what discovery knew.
    Dropped(Labels),
}

/// What becomes of each target of a group, in order.
pub(crate) fn populate<'a>(
    config: &'a ScrapeConfig,
    group: &'a TargetGroup,
) -> impl Iterator<Item = Result<Outcome, String>> + 'a {
    group.targets.iter().enumerate().map(move |(index, own)| {
        target(config, own, &group.labels)
            .map_err(|what| format!("instance {index} in group {}: {what}", group.source))
    })
}

/// What becomes of a discovered target, for whoever wants to know without scraping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What discovery and the job say, before relabelling.
    pub discovered: Labels,
    /// The labels that its series would carry; none where relabelling drops it, or where it cannot be scraped.
    pub labels: Labels,
    /// Why it cannot be scraped.
    pub error: Option<String>,
}

/// What becomes of each target of a group, in order.
#[must_use]
pub fn resolve(config: &ScrapeConfig, group: &TargetGroup) -> Vec<Resolved> {
    let one = |own: &Labels| match target(config, own, &group.labels) {
        Ok(Outcome::Scraped(found)) => {
            Resolved { discovered: found.discovered, labels: found.labels, error: None }
        }
        Ok(Outcome::Dropped(discovered)) => Resolved { discovered, labels: Labels::empty(), error: None },
        Err(what) => Resolved {
            discovered: discovered(config, own, &group.labels),
            labels: Labels::empty(),
            error: Some(what),
        },
    };
    group.targets.iter().map(one).collect()
}

fn target(config: &ScrapeConfig, own: &Labels, shared: &Labels) -> Result<Outcome, String> {
    let discovered = discovered(config, own, shared);
    let mut builder = discovered.to_builder();
    if !relabel::process_builder(&mut builder, &config.relabel_configs) {
        return Ok(Outcome::Dropped(discovered));
    }
    let address = builder.get(ADDRESS).unwrap_or("").to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let interval = duration(&builder, INTERVAL, "scrape interval")?;
    let timeout = duration(&builder, TIMEOUT, "scrape timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval (\"{}\" > \"{}\")",
            format_duration(timeout),
            format_duration(interval)
        ));
    }
    builder.retain(|name| !name.starts_with(META));
    if builder.get(INSTANCE).is_none() {
        builder.set(INSTANCE, address.as_str());
    }
    let all = builder.build();
    Ok(Outcome::Scraped(Box::new(Found {
        discovered,
        url: target_url(config, &all, &address)?,
        labels: all.filtered(|name| !name.starts_with(RESERVED)),
        interval,
        timeout,
    })))
}

/// A target's own labels, its group's, and what the job sets where both are silent.
fn discovered(config: &ScrapeConfig, own: &Labels, shared: &Labels) -> Labels {
    let mut builder = shared.to_builder();
    for label in own.iter() {
        builder.set(label.name.clone(), label.value.clone());
    }
    for (name, value) in [
        (JOB, config.job_name.clone()),
        (INTERVAL, format_duration(config.interval)),
        (TIMEOUT, format_duration(config.timeout)),
        (METRICS_PATH, config.metrics_path.clone()),
        (SCHEME, config.scheme.as_str().to_owned()),
    ] {
        if builder.get(name).is_none() {
            builder.set(name, value);
        }
    }
    for (name, values) in &config.params {
        let label = format!("{PARAM}{name}");
        if let Some(first) = values.first()
            && builder.get(&label).is_none()
        {
            builder.set(label, first.as_str());
        }
    }
    builder.build()
}

fn duration(labels: &LabelsBuilder, name: &str, what: &str) -> Result<Duration, String> {
    let parsed = parse_duration(labels.get(name).unwrap_or(""))
        .map_err(|error| format!("error parsing {what}: {error}"))?;
    if parsed.is_zero() { Err(format!("{what} cannot be 0")) } else { Ok(parsed) }
}

fn target_url(config: &ScrapeConfig, labels: &Labels, address: &str) -> Result<String, String> {
    let scheme = labels.value(SCHEME);
    if !matches!(scheme, "http" | "https") {
        return Err(format!("unsupported scheme {scheme:?}, expected http or https"));
    }
    let mut url = url::Url::parse(&format!("{scheme}://{address}"))
        .map_err(|error| format!("{address:?} is not a valid address: {error}"))?;
    url.set_path(labels.value(METRICS_PATH));
    // A label sets the first value of its parameter, or adds the parameter.
    let mut params: std::collections::BTreeMap<&str, Vec<&str>> = config
        .params
        .iter()
        .map(|(name, values)| (name.as_str(), values.iter().map(String::as_str).collect()))
        .collect();
    for (label, value) in labels.pairs() {
        let Some(name) = label.strip_prefix(PARAM) else { continue };
        let values = params.entry(name).or_default();
        match values.first_mut() {
            Some(first) => *first = value,
            None => values.push(value),
        }
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, values) in &params {
        for value in values {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    let question = if query.is_empty() { "" } else { "?" };
    // By hand: the parser leaves away ports that are the scheme's own, and users look for what they wrote.
    Ok(format!("{scheme}://{address}{}{question}{query}", url.path()))
}

/// The labels of a scraped series before metric relabelling: the page's and the target's.
pub(crate) fn join(page: &Labels, target: &Labels, honor_labels: bool) -> LabelsBuilder {
    let mut builder = page.to_builder();
    let mut moved: Vec<(&str, &str)> = Vec::new();
    for (name, value) in target.pairs() {
        match page.get(name) {
            Some(_) if honor_labels => {}
            Some(own) => {
                moved.push((name, own));
                builder.set(name, value);
            }
            None => {
                builder.set(name, value);
            }
        }
    }
    // Short names first, so that the result does not depend on their order.
    moved.sort_by_key(|(name, _)| name.len());
    for (name, value) in moved {
        let mut free = format!("exported_{name}");
        while builder.get(&free).is_some() {
            free.insert_str(0, "exported_");
        }
        builder.set(free, value);
    }
    builder
}

#[cfg(test)]
#[path = "labels_tests.rs"]
mod tests;
