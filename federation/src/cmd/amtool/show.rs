//! How answers are printed: simple, extended, json.

use anyhow::Result;
use model::MatchOp;
use serde::Serialize;
use template::GoTime;

use super::say;
use super::table::laid_out;
use super::views::{Alert, Cluster, Matcher, Moment, Pairs, Silence, Status, go_json};
use crate::kingpin::Call;

/// `--output` and `--date.format`.
pub(super) struct Show<'a> {
    output: &'a str,
    layout: &'a str,
}

impl<'a> Show<'a> {
    pub(super) fn new(call: &'a Call) -> Self {
        Self {
            output: call.text("output").unwrap_or("simple"),
            layout: call.text("date.format").unwrap_or_default(),
        }
    }

    fn date(&self, moment: Moment) -> String {
        GoTime::from_ms(moment.0).unwrap_or_else(GoTime::zero).format(self.layout)
    }

    fn json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
        say(&format!("{}\n", go_json(value)?));
        Ok(())
    }

    /// Silences in order of their end.
    pub(super) fn silences(&self, mut silences: Vec<Silence>) -> Result<()> {
        if self.output == "json" {
            return Self::json(&silences);
        }
        silences.sort_by_key(|silence| silence.ends_at);
        let extended = self.output == "extended";
        let mut text = match extended {
            true => "ID\tMatchers\tStarts At\tEnds At\tUpdated At\tCreated By\tComment\t\n".to_owned(),
            false => "ID\tMatchers\tEnds At\tCreated By\tComment\t\n".to_owned(),
        };
        for silence in &silences {
            let (ends, author, comment) = (self.date(silence.ends_at), &silence.created_by, &silence.comment);
            let matchers: Vec<String> = silence.matchers.iter().map(matcher).collect();
            text.push_str(&if extended {
                let (starts, updated) = (self.date(silence.starts_at), self.date(silence.updated_at));
                let matchers = format!("{{{}}}", matchers.join(","));
                format!("{}\t{matchers}\t{starts}\t{ends}\t{updated}\t{author}\t{comment}\t\n", silence.id)
            } else {
                format!("{}\t{}\t{ends}\t{author}\t{comment}\t\n", silence.id, matchers.join(" "))
            });
        }
        say(&laid_out(&text));
        Ok(())
    }

    /// Alerts in order of their start.
    pub(super) fn alerts(&self, mut alerts: Vec<Alert>) -> Result<()> {
        if self.output == "json" {
            return Self::json(&alerts);
        }
        alerts.sort_by_key(|alert| alert.starts_at);
        let extended = self.output == "extended";
        let mut text = match extended {
            true => "Labels\tAnnotations\tStarts At\tEnds At\tGenerator URL\tState\t\n".to_owned(),
            false => "Alertname\tStarts At\tSummary\tState\t\n".to_owned(),
        };
        for alert in &alerts {
            let (starts, state) = (self.date(alert.starts_at), &alert.status.state);
            text.push_str(&if extended {
                let (labels, annotations) = (pairs(&alert.labels), pairs(&alert.annotations));
                let ends = self.date(alert.ends_at);
                format!("{labels}\t{annotations}\t{starts}\t{ends}\t{}\t{state}\t\n", alert.generator_url)
            } else {
                let of = |pairs: &Pairs, name: &str| pairs.get(name).cloned().unwrap_or_default();
                let (name, summary) = (of(&alert.labels, "alertname"), of(&alert.annotations, "summary"));
                format!("{name}\t{starts}\t{summary}\t{state}\t\n")
            });
        }
        say(&laid_out(&text));
        Ok(())
    }

    /// The configuration in use, with more about the process where asked for.
    pub(super) fn config(&self, status: &Status) -> Result<()> {
        if self.output == "json" {
            return Self::json(status);
        }
        let mut text = format!("{}\n", status.config.original);
        if self.output == "extended" {
            let version = &status.version_info;
            for (name, value) in [
                ("buildUser", &version.build_user),
                ("goVersion", &version.go_version),
                ("revision", &version.revision),
                ("version", &version.version),
                ("branch", &version.branch),
                ("buildDate", &version.build_date),
                ("uptime", &status.uptime.written()),
            ] {
                text.push_str(&format!("{name} {value}\n"));
            }
        }
        say(&text);
        Ok(())
    }

    /// The cluster, with its members where asked for.
    pub(super) fn cluster(&self, cluster: &Cluster) -> Result<()> {
        if self.output == "json" {
            return Self::json(cluster);
        }
        let mut text = format!("Cluster Status:\t{}\nNode Name:\t{}\n", cluster.status, cluster.name);
        if self.output == "extended" {
            text.push_str("\nAddress\tName\n");
            let mut peers = cluster.peers.clone();
            peers.sort();
            for peer in peers {
                text.push_str(&format!("{}\t{}\t\n", peer.address, peer.name));
            }
        }
        say(&laid_out(&text));
        Ok(())
    }
}

fn matcher(matcher: &Matcher) -> String {
    let op = match (matcher.is_regex, matcher.is_equal) {
        (false, true) => MatchOp::Equal,
        (false, false) => MatchOp::NotEqual,
        (true, true) => MatchOp::Regex,
        (true, false) => MatchOp::NotRegex,
    };
    alertmanager::written_matcher(&matcher.name, op, &matcher.value)
}

/// `name="value"`, in order of the whole text.
fn pairs(pairs: &Pairs) -> String {
    let mut texts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    texts.sort();
    texts.join(" ")
}
