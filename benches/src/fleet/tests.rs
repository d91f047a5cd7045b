//! What a fleet promises: the same bytes for everybody, values that add up, and as much change as its profile says.

use std::collections::BTreeMap;
use std::io::Read as _;

use clap::ValueEnum as _;
use exposition::{Entry, Format, Parser};

use super::{Churn, Fleet, Kind, Plan, Profile};

const T0: i64 = 1_699_999_200_000;

pub(super) fn plan(hosts: usize) -> Plan {
    Plan {
        seed: 7,
        hosts,
        kinds: Kind::value_variants().to_vec(),
        profile: Profile::Quiet,
        churn: Churn::value_variants().to_vec(),
        interval_ms: 15_000,
        origin_ms: T0,
    }
}

/// A page's values by series.
fn read(fleet: &Fleet, host: usize, slot: u64) -> Option<BTreeMap<String, f64>> {
    let page = fleet.page(host, slot)?;
    let mut values = BTreeMap::new();
    for entry in Parser::new(page.body(), Format::Text) {
        if let Entry::Series(line) = entry.unwrap() {
            line.labels().unwrap();
            assert_eq!(exposition::format_go_float(line.value), line.value_text, "{}", line.text);
            assert!(values.insert(line.text.to_owned(), line.value).is_none(), "{} stands twice", line.text);
        }
    }
    assert_eq!(values.len(), page.series());
    Some(values)
}

fn sum(values: &BTreeMap<String, f64>, holds: &[&str]) -> f64 {
    values
        .iter()
        .filter(|(name, _)| holds.iter().all(|part| name.contains(part)))
        .map(|(_, value)| value)
        .sum()
}

#[test]
fn the_same_bytes_in_any_order() {
    let (one, other) = (Fleet::new(plan(5)), Fleet::new(plan(5)));
    let slots = [700, 3, 4, 4, 250, 0, 251];
    let bytes = |fleet: &Fleet, host, slot| fleet.page(host, slot).map(|page| page.body().clone());
    for host in 0..5 {
        let first: Vec<_> = slots.iter().map(|slot| bytes(&one, host, *slot)).collect();
        let mut in_order: Vec<_> = slots.iter().enumerate().collect();
        in_order.sort_by_key(|(_, slot)| **slot);
        for (at, slot) in in_order {
            assert_eq!(bytes(&other, host, *slot), first[at], "host {host}, slot {slot}");
        }
    }
    let another = Fleet::new(Plan { seed: 8, ..plan(5) });
    assert_ne!(bytes(&another, 0, 3), bytes(&one, 0, 3));
    assert!(one.page(5, 0).is_none());
}

#[test]
fn every_page_is_read_and_has_its_size() {
    let fleet = Fleet::new(plan(6));
    for (host, kind) in Kind::value_variants().iter().enumerate() {
        for slot in (0..400).step_by(40) {
            let Some(values) = read(&fleet, host, slot) else { continue };
            let expected = match kind {
                Kind::NodeSmall => 570..800,
                Kind::NodeLarge => 1_200..1_430,
                Kind::NodeInterrupts => 640..880,
                Kind::Web => 400..550,
                Kind::Kubelet => 250..450,
                Kind::Blackbox => 15..30,
            };
            assert!(expected.contains(&values.len()), "{kind:?}: {} series", values.len());
        }
    }
}

#[test]
fn compressed_is_the_same_page() {
    let page = Fleet::new(plan(1)).page(0, 9).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(page.gzip().as_ref()).read_to_end(&mut plain).unwrap();
    assert_eq!(&plain, page.body());
    assert!(page.gzip().len() * 4 < plain.len());
}

#[test]
fn processors_spend_all_of_their_time() {
    for profile in Profile::value_variants() {
        let fleet = Fleet::new(Plan { profile: *profile, churn: Vec::new(), ..plan(1) });
        let spent = |slot, cpu: usize| {
            let cpu = format!("cpu=\"{cpu}\"");
            sum(&read(&fleet, 0, slot).unwrap(), &["node_cpu_seconds_total{", &cpu])
        };
        for cpu in 0..4 {
            let between = spent(100, cpu) - spent(60, cpu);
            assert!((between - 40.0 * 15.0).abs() < 1e-6, "{profile:?}: {between} s in 600 s");
        }
    }
}

#[test]
fn memory_adds_up() {
    let fleet = Fleet::new(Plan { profile: Profile::Noisy, ..plan(2) });
    for (host, slot) in (0..2).flat_map(|host| (0..300).step_by(7).map(move |slot| (host, slot))) {
        let Some(values) = read(&fleet, host, slot) else { continue };
        let of = |name: &str| values[&format!("node_memory_{name}_bytes")];
        assert_eq!(of("Active"), of("Active_anon") + of("Active_file"));
        assert_eq!(of("Inactive"), of("Inactive_anon") + of("Inactive_file"));
        assert_eq!(of("Slab"), of("SReclaimable") + of("SUnreclaim"));
        assert_eq!(of("Active") + of("Inactive"), of("AnonPages") + of("Cached") + of("Buffers"));
        let held = ["AnonPages", "Cached", "Buffers", "Slab", "KernelStack", "PageTables"].map(of);
        let rest = of("MemTotal") - of("MemFree") - held.iter().sum::<f64>();
        assert!((rest / of("MemTotal") - 0.02).abs() < 1e-6, "{rest}");
        for (name, bytes) in
            values.iter().filter(|(name, _)| name.starts_with("node_memory_") && name.ends_with("_bytes"))
        {
            assert!(*bytes >= 0.0 && bytes % 4_096.0 == 0.0, "{name} {bytes}");
        }
    }
}

#[test]
fn histograms_are_cumulative_and_count_every_request() {
    let fleet = Fleet::new(Plan { kinds: vec![Kind::Web], profile: Profile::Busy, ..plan(1) });
    for slot in (0..400).step_by(13) {
        let Some(page) = fleet.page(0, slot) else { continue };
        let (mut last, mut below) = (String::new(), 0.0);
        let values = read(&fleet, 0, slot).unwrap();
        for line in std::str::from_utf8(page.body()).unwrap().lines() {
            let Some(rest) = line.strip_prefix("http_request_duration_seconds_bucket{") else { continue };
            let (by, value) = rest.split_once(",le=").unwrap();
            let (bound, value) = value.split_once("} ").unwrap();
            let value: f64 = value.parse().unwrap();
            assert!(by != last || value >= below, "slot {slot}: {line}");
            (last, below) = (by.to_owned(), value);
            if bound == "\"+Inf\"" {
                assert_eq!(value, values[&format!("http_request_duration_seconds_count{{{by}}}")]);
            }
        }
    }
}

#[test]
fn as_much_changes_as_the_profile_says() {
    for (profile, kind) in
        Profile::value_variants().iter().flat_map(|p| [(p, Kind::NodeSmall), (p, Kind::NodeLarge)])
    {
        let fleet = Fleet::new(Plan { kinds: vec![kind], profile: *profile, churn: Vec::new(), ..plan(1) });
        let (mut changed, mut all) = (0, 0);
        let mut last = read(&fleet, 0, 0).unwrap();
        let first = last.clone();
        for slot in 1..100 {
            let next = read(&fleet, 0, slot).unwrap();
            changed += next.iter().filter(|(name, value)| last[*name] != **value).count();
            all += next.len();
            last = next;
        }
        let (share, aim) = (changed as f64 / all as f64, profile.share());
        assert!((share - aim).abs() < 0.04, "{profile:?} {kind:?}: {share:.3}, not {aim}");
        if *profile == Profile::Quiet {
            let constant = last.iter().filter(|(name, value)| first[*name] == **value).count();
            let share = constant as f64 / last.len() as f64;
            assert!((0.5..0.7).contains(&share), "{kind:?}: {share:.3} never changed");
        }
    }
}

#[test]
fn counters_fall_only_when_a_host_boots() {
    let churn = vec![Churn::Reboot, Churn::Series];
    let fleet = Fleet::new(Plan { churn, interval_ms: 60_000, ..plan(1) });
    let (mut last, mut boots, mut silent) = (read(&fleet, 0, 0).unwrap(), 0, 0);
    for slot in 1..2_000 {
        let Some(next) = read(&fleet, 0, slot) else {
            silent += 1;
            continue;
        };
        let fell = |name: &str| last.get(name).zip(next.get(name)).is_some_and(|(old, new)| new < old);
        let any = next.keys().any(|name| name.split('{').next().unwrap().ends_with("_total") && fell(name));
        let booted = last["node_boot_time_seconds"] != next["node_boot_time_seconds"];
        assert!(!any || booted, "slot {slot}: a counter fell");
        boots += i32::from(booted);
        last = next;
    }
    assert!(boots > 0 && silent == boots, "{boots} boots, {silent} scrapes unanswered");
}

#[test]
fn series_come_and_go() {
    let fleet = Fleet::new(Plan { churn: vec![Churn::Series], ..plan(4) });
    for host in 0..4 {
        let series = |slot| fleet.page(host, slot).unwrap().series();
        let moved: usize = (1..1_500).map(|slot| series(slot - 1).abs_diff(series(slot))).sum();
        let each = moved as f64 / 1_500.0;
        assert!((0.1..0.6).contains(&each), "host {host}: {each} series a scrape");
    }
}

#[test]
fn one_in_a_hundred_targets_is_labelled_anew_every_ten_minutes() {
    let plan = plan(2_000);
    let changed = (0..2_000).filter(|host| plan.rollout(*host, 40) != plan.rollout(*host, 39)).count();
    assert!((8..40).contains(&changed), "{changed} of 2,000");
    assert!((0..2_000).all(|host| plan.rollout(host, 39) == plan.rollout(host, 1)));
}

#[test]
fn a_deploy_reaches_a_fifth() {
    let fleet = Fleet::new(Plan { churn: vec![Churn::Deploy], kinds: vec![Kind::Web], ..plan(200) });
    let version = |host, slot| {
        read(&fleet, host, slot).unwrap().into_keys().find(|name| name.contains("app_build_info"))
    };
    let deployed = (0..200).filter(|host| version(*host, 239) != version(*host, 250)).count();
    assert!((20..60).contains(&deployed), "{deployed} of 200");
}

#[test]
fn a_target_is_down_for_five_minutes() {
    let fleet = Fleet::new(Plan { churn: vec![Churn::Down], kinds: vec![Kind::Blackbox], ..plan(1) });
    let up: Vec<bool> = (0..4_000).map(|slot| fleet.page(0, slot).is_some()).collect();
    let spans: Vec<usize> = up.chunk_by(PartialEq::eq).filter(|span| !span[0]).map(<[bool]>::len).collect();
    assert!(!spans.is_empty() && spans[..spans.len() - 1].iter().all(|span| *span == 20), "{spans:?}");
}
