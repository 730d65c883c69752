//! From what was typed to the files to send.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::cli::{Exit, Failure};

/// Endings of files that a folder is searched for.
const ENDINGS: [&str; 11] =
    ["csv", "tsv", "txt", "json", "ndjson", "jsonl", "parquet", "pq", "arrow", "feather", "ipc"];
/// Endings that compression adds.
const COMPRESSED: [&str; 5] = ["gz", "zst", "zstd", "bz2", "xz"];

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The process's stdin.
    Stdin,
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its size in bytes; 0 for a pipe.
        bytes: u64,
    },
}

impl Input {
    /// What to call it.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }
}

/// The files, in order: as typed, and by name within a folder or pattern. A file that is meant twice is sent once.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let (mut inputs, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let found = if path.as_os_str() == "-" { vec![Input::Stdin] } else { one(path)? };
        for input in found {
            if seen.insert(input.name()) {
                inputs.push(input);
            }
        }
    }
    Ok(inputs)
}

fn one(path: &Path) -> Result<Vec<Input>, Failure> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => folder(path),
        Ok(metadata) => Ok(vec![Input::File { path: path.to_owned(), bytes: metadata.len() }]),
        Err(_) if is_pattern(path) => pattern(path),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
    Failure::new(exit, format!("cannot read {}: {error}", path.display())).hint("check the path, and who may read it")
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn pattern(path: &Path) -> Result<Vec<Input>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let mut inputs = Vec::new();
    // As in a shell, a pattern does not match hidden files.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    for found in glob::glob_with(&path.to_string_lossy(), options).map_err(|error| wrong(&error))? {
        let found = found.map_err(|error| wrong(&error))?;
        inputs.extend(one(&found)?);
    }
    if inputs.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("no file matches {}", path.display())).hint(
            "patterns are matched from the folder that the command runs in; * is within a folder, ** goes below",
        ));
    }
    Ok(inputs)
}

/// All data files below a folder, hidden ones left out.
fn folder(path: &Path) -> Result<Vec<Input>, Failure> {
    let mut inputs = Vec::new();
    walk(path, &mut inputs)?;
    if inputs.is_empty() {
        let hint = format!("a folder is searched for the endings {}; name other files themselves", ENDINGS.join(", "));
        return Err(Failure::new(Exit::NotFound, format!("there is no data file below {}", path.display())).hint(hint));
    }
    Ok(inputs)
}

fn walk(folder: &Path, inputs: &mut Vec<Input>) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|error| unreadable(folder, &error))?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_'])) {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        if metadata.is_dir() {
            walk(&path, inputs)?;
        } else if is_data(&path) {
            inputs.push(Input::File { bytes: metadata.len(), path });
        }
    }
    Ok(())
}

fn is_data(path: &Path) -> bool {
    let ending = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let Some(last) = ending(path) else { return false };
    if COMPRESSED.contains(&last.as_str()) {
        return path
            .file_stem()
            .and_then(|stem| ending(Path::new(stem)))
            .is_some_and(|inner| ENDINGS.contains(&inner.as_str()));
    }
    ENDINGS.contains(&last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(inputs: &[Input], root: &Path) -> Vec<String> {
        inputs.iter().map(|input| input.name().replace(&format!("{}/", root.display()), "")).collect()
    }

    #[test]
    fn folders_patterns_and_files() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("sub")).unwrap();
        for name in ["b.csv", "a.csv.gz", "notes.md", ".hidden.csv", "sub/c.parquet"] {
            fs::write(root.join(name), "x").unwrap();
        }
        let all = expand(&[root.to_owned()]).unwrap();
        assert_eq!(names(&all, root), ["a.csv.gz", "b.csv", "sub/c.parquet"]);
        let some = expand(&[root.join("b.csv"), root.join("*.csv*"), root.join("notes.md")]).unwrap();
        assert_eq!(names(&some, root), ["b.csv", "a.csv.gz", "notes.md"]);
        assert_eq!(expand(&["-".into()]).unwrap(), [Input::Stdin]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let failure = expand(&["/no/such.csv".into()]).unwrap_err();
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(expand(&["/no/such*.csv".into()]).unwrap_err().exit(), Exit::NotFound);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(expand(&[empty.path().to_owned()]).unwrap_err().exit(), Exit::NotFound);
    }
}
