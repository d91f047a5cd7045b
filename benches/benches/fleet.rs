//! What the generator costs: moving a host by a slot and writing its page; a page that has been written; gzip.

use divan::Bencher;
use divan::counter::ItemsCount;
use vedette_benches::fleet::{Churn, Fleet, Kind, Plan, Profile};

fn main() {
    divan::main();
}

fn fleet(kind: Kind, profile: Profile) -> Fleet {
    let churn = vec![Churn::Labels, Churn::Series];
    let origin_ms = vedette_benches::T0;
    Fleet::new(Plan { seed: 1, hosts: 1, kinds: vec![kind], profile, churn, interval_ms: 15_000, origin_ms })
}

#[divan::bench(args = [Profile::Quiet, Profile::Busy, Profile::Noisy])]
fn next_page_of_600(bencher: Bencher<'_, '_>, profile: Profile) {
    let fleet = fleet(Kind::NodeSmall, profile);
    let mut slot = 0;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        slot += 1;
        fleet.page(0, slot)
    });
}

#[divan::bench]
fn next_values_of_600(bencher: Bencher<'_, '_>) {
    let fleet = fleet(Kind::NodeSmall, Profile::Quiet);
    let (mut slot, mut values) = (0, Vec::new());
    bencher.bench_local(|| {
        slot += 1;
        fleet.values(0, slot, &mut values)
    });
}

#[divan::bench]
fn the_same_page_again(bencher: Bencher<'_, '_>) {
    let fleet = fleet(Kind::NodeSmall, Profile::Quiet);
    bencher.bench_local(|| fleet.page(0, 1));
}

#[divan::bench]
fn compressed(bencher: Bencher<'_, '_>) {
    let fleet = fleet(Kind::NodeSmall, Profile::Quiet);
    let mut slot = 0;
    bencher
        .with_inputs(|| {
            slot += 1;
            fleet.page(0, slot).expect("it is up")
        })
        .bench_local_values(|page| page.gzip().len());
}
