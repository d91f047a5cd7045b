//! `for` across a restart: alerts get back the time that they had been active, from `ALERTS_FOR_STATE`.

use std::collections::HashMap;

use model::{Labels, METRIC_NAME, MatchOp, Matcher, Sample, is_stale};
use storage::{Querier, QueryError, Select, TimeRange};

use crate::alert::{ALERT_NAME, ALERTS_FOR_STATE, ActiveAlert};
use crate::alerting::{AlertingState, millis};
use crate::config::AlertingRule;

/// Samples that a restore may read for one rule.
const SAMPLES_MAX: usize = 5_000_000;

/// How far a restore may bridge. In milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestoreOptions {
    pub(crate) outage_tolerance_ms: i64,
    pub(crate) for_grace_period_ms: i64,
}

/// The last sample of each `ALERTS_FOR_STATE` series of the rule, by the alert's labels.
pub(crate) async fn last_states(
    querier: &dyn Querier,
    rule: &AlertingRule,
    at_ms: i64,
    options: RestoreOptions,
) -> Result<HashMap<Labels, Sample>, QueryError> {
    let matcher = |name: &str, value: &str| {
        Matcher::new(name, MatchOp::Equal, value).map_err(|error| QueryError::Unavailable(error.to_string()))
    };
    let select = Select {
        matchers: vec![matcher(METRIC_NAME, ALERTS_FOR_STATE)?, matcher(ALERT_NAME, &rule.alert)?],
        range: TimeRange { start: at_ms.saturating_sub(options.outage_tolerance_ms), end: at_ms },
        samples_max: SAMPLES_MAX,
    };
    let set = querier.select(select).await?;
    let last = |series: model::Series| {
        let sample = series.samples.last().copied().filter(|sample| !is_stale(sample.value))?;
        Some((series.labels.without_name(), sample))
    };
    Ok(set.series.into_iter().filter_map(last).collect())
}

/// Gives the rule's alerts their earlier time.
pub(crate) fn restore(
    state: &mut AlertingState,
    rule: &AlertingRule,
    states: &HashMap<Labels, Sample>,
    at_ms: i64,
    options: RestoreOptions,
) {
    for alert in state.active.values_mut() {
        if let Some(sample) = states.get(&alert.labels) {
            restore_one(alert, rule, *sample, at_ms, options.for_grace_period_ms);
        }
    }
}

fn restore_one(alert: &mut ActiveAlert, rule: &AlertingRule, sample: Sample, at_ms: i64, grace_ms: i64) {
    let hold = millis(rule.hold_for);
    #[allow(clippy::cast_possible_truncation, reason = "saturates, and nonsense is left out below")]
    let was_active_at = (sample.value as i64).saturating_mul(1000);
    let down_at = sample.timestamp;
    if !sample.value.is_finite() || was_active_at > down_at {
        return;
    }
    let remaining = hold - (down_at - was_active_at);
    alert.active_at_ms = if remaining <= 0 {
        // It was firing: the next evaluation that gives it fires again.
        was_active_at
    } else if hold < grace_ms {
        // Waiting out a short `for` anew costs less than the grace period would.
        return;
    } else if remaining < grace_ms {
        at_ms + grace_ms - hold
    } else {
        // The outage does not count as time that it was active.
        was_active_at + (at_ms - down_at)
    };
}
