//! The alert state machine: what holds at each minute, and what comes of it.

use std::time::Duration;

use model::{Labels, NameValidation};
use vedette_rules::{
    ActiveAlert, AlertState, AlertingRule, AlertingState, Due, Holder, Missing, NeverHold, Rendered, Rule,
    RuleParts, Sources, Step,
};

const MINUTE: i64 = 60_000;

fn rule(hold_minutes: u64, keep_minutes: u64) -> AlertingRule {
    let parts = RuleParts {
        alert: "A".to_owned(),
        expr: "up == 0".to_owned(),
        hold_for: Some(Duration::from_secs(hold_minutes * 60)),
        keep_firing_for: Some(Duration::from_secs(keep_minutes * 60)),
        ..RuleParts::default()
    };
    match Rule::new(parts, &Labels::empty(), NameValidation::Utf8).expect("a rule") {
        Rule::Alerting(rule) => rule,
        Rule::Recording(_) => panic!("an alerting rule"),
    }
}

fn element() -> Rendered {
    let labels = Labels::from_pairs([("alertname", "A"), ("instance", "a")]);
    Rendered { labels, annotations: Labels::empty(), value: 1.0 }
}

fn step(at_ms: i64, holder: &dyn Holder) -> Step<'_> {
    Step { at_ms, limit: 0, sources: Sources::from_iter(["edge"]), holder, hold_max_ms: 60 * MINUTE }
}

fn due(at_ms: i64, holder: &dyn Holder) -> Due<'_> {
    Due { at_ms, offset_ms: 0, resend_delay_ms: MINUTE, interval_ms: MINUTE / 2, url: "url", holder }
}

/// One letter a minute: `.` inactive, `p` pending, `f` firing; the alert holds where `truth` has a `1`.
fn letters(rule: &AlertingRule, truth: &str, holder: &dyn Holder) -> String {
    let mut state = AlertingState::default();
    let minutes = truth.chars().zip(0..).map(|(holds, minute)| {
        let results = if holds == '1' { vec![element()] } else { Vec::new() };
        state.step(rule, results, &step(minute * MINUTE, holder)).expect("no clash");
        match state.state() {
            AlertState::Pending => 'p',
            AlertState::Firing => 'f',
            _ => '.',
        }
    });
    minutes.collect()
}

#[test]
fn alerts_pend_fire_and_end() {
    for (hold, keep, truth, states) in [
        (0, 0, "0110", ".ff."),
        (2, 0, "011110", ".ppff."),
        (2, 0, "0110110", ".pp.pp."),
        (0, 2, "0100000", ".fff..."),
        (0, 2, "01001000", ".ffffff."),
        (2, 2, "0100000", ".p....."),
        (1, 0, "110110", "pf.pf."),
    ] {
        assert_eq!(letters(&rule(hold, keep), truth, &NeverHold), states, "for {hold}, keep {keep}, {truth}");
    }
}

/// Data is late between two minutes.
struct Late(i64, i64);

impl Holder for Late {
    fn hold(&self, missing: &Missing<'_>) -> bool {
        (self.0 * MINUTE..self.1 * MINUTE).contains(&missing.at_ms)
    }
}

#[test]
fn missing_data_is_unknown_not_resolved() {
    // Late from the third minute to the fifth: it fires on, and ends only once its data is there.
    assert_eq!(letters(&rule(0, 0), "11000000", &Late(2, 5)), "fffff...");
    // A pending alert neither fires nor ends meanwhile.
    assert_eq!(letters(&rule(2, 0), "1100000", &Late(2, 5)), "ppppp..");
    // Not for ever.
    let truth = format!("1{}", "0".repeat(70));
    assert_eq!(letters(&rule(0, 0), &truth, &Late(0, 1_000)).matches('f').count(), 61);
}

#[test]
fn alerts_are_sent_again_and_resolved_ones_for_a_while() {
    let (rule, mut state) = (rule(0, 0), AlertingState::default());
    let mut sent = Vec::new();
    for half_minute in 0..60 {
        let at = half_minute * MINUTE / 2;
        let results = if half_minute < 4 { vec![element()] } else { Vec::new() };
        state.step(&rule, results, &step(at, &NeverHold)).expect("no clash");
        for alert in state.due(&due(at, &NeverHold)) {
            sent.push((half_minute, alert.starts_at_ms, alert.ends_at_ms, alert.resolved));
        }
    }
    // At once, again when more than the delay has passed, and at once when it ends.
    assert_eq!(
        sent[..3],
        [(0, 0, 4 * MINUTE, false), (3, 0, 4 * MINUTE + 90_000, false), (4, 0, 2 * MINUTE, true)]
    );
    assert!(
        sent[3..]
            .iter()
            .all(|(_, starts, ends, resolved)| (*starts, *ends, *resolved) == (0, 2 * MINUTE, true))
    );
    let last = sent.last().expect("sent").0;
    assert!((31..=34).contains(&last), "resolved at 2 min, kept 15: last sent at half-minute {last}");
}

/// What is here is older than what somebody else judged by.
struct Behind;

impl Holder for Behind {
    fn hold(&self, _: &Missing<'_>) -> bool {
        false
    }

    fn doubt(&self, _: &ActiveAlert, _: &Due<'_>) -> bool {
        true
    }
}

#[test]
fn what_is_in_doubt_is_sent_once_it_no_longer_is() {
    let (rule, mut state) = (rule(0, 0), AlertingState::default());
    let mut sent = Vec::new();
    for minute in 0..4 {
        let holder: &dyn Holder = if minute < 2 { &Behind } else { &NeverHold };
        let results = if minute < 3 { vec![element()] } else { Vec::new() };
        state.step(&rule, results, &step(minute * MINUTE, holder)).expect("no clash");
        let said = state.due(&due(minute * MINUTE, holder)).into_iter();
        sent.extend(said.map(|alert| (minute, alert.starts_at_ms, alert.said_at_ms, alert.resolved)));
    }
    assert_eq!(sent, [(2, 0, 2 * MINUTE, false), (3, 0, 3 * MINUTE, true)]);
}

#[test]
fn clashing_or_too_many_alerts_are_an_error() {
    let (rule, mut state) = (rule(0, 0), AlertingState::default());
    let error = state.step(&rule, vec![element(), element()], &step(0, &NeverHold)).expect_err("two are one");
    assert!(error.contains("same labelset"), "{error}");
    let other = Rendered { labels: Labels::from_pairs([("alertname", "A")]), ..element() };
    let limited = Step { limit: 1, ..step(0, &NeverHold) };
    let error = state.step(&rule, vec![element(), other], &limited).expect_err("two, one allowed");
    assert_eq!((error.as_str(), state.active().count()), ("exceeded limit of 1 with 2 alerts", 0));
}
