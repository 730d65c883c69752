//! What a crash leaves in a local bucket: files that were being written. No listing shows them, so nobody else removes them.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

/// The folders in which nobody but Skein writes.
const FOLDERS: [&str; 3] = ["_skein", "tables", "indexes"];
/// Nothing is written to a file for so long unless its writer is gone.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes, in the background, files that were begun and not touched for a day.
pub(crate) fn in_background(root: &Path) {
    let root = root.to_owned();
    let sweeper = std::thread::Builder::new().name("sweep".to_owned()).spawn(move || {
        let Some(before) = SystemTime::now().checked_sub(ABANDONED) else { return };
        let removed: u64 = FOLDERS.iter().map(|folder| sweep(&root.join(folder), before)).sum();
        if removed > 0 {
            tracing::info!(folder = %root.display(), removed, "removed unfinished files that a crash had left");
        }
    });
    if let Err(error) = sweeper {
        tracing::debug!(%error, "unfinished files stay for now");
    }
}

/// Removes unfinished files below `folder` that nobody has touched since `before`. What cannot be looked at stays.
fn sweep(folder: &Path, before: SystemTime) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            removed += sweep(&entry.path(), before);
        } else if metadata.is_file()
            && is_unfinished(&entry.file_name().to_string_lossy())
            && metadata.modified().is_ok_and(|touched| touched < before)
            && fs::remove_file(entry.path()).is_ok()
        {
            removed += 1;
        }
    }
    removed
}

/// A name under which an object is written before it gets its own: that, `#` and digits.
fn is_unfinished(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(own, digits)| {
        !own.is_empty() && !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_unfinished_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("tables/x/data");
        fs::create_dir_all(&data).unwrap();
        let old = SystemTime::now() - 2 * ABANDONED;
        for (name, touched) in
            [("a.parquet", old), ("a.parquet#1", old), ("b.parquet#17", SystemTime::now()), ("#1", old), ("c#x", old)]
        {
            let file = fs::File::create(data.join(name)).unwrap();
            file.set_modified(touched).unwrap();
        }
        assert_eq!(sweep(dir.path(), SystemTime::now() - ABANDONED), 1);
        assert!(!data.join("a.parquet#1").exists());
        assert_eq!(fs::read_dir(&data).unwrap().count(), 4);
    }
}
