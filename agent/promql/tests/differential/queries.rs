//! Queries that type-check: mostly what is evaluated group by group, some of it inside what is not.

use super::noise::Noise;

pub(crate) fn query(noise: &mut Noise) -> String {
    match noise.below(20) {
        19 => {
            let part = if noise.one_in(2) { aggregate(noise) } else { vector(noise, 1) };
            format!("{part} {} {part}", noise.of(&["/", "- on (instance, slot) group_left ()", "or", "and"]))
        }
        0..=3 => vector(noise, 2),
        4..=7 => aggregate(noise),
        8..=11 => joined(noise),
        12..=15 => {
            let inner = if noise.one_in(3) { joined(noise) } else { operand(noise) };
            above(noise, &inner)
        }
        16 => {
            let inner = operand(noise);
            let once = above(noise, &inner);
            // A scalar is no series.
            let is_scalar = once.starts_with("scalar(");
            above(noise, if is_scalar { &inner } else { &once })
        }
        _ => match noise.below(6) {
            0 => format!("max_over_time(({})[3m:20s])", aggregate(noise)),
            1 => format!("sum_over_time(({})[3m:])", vector(noise, 1)),
            2 => format!("absent({})", vector(noise, 1)),
            3 => format!("sort_desc({})", vector(noise, 1)),
            4 => format!("scalar({})", aggregate(noise)),
            _ => format!("histogram_quantile(0.9, sum by (le, slot) ({}))", vector(noise, 1)),
        },
    }
}

/// Something that gives series.
fn operand(noise: &mut Noise) -> String {
    match noise.below(6) {
        0..=2 => vector(noise, 1),
        3..=4 => aggregate(noise),
        _ => format!("({} * 2)", aggregate(noise)),
    }
}

/// An operation between series.
fn joined(noise: &mut Noise) -> String {
    let (left, right) = (operand(noise), operand(noise));
    let matching = noise.of(&[
        "",
        "",
        "on (instance)",
        "on (instance, slot)",
        "on (instance, job, slot)",
        "on (job)",
        "on ()",
        "on (le)",
        "on (__name__, instance, slot)",
        "ignoring (slot)",
        "ignoring (job)",
        "ignoring (zone, le)",
    ]);
    if noise.one_in(3) {
        return format!("({left} {} {matching} {right})", noise.of(&["and", "or", "unless"]));
    }
    let op =
        noise.of(&["+", "-", "*", "/", "/", "%", "^", "atan2", ">", "<=", "==", "!=", "> bool", "== bool"]);
    let group = match (matching, noise.below(8)) {
        ("", _) | (_, 0..=2) => "",
        (_, 3) => "group_left ()",
        (_, 4) if !matching.contains("job") => "group_left (job)",
        (_, 5) => "group_right ()",
        (_, 6) if !matching.contains("__name__") => "group_right (zone, __name__)",
        _ if matching.contains("on (le)") => "group_left (zone)",
        _ => "group_left (le, nothing)",
    };
    format!("({left} {op} {matching} {group} {right})")
}

/// Something done to what gives series.
fn above(noise: &mut Noise, inner: &str) -> String {
    let window = noise.of(&["[3m:20s]", "[3m:]", "[10m:15s]", "[1h:5m]", "[2m:30s] offset 1m", "[45s:1s]"]);
    match noise.below(23) {
        0 => format!("sum by (instance) ({inner})"),
        1 => format!("avg without (slot) ({inner})"),
        2 => format!("{} (2, {inner})", noise.of(&["topk by (job)", "bottomk", "limitk by (job)"])),
        3 => format!("limit_ratio({}, {inner})", noise.of(&["0.5", "-0.3", "1.5"])),
        4 => format!(
            "count_values {} (\"{}\", {inner})",
            noise.of(&["", "by (job)", "without (slot)"]),
            noise.of(&["v", "slot", "job"])
        ),
        5 => format!("quantile by (job) (0.3, {inner})"),
        6 => format!("clamp({inner}, {}, {})", noise.of(&["0", "-5", "NaN"]), noise.of(&["10", "-1", "Inf"])),
        7 => format!("{}({inner}, scalar(g{{slot=\"0\",job=\"a\"}}))", noise.of(&["clamp_min", "clamp_max"])),
        8 => format!("round({inner}{})", noise.of(&["", ", 0.1", ", 5"])),
        9 => format!("{}({inner})", noise.of(&["abs", "exp", "hour", "day_of_week", "deg", "ceil"])),
        10 => format!("-({inner})"),
        11 => format!("({inner} {} 3)", noise.of(&[">", "<= bool", "*", "%"])),
        12 => format!("absent({inner})"),
        13 => format!("scalar({inner})"),
        14 => format!("histogram_quantile({}, {inner})", noise.of(&["0.5", "0.99", "-1", "NaN", "time()"])),
        15 => format!("histogram_fraction(0.05, {}, {inner})", noise.of(&["0.5", "Inf", "0"])),
        16 => format!("histogram_quantiles({inner}, \"q\", 0.5, 0.9)"),
        17 => format!(
            "{}(({inner}){window})",
            noise.of(&["rate", "increase", "delta", "irate", "idelta", "deriv"])
        ),
        18 => {
            let function = noise
                .of(&["sum", "avg", "min", "max", "count", "last", "first", "stddev", "absent", "present"]);
            format!("{function}_over_time(({inner}){window})")
        }
        19 => format!("quantile_over_time({}, ({inner}){window})", noise.of(&["0.5", "0.9", "2"])),
        20 => format!(
            "{}(({inner}){window})",
            noise.of(&["changes", "resets", "ts_of_last_over_time", "mad_over_time"])
        ),
        21 => format!("label_replace({inner}, \"slot\", \"$1\", \"job\", \"(.)\")"),
        _ => format!("absent_over_time({}[{}])", selector(noise), noise.of(&["1m", "10m", "1s"])),
    }
}

fn aggregate(noise: &mut Noise) -> String {
    let op = noise.of(&[
        "sum",
        "sum",
        "sum",
        "avg",
        "count",
        "min",
        "max",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "quantile",
        "count_values",
        "limitk",
        "limit_ratio",
    ]);
    let grouping = noise.of(&[
        "",
        "",
        "by (job)",
        "by (slot)",
        "by (job, slot, nothing)",
        "by (__name__)",
        "without (slot)",
        "by (instance)",
        "without (instance, job)",
        "without ()",
        "by (__type__)",
    ]);
    let param = match op {
        "topk" | "bottomk" | "limitk" => {
            noise.of(&["1, ", "2, ", "0, ", "5, ", "-1, ", "scalar(g{slot=\"1\",job=\"a\"}), "])
        }
        "quantile" => noise.of(&["0.5, ", "0.9, ", "-1, ", "2, ", "NaN, "]),
        "limit_ratio" => noise.of(&["0.5, ", "-0.3, "]),
        "count_values" => "\"value\", ",
        _ => "",
    };
    format!("{op} {grouping} ({param}{})", vector(noise, 2))
}

fn vector(noise: &mut Noise, depth: u32) -> String {
    if depth > 0 && noise.one_in(3) {
        let inner = vector(noise, depth - 1);
        let op =
            noise.of(&["+", "-", "*", "/", "%", "^", "atan2", ">", "<=", "==", "!=", "> bool", "== bool"]);
        let scalar =
            noise.of(&["2", "-1.5", "0", "Inf", "NaN", "1e300", "time()", "scalar(g{job=\"a\"})", "(1 + 2)"]);
        return match noise.below(6) {
            0 => format!("-{inner}"),
            1 => format!("({inner})"),
            2 => format!("{}({inner})", noise.of(&["abs", "sqrt", "ln", "sgn", "floor"])),
            3 => format!("({scalar} {op} {inner})"),
            _ => format!("({inner} {op} {scalar})"),
        };
    }
    let selector = selector(noise);
    let range = noise.of(&["1m", "5m", "1m30s", "45s", "15s", "1s", "1h"]);
    let at = match noise.below(12) {
        0 => " offset 1m",
        1 => " offset -30s",
        2 => " @ 600",
        3 => " @ start()",
        4 => " @ end() offset 10s",
        _ => "",
    };
    match noise.below(10) {
        0..=2 => format!("{selector}{at}"),
        3..=5 => {
            let function = noise.of(&["rate", "increase", "delta", "irate", "idelta"]);
            format!("{function}({selector}[{range}]{at})")
        }
        6..=8 => {
            let function = noise.of(&[
                "sum",
                "avg",
                "min",
                "max",
                "count",
                "last",
                "present",
                "stddev",
                "stdvar",
                "first",
                "mad",
                "ts_of_min",
                "ts_of_last",
            ]);
            match noise.below(4) {
                0 => format!("{}({selector}[{range}]{at})", noise.of(&["changes", "resets", "deriv"])),
                1 => format!(
                    "quantile_over_time({}, {selector}[{range}]{at})",
                    noise.of(&["0.5", "-1", "0.99"])
                ),
                _ => format!("{function}_over_time({selector}[{range}]{at})"),
            }
        }
        _ => format!("predict_linear({selector}[{range}]{at}, 60 * 2)"),
    }
}

fn selector(noise: &mut Noise) -> String {
    noise
        .of(&[
            "c_total",
            "c_total",
            "g",
            "g",
            "g{job=\"a\"}",
            "c_total{slot!=\"0\"}",
            "g{slot=~\"[0-3]\"}",
            "{__name__=~\"c_total|g\"}",
            "{__name__=\"g\",instance!=\"0\"}",
            "{job=\"a\",slot=\"2\"}",
            "h",
            "{slot=~\".+\"}",
            "missing",
            "typed_total",
            "b_bucket",
            "typed_total{__type__=\"counter\"}",
            "{__name__=\"g\",job=~\"a|\"}",
        ])
        .to_owned()
}
