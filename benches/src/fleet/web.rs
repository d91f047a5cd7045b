//! The page of a web application in Go: classic histograms of its requests by handler and code.

use super::builder::Builder;
use super::golang;
use super::group::Group;
use super::series::{Class, Model};
use super::unit::Unit;

/// The bounds that Go's client has by default, and as they print.
const BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BOUND_TEXTS: [&str; 11] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"];
/// Handler, requests a second, median duration in seconds.
const HANDLERS: [(&str, f64, f64); 8] = [
    ("/", 12.0, 0.012),
    ("/api/v1/cart", 6.0, 0.035),
    ("/api/v1/items", 20.0, 0.021),
    ("/api/v1/orders", 2.0, 0.090),
    ("/api/v1/search", 4.0, 0.240),
    ("/healthz", 0.4, 0.001),
    ("/login", 0.6, 0.180),
    ("/static", 30.0, 0.004),
];
/// Code, its share of the requests, how readily it is seen.
const CODES: [(&str, f64, Class); 3] =
    [("200", 0.97, Class::Often), ("404", 0.02, Class::Rare), ("500", 0.01, Class::Rare)];
/// Series of one handler that was not asked for before.
pub(super) const SERIES_PER_ROUTE: usize = BOUNDS.len() + 4;

/// Writes the page.
pub(super) fn families(b: &mut Builder<'_>) {
    golang::families(b, "go1.22.4");
    for (handler, rate, median) in HANDLERS {
        for (code, share, class) in CODES {
            requests(b, handler, code, (rate * share, median, class));
        }
    }
    // Routes that somebody calls for a while.
    for guest in b.identity.guests.clone() {
        let handler = format!("/download/{:x}", guest & 0xFFFF);
        requests(b, &handler, "200", (0.3, 0.5, Class::Rare));
    }
    b.gauge("http_requests_in_flight", "Requests that are being served.", Unit::One, Class::Often, (0, 40));
    b.counter("db_queries_total", "Queries sent to the database.", Class::Often, 90.0);
    b.gauge("db_connections_open", "Open connections to the database.", Unit::One, Class::Rare, (4, 16));
    b.gauge("cache_entries", "Entries of the cache.", Unit::One, Class::Often, (4_000, 50_000));
    b.counter("cache_hits_total", "Lookups that the cache answered.", Class::Often, 160.0);
    b.counter("cache_misses_total", "Lookups that it did not answer.", Class::Often, 12.0);
    b.family("app_build_info", "gauge", "Version of the application.");
    let version = format!("{{revision=\"r{}\",version=\"2.{}.0\"}}", b.identity.version, b.identity.version);
    b.sample("", &version, Unit::One, Model::Constant, 1);
}

fn requests(b: &mut Builder<'_>, handler: &str, code: &str, (rate, median, class): (f64, f64, Class)) {
    let by = format!("code=\"{code}\",handler=\"{handler}\"");
    b.family("http_requests_total", "counter", "Requests by handler and status code.");
    // A code that is seen once in a while has had its share of the time.
    let begun = b.grown(rate);
    let also = b.sample("", &format!("{{{by}}}"), Unit::One, Model::Linked(class), begun);
    b.family("http_request_duration_seconds", "histogram", "Duration of requests in seconds.");
    let first = b.next();
    for (at, bound) in BOUND_TEXTS.iter().enumerate() {
        let share = 1.0 / (1.0 + (median / BOUNDS[at]).powf(2.0));
        let number = (begun as f64 * share) as i64;
        // Far above the median a bucket counts whatever comes; far below it nothing.
        let seen = if BOUNDS[at] * 6.0 < median { Class::Seldom } else { class };
        let labels = format!("{{{by},le=\"{bound}\"}}");
        b.sample("_bucket", &labels, Unit::One, Model::Linked(seen), number);
    }
    b.sample("_bucket", &format!("{{{by},le=\"+Inf\"}}"), Unit::One, Model::Linked(class), begun);
    let spent = (begun as f64 * median * 1.2e9) as i64;
    b.sample("_sum", &format!("{{{by}}}"), Unit::Nanos, Model::Linked(class), spent);
    b.sample("_count", &format!("{{{by}}}"), Unit::One, Model::Linked(class), begun);
    b.group(Group::Histogram { first, bounds: &BOUNDS, median, sigma: 0.8, rate, class, also });
}
