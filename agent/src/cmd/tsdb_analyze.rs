//! How `tsdb analyze` prints what it found: lists as promtool has them, and bytes by part.

use std::io::{self, Write};
use std::path::Path;

use tsdb::{Analysis, Count};

pub(crate) fn print(out: &mut impl Write, dir: &Path, found: &Analysis) -> io::Result<()> {
    let windows = match (found.windows.first(), found.windows.last()) {
        (Some(first), Some(last)) if first != last => {
            format!("{} windows of 2h, {first} to {last}", found.windows.len())
        }
        (Some(only), _) => only.to_string(),
        _ => "none".to_owned(),
    };
    let samples = found.sealed_samples + found.log_samples;
    writeln!(out, "Folder: {}", dir.display())?;
    writeln!(out, "Block ID: {windows}")?;
    writeln!(out, "Total Series: {}", found.series)?;
    writeln!(out, "Label names: {}", found.cardinality.names)?;
    writeln!(out, "Postings (unique label pairs): {}", found.cardinality.pairs)?;
    writeln!(out, "Postings entries (total label pairs): {}", found.entries)?;
    writeln!(
        out,
        "Total Samples: {samples} ({} sealed, {} in the log only)",
        found.sealed_samples, found.log_samples
    )?;
    write_bytes(out, found)?;
    let lists = &found.cardinality;
    write_list(out, "Most common label pairs", &lists.series_by_pair)?;
    write_list(out, "Label names with highest cumulative label value length", &lists.bytes_by_label)?;
    write_list(out, "Highest cardinality labels", &lists.values_by_label)?;
    write_list(out, "Highest cardinality metric names", &lists.series_by_metric)
}

/// Of the whole folder, whatever was selected.
fn write_bytes(out: &mut impl Write, found: &Analysis) -> io::Result<()> {
    let parts = [
        ("log", found.log_bytes),
        ("sealed windows", found.sealed_bytes),
        ("identity", found.identity_bytes),
        ("total", found.log_bytes + found.sealed_bytes + found.identity_bytes),
    ];
    writeln!(out, "\nBytes of the whole folder:")?;
    for (part, bytes) in parts {
        writeln!(out, "{bytes} {part}")?;
    }
    if found.is_whole {
        let per_sample = |bytes: u64, samples: u64| match samples {
            0 => "-".to_owned(),
            samples => format!("{:.3}", bytes as f64 / samples as f64),
        };
        writeln!(out, "\nBytes per sample:")?;
        writeln!(out, "{} sealed windows", per_sample(found.sealed_bytes, found.sealed_samples))?;
        writeln!(out, "{} all together", per_sample(parts[3].1, found.sealed_samples + found.log_samples))?;
    }
    Ok(())
}

fn write_list(out: &mut impl Write, title: &str, list: &[Count]) -> io::Result<()> {
    writeln!(out, "\n{title}:")?;
    list.iter().try_for_each(|Count { name, value }| writeln!(out, "{value} {name}"))
}
