//! Routes and inhibition rules as the file writes them become checked ones.

use std::collections::BTreeMap;

use model::{MatchOp, Matcher};
use yaml::{Checker, Node, Position, View};

use crate::matcher::{MatcherMode, parse_matchers_in};
use crate::route::{GroupBy, RouteSpec};
use crate::settings::InhibitRule;

/// A name that a route uses, and where.
pub(super) type Use = (String, Position);

/// What routes refer to.
#[derive(Default)]
pub(super) struct Uses {
    pub(super) receivers: Vec<Use>,
    pub(super) intervals: Vec<Use>,
}

/// Reads the tree below `view`, noting what it refers to in `uses`.
pub(super) fn read(view: View<'_>, mode: MatcherMode, uses: &mut Uses, check: &mut Checker) -> RouteSpec {
    let receiver = view.text("receiver").filter(|name| !name.is_empty()).map(str::to_owned);
    if let Some(name) = &receiver {
        uses.receivers.push((name.clone(), view.value_at("receiver")));
    }
    for key in ["mute_time_intervals", "active_time_intervals"] {
        let nodes = view.items(key).iter();
        uses.intervals.extend(nodes.map(|node| (node.text().unwrap_or_default().to_owned(), node.at)));
    }
    let group_by = view.has("group_by").then(|| group_by(view, mode, check));
    RouteSpec {
        receiver,
        group_by,
        matchers: all_matchers(view, ["match", "match_re", "matchers"], mode, check),
        mute_intervals: view.texts("mute_time_intervals"),
        active_intervals: view.texts("active_time_intervals"),
        proceed: view.flag("continue").unwrap_or(false),
        group_wait: view.duration("group_wait"),
        group_interval: view.duration("group_interval"),
        repeat_interval: view.duration("repeat_interval"),
        labels: view.pairs("labels").into_iter().collect::<BTreeMap<_, _>>(),
        routes: view.list("routes").map(|child| read(child, mode, uses, check)).collect(),
    }
}

/// What only routes below the root may have.
pub(super) fn check_root(view: View<'_>, check: &mut Checker) {
    if !view.filled("receiver") {
        check.error(view.value_at("receiver"), "root route must specify a default receiver");
    }
    let wrong = [
        (&["match", "match_re", "matchers"][..], "root route must not have any matchers"),
        (&["mute_time_intervals"][..], "root route must not have any mute time intervals"),
        (&["active_time_intervals"][..], "root route must not have any active time intervals"),
    ];
    for (keys, message) in wrong {
        let filled = |key: &&&str| {
            view.get(key).is_some_and(|node| !node.items().is_empty() || !node.entries().is_empty())
        };
        if let Some(key) = keys.iter().find(filled) {
            check.error(view.key_at(key), message);
        }
    }
    if view.flag("continue") == Some(true) {
        check.error(view.key_at("continue"), "cannot have continue in root route");
    }
}

fn group_by(view: View<'_>, mode: MatcherMode, check: &mut Checker) -> GroupBy {
    let names = view.texts("group_by");
    if names.iter().any(|name| name == "...") {
        return GroupBy::All;
    }
    if mode == MatcherMode::Classic {
        for node in view.items("group_by") {
            let name = node.text().unwrap_or_default();
            if !model::is_valid_legacy_label_name(name) {
                check.error(node.at, format!("invalid label name {name:?} in group_by list"));
            }
        }
    }
    GroupBy::Labels(names.into_iter().collect())
}

/// The matchers of the three keys: a map of values, a map of expressions, a list of matchers.
fn all_matchers(view: View<'_>, keys: [&str; 3], mode: MatcherMode, check: &mut Checker) -> Vec<Matcher> {
    let [equal, regex, matchers] = keys;
    let mut found: Vec<Matcher> =
        view.pairs(equal).into_iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    for entry in view.get(regex).map_or(&[][..], Node::entries) {
        // The anchors are part of the value: group keys show them.
        let value = format!("^(?:{})$", entry.value.text().unwrap_or_default());
        match Matcher::new(entry.key.as_str(), MatchOp::Regex, value) {
            Ok(matcher) => found.push(matcher),
            Err(error) => check.error(entry.value.at, error.to_string()),
        }
    }
    for node in view.items(matchers) {
        match parse_matchers_in(mode, node.text().unwrap_or_default()) {
            Ok(parsed) => found.extend(parsed),
            Err(error) => check.error(node.at, format!("{error}; expected matchers like severity=\"page\"")),
        }
    }
    found
}

/// Reads the inhibition rules.
pub(super) fn inhibit_rules(view: View<'_>, mode: MatcherMode, check: &mut Checker) -> Vec<InhibitRule> {
    view.list("inhibit_rules")
        .map(|rule| InhibitRule {
            source: all_matchers(rule, ["source_match", "source_match_re", "source_matchers"], mode, check),
            target: all_matchers(rule, ["target_match", "target_match_re", "target_matchers"], mode, check),
            equal: rule.texts("equal"),
        })
        .collect()
}
