//! The route tree: which receivers an alert reaches, and in which group.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, MatchOp, Matcher};

/// By which labels alerts are grouped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// Each label set is a group of its own (`...`).
    All,
    /// Equal values of these labels; none of them means one group.
    Labels(BTreeSet<String>),
}

/// A route as configured; what is `None` is inherited.
#[derive(Clone, Debug, Default)]
pub struct RouteSpec {
    /// Receiver's name; the root must have one.
    pub receiver: Option<String>,
    /// How alerts are grouped.
    pub group_by: Option<GroupBy>,
    /// All must hold. The text of `match_re` values enters anchored, as `^(?:...)$`.
    pub matchers: Vec<Matcher>,
    /// Nothing is sent during these time intervals.
    pub mute_intervals: Vec<String>,
    /// Things are sent during these time intervals only, if there are any.
    pub active_intervals: Vec<String>,
    /// Later siblings are tried even though this one matched.
    pub proceed: bool,
    /// How long the first notification of a group waits for more.
    pub group_wait: Option<Duration>,
    /// How long a group waits between notifications of changes.
    pub group_interval: Option<Duration>,
    /// How long a group waits before it says the same again.
    pub repeat_interval: Option<Duration>,
    /// Labels of the route, handed to receivers.
    pub labels: BTreeMap<String, String>,
    /// Its children.
    pub routes: Vec<RouteSpec>,
}

/// A route with everything inherited.
#[derive(Clone, Debug)]
pub struct Route {
    /// Receiver's name.
    pub receiver: Arc<str>,
    /// How alerts are grouped.
    pub group_by: GroupBy,
    /// Nothing is sent during these time intervals.
    pub mute_intervals: Vec<String>,
    /// Things are sent during these time intervals only, if there are any.
    pub active_intervals: Vec<String>,
    /// How long the first notification of a group waits for more.
    pub group_wait: Duration,
    /// How long a group waits between notifications of changes.
    pub group_interval: Duration,
    /// How long a group waits before it says the same again.
    pub repeat_interval: Duration,
    /// Labels of the route.
    pub labels: BTreeMap<String, String>,
    key: String,
    matchers: Vec<Matcher>,
    proceed: bool,
    children: Vec<usize>,
}

/// The whole tree; a route's index in it is stable for one configuration.
#[derive(Clone, Debug)]
pub struct RouteTree(Vec<Route>);

impl RouteTree {
    /// The tree below `root`. Alertmanager's defaults hold where the root says nothing.
    #[must_use]
    pub fn new(root: &RouteSpec) -> Self {
        let defaults = Route {
            receiver: Arc::from(""),
            group_by: GroupBy::Labels(BTreeSet::new()),
            mute_intervals: Vec::new(),
            active_intervals: Vec::new(),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_mins(5),
            repeat_interval: Duration::from_hours(4),
            labels: BTreeMap::new(),
            key: String::new(),
            matchers: Vec::new(),
            proceed: false,
            children: Vec::new(),
        };
        let mut tree = Self(Vec::new());
        tree.add(root, &defaults);
        tree
    }

    fn add(&mut self, spec: &RouteSpec, parent: &Route) -> usize {
        let mut key = parent.key.clone();
        if !self.0.is_empty() {
            key.push('/');
        }
        key.push_str(&matchers_key(&spec.matchers));
        let mut labels = parent.labels.clone();
        labels.extend(spec.labels.clone());
        let route = Route {
            receiver: spec.receiver.as_deref().map_or_else(|| Arc::clone(&parent.receiver), Arc::from),
            group_by: spec.group_by.clone().unwrap_or_else(|| parent.group_by.clone()),
            mute_intervals: spec.mute_intervals.clone(),
            active_intervals: spec.active_intervals.clone(),
            group_wait: spec.group_wait.unwrap_or(parent.group_wait),
            group_interval: spec.group_interval.unwrap_or(parent.group_interval),
            repeat_interval: spec.repeat_interval.unwrap_or(parent.repeat_interval),
            labels,
            key,
            matchers: spec.matchers.clone(),
            proceed: spec.proceed,
            children: Vec::new(),
        };
        let at = self.0.len();
        self.0.push(route.clone());
        let children = spec.routes.iter().map(|child| self.add(child, &route)).collect();
        self.0[at].children = children;
        at
    }

    /// The route of that index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Route> {
        self.0.get(index)
    }

    /// Every route, the root first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Route> {
        self.0.iter()
    }

    /// Indices of the routes that `labels` reach, in order.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> Vec<usize> {
        let mut reached = Vec::new();
        self.descend(0, labels, &mut reached);
        reached
    }

    fn descend(&self, at: usize, labels: &Labels, reached: &mut Vec<usize>) -> bool {
        let route = &self.0[at];
        if !route.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
            return false;
        }
        let before = reached.len();
        for &child in &route.children {
            if self.descend(child, labels, reached) && !self.0[child].proceed {
                break;
            }
        }
        if reached.len() == before {
            reached.push(at);
        }
        true
    }
}

impl Route {
    /// The labels that name an alert's group here.
    #[must_use]
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.filtered(|name| names.contains(name)),
        }
    }

    /// The group's key, byte for byte as Alertmanager writes it.
    #[must_use]
    pub fn group_key(&self, group_labels: &Labels) -> String {
        let mut key = format!("{}:{{", self.key);
        for (at, (name, value)) in group_labels.pairs().enumerate() {
            if at > 0 {
                key.push_str(", ");
            }
            key.push_str(name);
            key.push('=');
            quote(&mut key, value);
        }
        key.push('}');
        key
    }
}

/// Matchers in order of name, value and kind, as a route's own part of its key.
#[must_use]
pub fn matchers_key(matchers: &[Matcher]) -> String {
    let mut sorted: Vec<_> = matchers.iter().collect();
    sorted.sort_by_key(|matcher| (matcher.name().to_owned(), matcher.value().to_owned(), matcher.op() as u8));
    let texts: Vec<_> = sorted.into_iter().map(matcher_text).collect();
    format!("{{{}}}", texts.join(","))
}

/// A matcher as Alertmanager prints it.
pub(crate) fn matcher_text(matcher: &Matcher) -> String {
    written_matcher(matcher.name(), matcher.op(), matcher.value())
}

/// The same for one that need not compile.
#[must_use]
pub fn written_matcher(name: &str, op: MatchOp, value: &str) -> String {
    let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
    if name.contains(reserved) {
        return format!("{}{op}{}", quoted(name), quoted(value));
    }
    let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    format!("{name}{op}\"{value}\"")
}

/// `text` in double quotes, escaped as Go escapes strings.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote(&mut out, text);
    out
}

/// Appends `text` in double quotes, escaped as Go escapes strings.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        let named = match c {
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{b}' => 'v',
            '\\' | '"' => c,
            _ => '\0',
        };
        let code = u32::from(c);
        if named != '\0' {
            out.push('\\');
            out.push(named);
        } else if code < 0x20 || code == 0x7f {
            let _ = write!(out, "\\x{code:02x}");
        } else if is_printable(c) {
            out.push(c);
        } else if code < 0x1_0000 {
            let _ = write!(out, "\\u{code:04x}");
        } else {
            let _ = write!(out, "\\U{code:08x}");
        }
    }
    out.push('"');
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space. Behind another character, Rust
/// escapes exactly what is none of these.
fn is_printable(c: char) -> bool {
    c.is_ascii_graphic()
        || c == ' '
        || (!c.is_ascii()
            && !['a', c].iter().collect::<String>().escape_debug().any(|escaped| escaped == '{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(receiver: &str, matchers: &[(&str, MatchOp, &str)], routes: Vec<RouteSpec>) -> RouteSpec {
        RouteSpec {
            receiver: Some(receiver.to_owned()),
            matchers: matchers
                .iter()
                .map(|(name, op, value)| Matcher::new(*name, *op, *value).expect("valid"))
                .collect(),
            routes,
            ..RouteSpec::default()
        }
    }

    #[test]
    fn alerts_reach_the_deepest_route_and_go_on_where_told() {
        use MatchOp::Equal;
        let mut go_on =
            spec("db", &[("team", Equal, "db")], vec![spec("page", &[("severity", Equal, "page")], vec![])]);
        go_on.proceed = true;
        let tree = RouteTree::new(&spec(
            "default",
            &[],
            vec![go_on, spec("second", &[("team", Equal, "db")], vec![])],
        ));
        for (labels, want) in [
            (vec![("team", "web")], vec!["default"]),
            (vec![("team", "db")], vec!["db", "second"]),
            (vec![("team", "db"), ("severity", "page")], vec!["page", "second"]),
        ] {
            let reached = tree.matches(&Labels::from_pairs(labels.clone()));
            let names: Vec<_> = reached.iter().map(|at| &*tree.get(*at).expect("there").receiver).collect();
            assert_eq!(names, want, "{labels:?}");
        }
    }

    #[test]
    fn group_keys_are_byte_for_byte_alertmanagers() {
        use MatchOp::{Equal, Regex};
        let child = spec("x", &[("owner", Regex, "^(?:team-(B|C))$")], vec![]);
        let two = spec("x", &[("b", Equal, "q\"\\\n"), ("a x", Equal, "v"), ("a", Equal, "1")], vec![]);
        let mut root = spec("default", &[], vec![child, two]);
        root.group_by = Some(GroupBy::Labels(["alertname", "job", "absent"].map(str::to_owned).into()));
        let tree = RouteTree::new(&root);
        let labels = Labels::from_pairs([("alertname", "A"), ("job", "b\u{7}\u{a0}\"é"), ("other", "z")]);
        let keys: Vec<_> = tree.iter().map(|route| route.group_key(&route.group_labels(&labels))).collect();
        let group = r#":{alertname="A", job="b\a\u00a0\"é"}"#;
        assert_eq!(keys[0], format!("{{}}{group}"));
        assert_eq!(keys[1], format!("{{}}/{{owner=~\"^(?:team-(B|C))$\"}}{group}"));
        assert_eq!(keys[2], format!(r#"{{}}/{{a="1","a x"="v",b="q\"\\\n"}}{group}"#));
    }

    #[test]
    fn children_inherit_and_all_labels_make_groups_of_one() {
        let mut root = spec("default", &[], vec![RouteSpec::default()]);
        root.group_by = Some(GroupBy::All);
        root.repeat_interval = Some(Duration::from_secs(7));
        let tree = RouteTree::new(&root);
        let child = tree.get(1).expect("a child");
        let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
        assert_eq!(child.group_labels(&labels), labels);
        assert_eq!((&*child.receiver, child.repeat_interval), ("default", Duration::from_secs(7)));
    }
}
