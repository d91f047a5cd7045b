//! A replica: frames of an agent in.

use divan::Bencher;
use divan::counter::ItemsCount;
use storage::{Frame, FrameSink, FrameSource, Receipt};
use tempfile::TempDir;
use vedette_benches::{Bench, SERIES};

/// Frames that one measure takes, of one row each.
const FRAMES: usize = 240;

fn main() {
    divan::main();
}

/// Frames until the replica's log has them.
#[divan::bench(sample_count = 20)]
fn receive_an_hour(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::new();
    for _ in 0..FRAMES {
        bench.append();
        bench.store.flush().expect("the log is written");
    }
    let info = bench.store.own_stream();
    let frames = bench.store.frames(&info.id, 1, usize::MAX).expect("the log is read");
    let prepare = || {
        let dir = TempDir::new().expect("a temporary folder");
        let replica = bench.twin(dir.path());
        replica.open_stream(info.clone()).expect("the stream is taken");
        for id in frames.iter().flat_map(Frame::layouts) {
            let layout = bench.store.find_layout(*id).expect("a layout of its own");
            replica.add_layout((*layout).clone()).expect("the layout is taken");
        }
        (dir, replica, frames.clone())
    };
    bencher.counter(ItemsCount::new(FRAMES * SERIES)).with_inputs(prepare).bench_local_values(
        |(dir, replica, frames)| {
            for frame in frames {
                let receipt = FrameSink::append(&*replica, frame).expect("the frame is taken");
                assert!(matches!(receipt, Receipt::Appended(_)), "{receipt:?}");
            }
            replica.flush().expect("the log is written");
            (replica, dir)
        },
    );
}
