//! `query analyze`: how many buckets of histograms are in use, and how many change from sample to sample.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use env::SystemClock;
use serde_json::Value;
use vedette_agent::go_text;

use super::http::Server;
use super::query::{metric, text};

#[derive(Args, Debug)]
pub(super) struct AnalyzeFlags {
    /// Prometheus server to query.
    #[arg(long)]
    server: String,
    /// Type of metric: classichistograms, nativehistograms.
    #[arg(long = "type")]
    kind: String,
    /// Time frame to analyze.
    #[arg(long, default_value = "1h", value_parser = vedette_agent::flags::duration)]
    duration: Duration,
    /// Query time (RFC3339 or Unix timestamp), defaults to now.
    #[arg(long)]
    time: Option<String>,
    /// Series selector. Can be specified multiple times.
    #[arg(long = "match", required = true)]
    matchers: Vec<String>,
}

/// What changed from one sample to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    changed: i64,
    delta: i64,
    populated: i64,
}

/// A histogram's steps, and how many buckets there are.
#[derive(Debug)]
struct Statistics {
    steps: Vec<Step>,
    total: usize,
}

/// Least, mean, most.
#[derive(Clone, Copy, Debug)]
struct Spread(i64, f64, i64);

impl Spread {
    #[allow(clippy::cast_precision_loss, reason = "a mean of counts")]
    fn of(numbers: impl Iterator<Item = i64> + Clone) -> Self {
        let (count, sum) =
            numbers.clone().fold((0_i64, 0.0), |(count, sum), one| (count + 1, sum + one as f64));
        let mean = if count == 0 { 0.0 } else { sum / count as f64 };
        Self(numbers.clone().min().unwrap_or(i64::MAX), mean, numbers.max().unwrap_or(0))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.0, self.1, self.2)
    }
}

impl Statistics {
    fn spreads(&self) -> [Spread; 3] {
        let of = |part: fn(&Step) -> i64| Spread::of(self.steps.iter().map(part));
        [of(|step| step.changed), of(|step| step.delta), of(|step| step.populated)]
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [changed, delta, populated] = self.spreads();
        write!(
            f,
            "Bucket stats (min/avg/max) - number of buckets changed: {changed} total delta of changed buckets: {delta} \
             number of populated buckets: {populated}. total number of buckets: {}",
            self.total
        )
    }
}

pub(super) fn run(flags: &AnalyzeFlags, http: &super::HttpConfig) -> Result<()> {
    let native = match flags.kind.as_str() {
        "nativehistograms" => true,
        "classichistograms" => false,
        other => bail!("analyze type is {other}, must be 'classichistograms' or 'nativehistograms'"),
    };
    let end = match &flags.time {
        None => SystemClock::shared().now_ms(),
        Some(text) => {
            api::parse_time(text).map_err(|error| anyhow!("error parsing time '{text}': {error}"))?
        }
    };
    if let Some(matcher) = flags.matchers.iter().find(|matcher| !native && as_buckets(matcher) == **matcher) {
        bail!(
            "every classic histogram matcher must have a '_sum' suffix in the metric name, but the matcher '{matcher}' \
             does not"
        );
    }
    let asker = Asker { server: Server::new(&flags.server, http, &[])?, end, span: flags.duration };
    let mut all = Vec::new();
    for matcher in &flags.matchers {
        if native { asker.natives(matcher, &mut all)? } else { asker.classics(matcher, &mut all)? }
    }
    summarize(&all);
    Ok(())
}

struct Asker {
    server: Server,
    end: i64,
    span: Duration,
}

impl Asker {
    fn ask(&self, query: String, wanted: &str) -> Result<Vec<Value>> {
        let form = [("query", query), ("time", super::query::seconds(self.end))];
        let data = self.server.ask("/api/v1/query", &form, false)?.data;
        let data: Value = serde_json::from_str(data.as_ref().map_or("null", |data| data.get()))?;
        if data["resultType"] != wanted {
            bail!("query of buckets resulted in non-{wanted}");
        }
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    fn range(&self) -> String {
        format!("[{}]", go_text::duration(i64::try_from(self.span.as_millis()).unwrap_or(i64::MAX)))
    }

    fn natives(&self, matcher: &str, all: &mut Vec<Statistics>) -> Result<()> {
        for series in self.ask(format!("{matcher}{}", self.range()), "matrix")? {
            if let Some(found) = native(&series) {
                say(&metric(&series["metric"]), found, all);
            }
        }
        Ok(())
    }

    fn classics(&self, matcher: &str, all: &mut Vec<Statistics>) -> Result<()> {
        for series in self.ask(format!("last_over_time({matcher}{})", self.range()), "vector")? {
            let labels = series["metric"].as_object().cloned().unwrap_or_default();
            let name = as_buckets(labels.get("__name__").and_then(Value::as_str).unwrap_or_default());
            let others = labels.iter().filter(|(name, _)| *name != "__name__");
            let others: Vec<String> =
                others.map(|(name, value)| format!("{name}={}", promql::quote(&text(value)))).collect();
            let selector = format!("{name}{{{}}}{}", others.join(","), self.range());
            if let Some(found) = classic(self.ask(selector.clone(), "matrix")?)? {
                say(&selector, found, all);
            }
        }
        Ok(())
    }
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn say(name: &str, found: Statistics, all: &mut Vec<Statistics>) {
    println!("{name}={found}");
    all.push(found);
}

#[allow(clippy::print_stdout, clippy::cast_possible_truncation, reason = "promtool's whole numbers")]
fn summarize(all: &[Statistics]) {
    for (place, what) in ["Changed", "Delta", "Pop"].iter().enumerate() {
        let of = |part: fn(Spread) -> i64| Spread::of(all.iter().map(move |one| part(one.spreads()[place])));
        println!("min{what} - min/avg/max: {}", of(|spread| spread.0));
        println!("avg{what} - min/avg/max: {}", of(|spread| spread.1 as i64));
        println!("max{what} - min/avg/max: {}", of(|spread| spread.2));
    }
    let totals = Spread::of(all.iter().map(|one| i64::try_from(one.total).unwrap_or(i64::MAX)));
    println!("total - min/avg/max: {totals}\ncount - {}", all.len());
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for step in all.iter().flat_map(|one| &one.steps) {
        *counts.entry(step.changed).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(changed, count)| format!("{changed}:{count}")).collect();
    println!("&{{map[{}]}}", counts.join(" "));
}

/// The same with `_bucket` for each `_sum` that ends a word.
fn as_buckets(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("_sum") {
        let (before, after) = (&rest[..at], &rest[at + 4..]);
        let ends = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        out.push_str(before);
        out.push_str(if ends { "_bucket" } else { "_sum" });
        rest = after;
    }
    out + rest
}

#[allow(clippy::cast_possible_truncation, reason = "promtool counts whole observations")]
fn count(value: &Value) -> i64 {
    text(value).parse::<f64>().unwrap_or(0.0) as i64
}

/// The series of one classic histogram; nothing where there are not two samples.
fn classic(mut buckets: Vec<Value>) -> Result<Option<Statistics>> {
    let bound = |series: &Value| text(&series["metric"]["le"]).parse::<f64>().unwrap_or(0.0);
    buckets.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let samples = buckets.first().and_then(|first| first["values"].as_array()).map_or(0, Vec::len);
    if samples < 2 {
        return Ok(None);
    }
    let at = |index: usize| -> Result<Vec<i64>> {
        let (mut below, mut counts) = (0, Vec::with_capacity(buckets.len()));
        for series in &buckets {
            let point = &series["values"][index];
            if point[0] != buckets[0]["values"][index][0] {
                bail!("matrix result is not time aligned");
            }
            let all = count(&point[1]);
            counts.push(all - below);
            below = all;
        }
        Ok(counts)
    };
    let mut steps = Vec::new();
    let mut before = at(0)?;
    for index in 1..samples {
        let now = at(index)?;
        let changes = now.iter().zip(&before).map(|(now, before)| (now - before).abs());
        steps.push(Step {
            changed: changes.clone().map(|change| i64::from(change != 0)).sum(),
            delta: changes.sum(),
            populated: now.iter().map(|count| i64::from(*count != 0)).sum(),
        });
        before = now;
    }
    Ok(Some(Statistics { steps, total: buckets.len() }))
}

/// A native histogram's samples; nothing where there are not two.
fn native(series: &Value) -> Option<Statistics> {
    let samples = series["histograms"].as_array().filter(|samples| samples.len() > 1)?;
    let buckets = |sample: &Value| -> BTreeMap<String, i64> {
        let all = sample[1]["buckets"].as_array().map_or(&[][..], Vec::as_slice).iter();
        all.map(|bucket| (format!("{} {} {}", bucket[0], bucket[1], bucket[2]), count(&bucket[3]))).collect()
    };
    let mut overall = BTreeSet::new();
    let mut steps = Vec::new();
    let mut before = buckets(&samples[0]);
    overall.extend(before.keys().cloned());
    for sample in &samples[1..] {
        let now = buckets(sample);
        overall.extend(now.keys().cloned());
        let names: BTreeSet<&String> = now.keys().chain(before.keys()).collect();
        let of = |map: &BTreeMap<String, i64>, name: &String| map.get(name).copied();
        // A bucket that comes or goes has changed, however many it counts.
        let changes = names.iter().filter(|name| of(&now, name) != of(&before, name));
        let delta = |name: &&&String| (of(&now, name).unwrap_or(0) - of(&before, name).unwrap_or(0)).abs();
        steps.push(Step {
            changed: i64::try_from(changes.clone().count()).unwrap_or(i64::MAX),
            delta: changes.map(|name| delta(&name)).sum(),
            populated: i64::try_from(now.len()).unwrap_or(i64::MAX),
        });
        before = now;
    }
    Some(Statistics { steps, total: overall.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn classic_buckets_are_counted_one_by_one() {
        let series =
            |le: &str, values: &str| json(&format!("{{\"metric\":{{\"le\":\"{le}\"}},\"values\":{values}}}"));
        let buckets = vec![
            series("+Inf", r#"[[1,"5"],[2,"8"],[3,"8"]]"#),
            series("1", r#"[[1,"2"],[2,"3"],[3,"3"]]"#),
            series("0.5", r#"[[1,"0"],[2,"0"],[3,"0"]]"#),
        ];
        let found = classic(buckets).expect("aligned").expect("enough");
        let wanted =
            [Step { changed: 2, delta: 3, populated: 2 }, Step { changed: 0, delta: 0, populated: 2 }];
        assert_eq!((&found.steps[..], found.total), (&wanted[..], 3));
        assert_eq!(
            found.to_string(),
            "Bucket stats (min/avg/max) - number of buckets changed: 0/1.000/2 total delta of changed buckets: 0/1.500/3 \
             number of populated buckets: 2/2.000/2. total number of buckets: 3"
        );
        let crooked = vec![series("1", r#"[[1,"2"],[2,"3"]]"#), series("2", r#"[[1,"2"],[3,"3"]]"#)];
        assert!(classic(crooked).is_err());
        assert!(classic(vec![series("1", r#"[[1,"2"]]"#)]).expect("aligned").is_none());
    }

    #[test]
    fn native_buckets_come_and_go() {
        let series = json(
            r#"{"histograms":[[1,{"buckets":[[0,"1","2","3"],[0,"2","4","1"]]}],[2,{"buckets":[[0,"1","2","5"],[0,"4","8","2"]]}]]}"#,
        );
        let found = native(&series).expect("enough");
        assert_eq!(found.steps, [Step { changed: 3, delta: 5, populated: 2 }]);
        assert_eq!(found.total, 3);
    }

    #[test]
    fn sums_become_buckets_at_the_ends_of_words() {
        for (text, wanted) in
            [("a_sum", "a_bucket"), ("a_sum{x=\"y\"}", "a_bucket{x=\"y\"}"), ("a_summary", "a_summary")]
        {
            assert_eq!(as_buckets(text), wanted);
        }
    }
}
