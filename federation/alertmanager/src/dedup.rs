//! Whether a group has news for a receiver, and what to do about it: pure functions.

use crate::command::{Content, LeaderId, Reason};
use crate::state::{Inflight, LogEntry};

/// Whether something must be said, and why; Alertmanager's rules.
///
/// An entry without a time counts as none for first sends and repeats. Of what may have been told, only
/// what asks for another notification counts: that all is over is said even to those who perhaps never heard
/// of it, and that something fires to those who perhaps heard that it is over.
pub(crate) fn needs_update(
    entry: Option<&LogEntry>,
    content: &Content,
    send_resolved: bool,
    now_ms: i64,
    repeat_ms: i64,
) -> Option<Reason> {
    let told_firing = entry.is_some_and(|it| !it.content.firing.is_empty() || !it.maybe_firing.is_empty());
    if content.firing.is_empty() {
        return told_firing.then_some(Reason::AllResolved);
    }
    let Some((entry, told_at)) = entry.and_then(|it| Some((it, it.told_at?))) else {
        return Some(Reason::First);
    };
    // What may have been taken back since counts as not told.
    let still_told = |it: &u64| contains(&entry.content.firing, *it) && !contains(&entry.maybe_resolved, *it);
    if !content.firing.iter().all(still_told) {
        let first = entry.content.firing.is_empty();
        return Some(if first { Reason::First } else { Reason::NewAlerts });
    }
    if send_resolved && !content.resolved.iter().all(|it| contains(&entry.content.resolved, *it)) {
        return Some(Reason::SomeResolved);
    }
    (told_at < now_ms.saturating_sub(repeat_ms)).then_some(Reason::Repeat)
}

/// What to do for one key now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// There is no news.
    Nothing,
    /// Another leader may still be sending: look again later.
    Wait,
    /// Announce and send.
    Send { seq: u64, reason: Reason },
    /// Only note that this counts as told.
    Record { seq: u64 },
    /// Give up what another leader announced, outcome unknown, then go on with the plan inside.
    GiveUp { seq: u64, then: Box<Plan> },
}

/// What is known of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) entry: Option<&'a LogEntry>,
    pub(crate) inflight: Option<&'a Inflight>,
}

/// How one integration wants to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    pub(crate) send_resolved: bool,
    pub(crate) repeat_ms: i64,
}

/// Decides for one key. `me` leads; `waited_out` says that an earlier leader can no longer be sending.
pub(crate) fn plan(
    known: Known<'_>,
    content: &Content,
    wishes: Wishes,
    now_ms: i64,
    me: LeaderId,
    waited_out: bool,
) -> Plan {
    let fresh = |entry: Option<&LogEntry>| {
        let seq = entry.map_or(0, |it| it.seq) + 1;
        match needs_update(entry, content, wishes.send_resolved, now_ms, wishes.repeat_ms) {
            None => Plan::Nothing,
            Some(_) if content.firing.is_empty() && !wishes.send_resolved => Plan::Record { seq },
            Some(reason) => Plan::Send { seq, reason },
        }
    };
    let Some(intent) = known.inflight else { return fresh(known.entry) };
    if intent.leader != me && !waited_out {
        return Plan::Wait;
    }
    if intent.content == *content {
        return Plan::Send { seq: intent.seq, reason: intent.reason };
    }
    let mut after = known.entry.cloned().unwrap_or_default();
    after.seq = after.seq.max(intent.seq);
    after.perhaps_told(&intent.content);
    Plan::GiveUp { seq: intent.seq, then: Box::new(fresh(Some(&after))) }
}

/// Whether a sorted set has an element.
fn contains(set: &[u64], it: u64) -> bool {
    set.binary_search(&it).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(firing: &[u64], resolved: &[u64]) -> Content {
        Content { firing: firing.to_vec(), resolved: resolved.to_vec() }
    }

    fn entry(told_at: Option<i64>, firing: &[u64], resolved: &[u64], maybe: &[u64]) -> LogEntry {
        LogEntry {
            seq: 4,
            told_at,
            content: content(firing, resolved),
            maybe_firing: maybe.to_vec(),
            ..LogEntry::default()
        }
    }

    #[test]
    fn updates_are_needed_as_in_alertmanager() {
        use Reason::{AllResolved, First, NewAlerts, Repeat, SomeResolved};
        let told = |firing: &[u64], resolved: &[u64]| Some(entry(Some(1_000), firing, resolved, &[]));
        let maybe = |maybe: &[u64]| Some(entry(None, &[], &[], maybe));
        let taken_back = Some(LogEntry { maybe_resolved: vec![2], ..entry(Some(1_000), &[1, 2], &[], &[]) });
        // entry, firing, resolved, send_resolved, now, expected; the repeat interval is 100
        let cases = [
            ("nothing told, something fires", None, vec![1], vec![], true, 1_000, Some(First)),
            ("nothing told, only resolved", None, vec![], vec![1], true, 1_000, None),
            ("all told", told(&[1], &[]), vec![1], vec![], true, 1_000, None),
            ("exactly the repeat interval", told(&[1], &[]), vec![1], vec![], true, 1_100, None),
            ("past the repeat interval", told(&[1], &[]), vec![1], vec![], true, 1_101, Some(Repeat)),
            ("another fires", told(&[1], &[]), vec![1, 2], vec![], true, 1_000, Some(NewAlerts)),
            ("fires again", told(&[], &[1]), vec![1], vec![], true, 1_000, Some(First)),
            ("all over", told(&[1], &[]), vec![], vec![1], true, 1_000, Some(AllResolved)),
            (
                "all over, resolved not wanted",
                told(&[1], &[]),
                vec![],
                vec![1],
                false,
                1_000,
                Some(AllResolved),
            ),
            ("all over, told", told(&[], &[1]), vec![], vec![1], true, 9_000, None),
            ("one over", told(&[1, 2], &[]), vec![1], vec![2], true, 1_000, Some(SomeResolved)),
            ("one over, resolved not wanted", told(&[1, 2], &[]), vec![1], vec![2], false, 1_000, None),
            ("one over, told", told(&[1], &[2]), vec![1], vec![2], true, 1_000, None),
            ("fewer fire", told(&[1, 2], &[]), vec![1], vec![], true, 1_000, None),
            ("perhaps told, still fires", maybe(&[1]), vec![1], vec![], true, 1_000, Some(First)),
            ("perhaps told, over", maybe(&[1]), vec![], vec![1], true, 1_000, Some(AllResolved)),
            ("perhaps taken back, fires again", taken_back, vec![1, 2], vec![], true, 1_000, Some(NewAlerts)),
            ("given up for good, over", maybe(&[]), vec![], vec![1], true, 1_000, None),
        ];
        for (name, entry, firing, resolved, send_resolved, now, want) in cases {
            let got = needs_update(entry.as_ref(), &content(&firing, &resolved), send_resolved, now, 100);
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn foreign_announcements_are_waited_out_then_repeated_or_given_up() {
        let (me, other) = (LeaderId { term: 2, node: 1 }, LeaderId { term: 1, node: 2 });
        let intent = |leader, firing: &[u64]| Inflight {
            seq: 5,
            leader,
            valid_until: 0,
            reason: Reason::First,
            content: content(firing, &[]),
        };
        let wishes = Wishes { send_resolved: true, repeat_ms: 100 };
        let decide = |inflight: Option<Inflight>, now: &Content, waited| {
            let entry = entry(Some(1_000), &[], &[7], &[]);
            let known = Known { entry: Some(&entry), inflight: inflight.as_ref() };
            plan(known, now, wishes, 1_000, me, waited)
        };
        let (fires, over) = (content(&[7], &[]), content(&[], &[7]));
        let send = |seq, reason| Plan::Send { seq, reason };
        assert_eq!(decide(None, &fires, false), send(5, Reason::First));
        assert_eq!(decide(None, &over, false), Plan::Nothing);
        assert_eq!(decide(Some(intent(other, &[7])), &fires, false), Plan::Wait);
        assert_eq!(decide(Some(intent(other, &[7])), &fires, true), send(5, Reason::First));
        assert_eq!(decide(Some(intent(me, &[7])), &fires, false), send(5, Reason::First));
        let then = Box::new(send(6, Reason::AllResolved));
        assert_eq!(decide(Some(intent(other, &[7])), &over, true), Plan::GiveUp { seq: 5, then });
    }

    #[test]
    fn nothing_is_sent_to_those_who_do_not_want_resolved() {
        let entry = entry(Some(1_000), &[7], &[], &[]);
        let known = Known { entry: Some(&entry), inflight: None };
        let wishes = Wishes { send_resolved: false, repeat_ms: 100 };
        let plan = plan(known, &content(&[], &[7]), wishes, 1_000, LeaderId::default(), true);
        assert_eq!(plan, Plan::Record { seq: 5 });
    }
}
