//! Evaluation group by group against evaluation series by series: generated queries over generated data, zero
//! differences. The seed is printed where there is one; `PROPTEST_CASES` says how many queries are asked,
//! `VEDETTE_SOAK` asks 100,000.

mod data;
mod noise;
mod queries;

use std::time::Duration;

use vedette_promql::{Answer, Engine, EngineOptions, EvalError, Features, QueryOptions, Value, parse_with};

use self::data::{Data, SPAN};
use self::noise::Noise;
use self::queries::query;

/// Queries that are asked over the same data.
const QUERIES: u64 = 20;

fn cases() -> u64 {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let quick = if std::env::var_os("VEDETTE_SOAK").is_some() { 100_000 } else { 2_000 };
    told.unwrap_or(quick)
}

/// When a query is asked for.
#[derive(Clone, Copy, Debug)]
enum When {
    Instant(i64),
    Range(i64, i64, i64),
}

impl When {
    fn any(noise: &mut Noise) -> Self {
        let time = |noise: &mut Noise| noise.below(SPAN as u64 + 400_000) as i64 - 200_000;
        if noise.one_in(2) {
            return Self::Instant(time(noise));
        }
        let start = time(noise);
        let step = [1, 999, 15_000, 60_000, 300_000][noise.below(5) as usize];
        Self::Range(start, start + step * noise.below(30) as i64, step)
    }
}

/// Everything that an answer says, and how many samples were looked at; numbers by their bits, but any NaN is as good
/// as another.
fn told(answer: Result<Answer, EvalError>) -> (String, u64) {
    let Answer { value, histograms, warnings, infos, coverage, stats, .. } = match answer {
        Ok(answer) => answer,
        Err(error) => return (format!("error: {error}"), 0),
    };
    let number =
        |value: f64| if value.is_nan() { "NaN".to_owned() } else { format!("{:x}", value.to_bits()) };
    let mut out = String::new();
    match value {
        Value::Vector(samples) => {
            for sample in samples {
                out += &format!("{} {} {}\n", sample.labels, sample.timestamp, number(sample.value));
            }
        }
        Value::Matrix(series) => {
            for series in series {
                out += &format!("{}", series.labels);
                for sample in series.samples {
                    out += &format!(" {}@{}", number(sample.value), sample.timestamp);
                }
                out += "\n";
            }
        }
        Value::Scalar(sample) => out += &format!("{} {}\n", sample.timestamp, number(sample.value)),
        Value::String(time, text) => out += &format!("{time} {text}\n"),
    }
    (out + &format!("{histograms:?}\n{warnings:?}\n{infos:?}\n{coverage:?}"), stats.total_samples)
}

fn check(data: &Data, seed: u64, noise: &mut Noise) {
    let (text, when) = (query(noise), When::any(noise));
    let Ok(expr) = parse_with(&text, Features::ALL) else { panic!("{text} is no query") };
    let options = EngineOptions {
        delayed_name_removal: noise.one_in(3),
        type_and_unit_labels: noise.one_in(4),
        use_start_timestamps: noise.one_in(4),
        max_samples: if noise.one_in(6) { 300 } else { 50_000_000 },
        ..EngineOptions::default()
    };
    let lookback = Duration::from_millis([300_000, 60_000, 1][noise.below(3) as usize]);
    let ask = |series_by_series| {
        let engine = Engine::new(EngineOptions { series_by_series, ..options.clone() });
        let options = QueryOptions { lookback_delta: Some(lookback), ..QueryOptions::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        told(runtime.block_on(async {
            match when {
                When::Instant(time) => engine.instant_with(data, &expr, time, options).await,
                When::Range(start, end, step) => {
                    engine.range_with(data, &expr, start, end, step, options).await
                }
            }
        }))
    };
    let ((wanted, looked_at), (got, less)) = (ask(true), ask(false));
    if wanted.starts_with("error: query processing would load too many samples") {
        // Group by group less is held at a time; what fits series by series fits.
        return;
    }
    // Series that cannot have a partner are not read at all.
    let may_be_less = text.contains(" and ") || text.contains(" unless ");
    assert!(
        wanted == got && (looked_at == less || may_be_less && less < looked_at),
        "seed {seed}: {text} {when:?}\nwanted\n{wanted}{looked_at}\ngot\n{got}{less}\n{options:?} {lookback:?}"
    );
}

#[test]
fn both_ways_give_the_same() {
    let told = std::env::var("VEDETTE_SEED").ok().and_then(|seed| seed.parse().ok());
    let first = told.unwrap_or(0);
    let cases = if told.is_some() { QUERIES } else { cases() };
    for seed in first..first + cases.div_ceil(QUERIES) {
        let mut noise = Noise::new(seed);
        let data = Data::any(&mut noise);
        (0..QUERIES).for_each(|_| check(&data, seed, &mut noise));
    }
}

/// A scalar on the left was held together with the series on the right while it was found out.
#[test]
fn what_fits_series_by_series_fits() {
    let mut noise = Noise::new(1);
    let data = Data::any(&mut noise);
    let expr = parse_with("scalar(g{slot=\"0\"}) > bool c_total", Features::ALL).expect("a query");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let fits = |max_samples, series_by_series| {
        let engine = Engine::new(EngineOptions { max_samples, series_by_series, ..EngineOptions::default() });
        runtime.block_on(engine.range(&data, &expr, 600_000, 600_100, 1)).is_ok()
    };
    let least = (100..20_000).step_by(20).find(|samples| fits(*samples, true)).expect("some are enough");
    assert!((least..least + 2_000).step_by(20).all(|samples| fits(samples, false)), "{least} are not enough");
}

/// Data and queries are such that the test can fail: most answers have values, and few are errors.
#[test]
fn most_queries_give_something() {
    let (mut empty, mut errors, mut all) = (0, 0, 0);
    for seed in 0..20 {
        let mut noise = Noise::new(seed);
        let data = Data::any(&mut noise);
        for _ in 0..QUERIES {
            let text = query(&mut noise);
            let expr = parse_with(&text, Features::ALL).expect(&text);
            let engine = Engine::new(EngineOptions::default());
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
            all += 1;
            match runtime.block_on(engine.range(&data, &expr, 300_000, 900_000, 60_000)) {
                Err(_) => errors += 1,
                Ok(Answer { value: Value::Matrix(series), .. }) if series.is_empty() => empty += 1,
                Ok(_) => {}
            }
        }
    }
    assert!(empty * 2 < all && errors * 4 < all, "of {all} {empty} are empty, {errors} errors");
}
