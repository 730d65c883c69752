//! What reads bytes of clients and other servers, for the fuzz targets. Not an interface for others.

/// A Substrait plan, up to where its names are looked up.
pub fn substrait(bytes: &[u8]) {
    if let Ok(plan) = crate::substrait::decode(bytes) {
        let _root = crate::substrait::root(&plan);
    }
}

/// A scan that another server planned. Whether it is one.
pub fn scan(bytes: &[u8]) -> bool {
    crate::distributed::fuzz::scan(bytes)
}

/// What [`scan`] takes; nothing if it cannot be made.
pub fn scan_example() -> Vec<u8> {
    crate::distributed::fuzz::example().unwrap_or_default()
}
