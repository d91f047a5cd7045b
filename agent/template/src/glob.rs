//! The files that a glob names: Go's `filepath.Glob`.

use std::path::{Component, Path, PathBuf};

/// Paths that a glob may lead through at most.
const PATHS_MAX: usize = 100_000;

/// The files in order of name; none where nothing matches.
///
/// # Errors
/// When the glob is none.
pub(crate) fn files(glob: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in glob.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let pattern = name.to_string_lossy();
        if !pattern.contains(['*', '?', '[', '\\']) {
            found.iter_mut().for_each(|path| path.push(name));
            found.retain(|path| path.exists());
            continue;
        }
        let pattern: Vec<char> = pattern.chars().collect();
        matches(&pattern, &[]).ok_or_else(|| format!("templates: {}: bad pattern", glob.display()))?;
        let mut next = Vec::new();
        for folder in found {
            let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let Ok(entries) = std::fs::read_dir(listed) else { continue };
            let names = entries.flatten().map(|entry| entry.file_name());
            let fits = |name: &std::ffi::OsString| {
                let name: Vec<char> = name.to_string_lossy().chars().collect();
                matches(&pattern, &name) == Some(true)
            };
            next.extend(names.filter(fits).map(|name| folder.join(name)).take(PATHS_MAX));
        }
        if next.len() > PATHS_MAX {
            return Err(format!("templates: {}: over {PATHS_MAX} paths", glob.display()));
        }
        next.sort();
        found = next;
    }
    found.retain(|path| path.is_file());
    Ok(found)
}

/// Whether a name fits; `None` where the pattern is none.
fn matches(pattern: &[char], name: &[char]) -> Option<bool> {
    // Back to the last star when what follows it does not fit.
    let (mut at, mut read, mut star) = (0, 0, None);
    let mut fits = true;
    while at < pattern.len() || read < name.len() {
        let step = pattern.get(at).map(|char| one(pattern, at, *char, name.get(read).copied()));
        match step {
            Some(None) => return None,
            Some(Some(Step::Star)) => {
                star = Some((at, read));
                at += 1;
                continue;
            }
            Some(Some(Step::Fits(next))) if read < name.len() => {
                (at, read) = (next, read + 1);
                continue;
            }
            Some(Some(Step::Fits(next) | Step::Not(next))) if read >= name.len() => {
                // The name is over: the rest is only read for what is wrong with it.
                (at, fits) = (next, false);
                continue;
            }
            _ => {}
        }
        match star {
            Some((back, from)) if from < name.len() => {
                star = Some((back, from + 1));
                (at, read) = (back + 1, from + 1);
            }
            _ => return Some(false),
        }
    }
    Some(fits)
}

enum Step {
    Star,
    /// The character fits; the pattern goes on there.
    Fits(usize),
    Not(usize),
}

fn one(pattern: &[char], at: usize, char: char, next: Option<char>) -> Option<Step> {
    let step = |fits, end| Some(if fits { Step::Fits(end) } else { Step::Not(end) });
    match char {
        '*' => Some(Step::Star),
        '?' => step(next.is_some(), at + 1),
        '\\' => step(next == Some(*pattern.get(at + 1)?), at + 2),
        '[' => {
            let (mut end, negated) =
                if pattern.get(at + 1) == Some(&'^') { (at + 2, true) } else { (at + 1, false) };
            let (first, mut fits) = (end, false);
            while end == first || pattern.get(end)? != &']' {
                let low = *pattern.get(end)?;
                if low == ']' || low == '-' {
                    return None;
                }
                end += 1;
                let mut high = low;
                if pattern.get(end) == Some(&'-') {
                    high = *pattern.get(end + 1)?;
                    end += 2;
                }
                fits |= next.is_some_and(|next| (low..=high).contains(&next));
            }
            step(fits != negated && next.is_some(), end + 1)
        }
        char => step(next == Some(char), at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_gos() {
        for (pattern, name, fits) in [
            ("*.tmpl", "a.tmpl", Some(true)),
            ("*.tmpl", "a.tmpl.bak", Some(false)),
            ("a*b*c", "aXbYbZc", Some(true)),
            ("a?c", "abc", Some(true)),
            ("[a-c]x", "bx", Some(true)),
            ("[^a-c]x", "bx", Some(false)),
            ("a[", "a", None),
            ("a\\*", "a*", Some(true)),
            ("abc", "ab", Some(false)),
            ("ab", "abc", Some(false)),
            ("**", "", Some(true)),
        ] {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(matches(&chars(pattern), &chars(name)), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_found_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("sub")).expect("made");
        for name in ["b.tmpl", "a.tmpl", "c.txt", "sub/d.tmpl"] {
            std::fs::write(folder.path().join(name), "").expect("written");
        }
        let found = |glob: &str| files(&folder.path().join(glob)).expect("a glob");
        assert_eq!(found("*.tmpl"), [folder.path().join("a.tmpl"), folder.path().join("b.tmpl")]);
        assert_eq!(found("s*/*"), [folder.path().join("sub/d.tmpl")]);
        assert_eq!(found("none*.tmpl"), Vec::<PathBuf>::new());
    }
}
