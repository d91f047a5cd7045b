//! Queries that type-check: mostly what is evaluated group by group, some of it inside what is not.

use super::noise::Noise;

pub(crate) fn query(noise: &mut Noise) -> String {
    match noise.below(11) {
        10 => {
            let part = if noise.one_in(2) { aggregate(noise) } else { vector(noise, 1) };
            format!("{part} {} {part}", noise.of(&["/", "- on (instance, slot) group_left ()", "or", "and"]))
        }
        0..=3 => vector(noise, 2),
        4..=7 => aggregate(noise),
        8 => format!(
            "{} {} {}",
            aggregate(noise),
            noise.of(&["+", "/", "or", "and", "unless", "> bool"]),
            aggregate(noise)
        ),
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
        ])
        .to_owned()
}
