//! Where external tables and COPY may read and write: a path in a bucket, or the server's own file system when the
//! configuration allows it. Nothing gets out of there by `..`, and nothing gets into the folders Skein keeps its own state in.

use datafusion::datasource::listing::ListingTableUrl;
use object_store::path::Path as ObjectPath;
use skein_storage::{Bucket, Buckets};
use url::Url;

use crate::{Error, Result};

/// The scheme of a bucket's URL inside the engine.
pub(crate) const BUCKET_SCHEME: &str = "skein-bucket";
/// Folders of a bucket that hold Skein's own state.
const RESERVED: [&str; 3] = ["_skein", "tables", "indexes"];
/// Folders at the root of a file system that hold devices and the kernel's state.
const NO_FILES: [&str; 3] = ["dev", "proc", "sys"];
/// Characters that make a path segment a glob.
const GLOB: [char; 3] = ['*', '?', '['];

/// A checked location.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    /// In a bucket; the path may end in `/` (a folder) or hold a glob.
    Bucket {
        /// The bucket.
        bucket: Bucket,
        /// The path below its root, without a leading `/`.
        path: String,
    },
    /// On the server's file system; an absolute path.
    Local(String),
}

impl Location {
    /// Parses and checks a location as a user writes it: `skein-bucket://name/path`, a path relative to the default
    /// bucket, or (when `allow_local`) an absolute path or `file:` URL.
    pub(crate) fn parse(text: &str, buckets: &Buckets, allow_local: bool) -> Result<Self> {
        if let Some(rest) = text.strip_prefix(BUCKET_SCHEME).and_then(|rest| rest.strip_prefix("://")) {
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            return Self::in_bucket(buckets.get(name)?, path, text);
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Self::local(path, text, allow_local);
        }
        if text.starts_with('/') {
            return Self::local(text, text, allow_local);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(Error::Invalid(format!(
                "location '{text}' has the scheme '{scheme}'; give a path in the default bucket, or {BUCKET_SCHEME}://<bucket>/<path>. \
                 Other object stores have to be configured as a bucket first"
            )));
        }
        Self::in_bucket(buckets.default_bucket(), text, text)
    }

    fn in_bucket(bucket: Bucket, path: &str, text: &str) -> Result<Self> {
        check_segments(path, text)?;
        let top = path.split('/').next().unwrap_or_default();
        // A glob in the first segment, or the bucket's root, could match the reserved folders.
        if path.is_empty() || top.is_empty() || RESERVED.contains(&top) || is_glob(top) {
            return Err(Error::Denied(format!(
                "location '{text}' reaches into folders that Skein keeps for itself ({}); name another folder",
                RESERVED.join(", ")
            )));
        }
        Ok(Self::Bucket { bucket, path: path.to_owned() })
    }

    fn local(path: &str, text: &str, allow_local: bool) -> Result<Self> {
        if !allow_local {
            return Err(Error::Denied(format!(
                "location '{text}' is on the server's own file system, which SQL may not reach; use a path in a bucket, \
                 or have the server's administrator set query.local_paths = \"allow\""
            )));
        }
        check_segments(path, text)?;
        if !path.starts_with('/') {
            return Err(Error::Invalid(format!("location '{text}' is not an absolute path")));
        }
        // What lies there is no file: it may have no end, or take no name. A write to /proc is tried for ever.
        let top = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if top.is_empty() || is_glob(top) || NO_FILES.contains(&top) {
            return Err(Error::Denied(format!(
                "location '{text}' is no place for data files; name a folder below '/' other than {}",
                NO_FILES.join(", ")
            )));
        }
        Ok(Self::Local(path.to_owned()))
    }

    /// What DataFusion lists and reads: the part before the first segment with a glob is the prefix.
    pub(crate) fn listing(&self) -> Result<ListingTableUrl> {
        let (prefix, glob) = split_glob(self.path());
        let url = self.url_of(prefix)?;
        let glob = match glob {
            Some(glob) => Some(glob::Pattern::new(glob).map_err(|e| {
                Error::Invalid(format!("location '{}' holds a pattern that cannot be read: {e}", self.path()))
            })?),
            None => None,
        };
        Ok(ListingTableUrl::try_new(url, glob)?)
    }

    /// The URL to write to.
    pub(crate) fn target(&self) -> Result<Url> {
        if let Self::Bucket { bucket, .. } = self {
            bucket.writable()?;
        }
        if is_glob(self.path()) {
            return Err(Error::Invalid(format!("COPY cannot write to '{}': it holds a pattern", self.path())));
        }
        self.url_of(self.path())
    }

    /// The whole location as one canonical text, kept with an external table.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Bucket { bucket, path } => format!("{BUCKET_SCHEME}://{}/{path}", bucket.name()),
            Self::Local(path) => path.clone(),
        }
    }

    /// The same location as a folder: with a trailing slash.
    pub(crate) fn into_folder(self) -> Self {
        let slash = |path: String| if path.ends_with('/') { path } else { path + "/" };
        match self {
            Self::Bucket { bucket, path } => Self::Bucket { bucket, path: slash(path) },
            Self::Local(path) => Self::Local(slash(path)),
        }
    }

    /// Whether it names a folder or a pattern.
    pub(crate) fn is_collection(&self) -> bool {
        self.path().ends_with('/') || is_glob(self.path())
    }

    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Bucket { path, .. } | Self::Local(path) => path,
        }
    }

    fn url_of(&self, path: &str) -> Result<Url> {
        let mut url = match self {
            Self::Bucket { bucket, .. } => bucket.store_url(),
            Self::Local(_) => Url::parse("file:///").map_err(|e| Error::Invalid(e.to_string()))?,
        };
        // `set_path` percent-encodes what a URL cannot hold; `%` itself has to be encoded by hand.
        let trimmed = path.trim_start_matches('/').replace('%', "%25");
        url.set_path(&format!("/{trimmed}"));
        Ok(url)
    }
}

fn is_glob(text: &str) -> bool {
    text.contains(GLOB)
}

fn check_segments(path: &str, text: &str) -> Result<()> {
    if path.chars().any(char::is_control) {
        return Err(Error::Invalid(format!("location {text:?} holds a control character")));
    }
    if path.contains(['#', '\\']) || path.split('/').any(|s| s == ".." || s == "." || s.eq_ignore_ascii_case("%2e%2e"))
    {
        return Err(Error::Invalid(format!(
            "location '{text}' holds '..', '.', '#' or a backslash; give a plain path"
        )));
    }
    let folder = path.trim_matches('/');
    if !is_glob(folder) {
        ObjectPath::parse(folder).map_err(|e| Error::Invalid(format!("location '{text}' is no usable path: {e}")))?;
    }
    Ok(())
}

/// The path up to the last `/` before the first glob character, and the rest as the pattern.
fn split_glob(path: &str) -> (&str, Option<&str>) {
    match path.find(GLOB) {
        Some(first) => {
            let cut = path[..first].rfind('/').map_or(0, |slash| slash + 1);
            (&path[..cut], Some(&path[cut..]))
        }
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;

    fn buckets() -> Buckets {
        Buckets::new(vec![Bucket::in_memory("main"), Bucket::in_memory("other")]).unwrap()
    }

    #[test]
    fn a_bare_path_is_in_the_default_bucket() {
        let location = Location::parse("exports/a.parquet", &buckets(), false).unwrap();
        assert_eq!(location.canonical(), "skein-bucket://main/exports/a.parquet");
        let location = Location::parse("skein-bucket://other/in/*.csv", &buckets(), false).unwrap();
        let listing = location.listing().unwrap();
        assert_eq!(listing.as_str(), "skein-bucket://other/in/");
        assert_eq!(listing.get_glob().as_ref().unwrap().as_str(), "*.csv");
    }

    #[test]
    fn nothing_gets_out_or_into_reserved_folders() {
        for bad in
            ["../x", "a/../../x", "/etc/passwd", "file:///etc/passwd", "_skein/docs/", "tables/", "*/docs/x", "*", ""]
        {
            assert!(Location::parse(bad, &buckets(), false).is_err(), "{bad}");
        }
        for bad in ["skein-bucket://other/_skein/x.json", "skein-bucket://other/", "s3://elsewhere/x", "a/%2e%2e/b"] {
            assert!(Location::parse(bad, &buckets(), true).is_err(), "{bad}");
        }
        let denied = Location::parse("/etc/passwd", &buckets(), false).unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        assert!(Location::parse("/data/../etc/passwd", &buckets(), true).is_err());
        for special in ["/", "/dev/zero", "//proc/self/x.csv", "file:///sys/x", "/*/x.csv", "/pro?/self/x.csv"] {
            let error = Location::parse(special, &buckets(), true).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{special}");
        }
        assert!(Location::parse("/data/x.csv", &buckets(), true).is_ok());
    }
}
