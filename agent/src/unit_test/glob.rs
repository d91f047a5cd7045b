//! Patterns of file names as Go's `filepath.Glob` knows them: `*`, `?`, `[a-z]`, `\x`, none across a `/`.

use std::path::{Component, Path, PathBuf};

/// The files that a pattern names, sorted; a pattern without wildcards names itself where it exists.
pub(super) fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let Component::Normal(name) = part else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let name = name.to_string_lossy();
        if name.contains(['*', '?', '[', '\\']) {
            found = found.iter().flat_map(|folder| within(folder, &name)).collect();
        } else {
            found.iter_mut().for_each(|path| path.push(&*name));
        }
    }
    found.retain(|path| path.exists());
    found
}

fn within(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let open = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(open).into_iter().flatten().flatten();
    let pattern: Vec<char> = pattern.chars().collect();
    let fits = |name: &str| matches(&pattern, &name.chars().collect::<Vec<_>>());
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(fits))
        .map(|entry| folder.join(entry.file_name()))
        .collect();
    found.sort();
    found
}

/// Whether a name fits, going back to the last `*` where it does not: no pattern takes long.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return true;
        }
        if let Some(length) = name.get(n).and_then(|c| one(&pattern[p..], *c)) {
            (p, n) = (p + length, n + 1);
            continue;
        }
        match star {
            Some((at, from)) if from < name.len() => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
}

/// The length of the pattern's first element, where it takes this character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '\\' => (pattern.get(1) == Some(&c)).then_some(2),
        '[' => {
            let negated = pattern.get(1) == Some(&'^');
            let first = 1 + usize::from(negated);
            // A class has at least one character, so that `[]]` is one.
            let end = first + 1 + pattern.get(first + 1..)?.iter().position(|c| *c == ']')?;
            (in_class(&pattern[first..end], c) != negated).then_some(end + 1)
        }
        plain => (*plain == c).then_some(1),
    }
}

fn in_class(class: &[char], c: char) -> bool {
    let mut at = 0;
    while at < class.len() {
        let range = class.get(at + 1) == Some(&'-') && at + 2 < class.len();
        let last = if range { class[at + 2] } else { class[at] };
        if (class[at]..=last).contains(&c) {
            return true;
        }
        at += if range { 3 } else { 1 };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        let fits = |pattern: &str, name: &str| {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            matches(&chars(pattern), &chars(name))
        };
        for (pattern, name) in [
            ("*.yml", "a.yml"),
            ("a*b*c", "aXbYbc"),
            ("?.yml", "ä.yml"),
            ("[a-c]x", "bx"),
            ("[^a]", "b"),
            ("\\*", "*"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.yml", "a.yaml"), ("?", "ab"), ("[a-c]x", "dx"), ("[^a]", "a"), ("[a", "a")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn folders_take_wildcards_too() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["x1/a.yml", "x2/b.yml", "y/c.yml"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        let found = matching(&dir.path().join("x?/*.yml"));
        assert_eq!(found, [dir.path().join("x1/a.yml"), dir.path().join("x2/b.yml")]);
        assert_eq!(matching(&dir.path().join("y/c.yml")).len(), 1);
        assert!(matching(&dir.path().join("y/d.yml")).is_empty());
    }
}
