//! What reads bytes of clients, for the fuzz targets. Not an interface for others.

/// A Substrait plan, up to where its names are looked up.
pub fn substrait(bytes: &[u8]) {
    if let Ok(plan) = crate::substrait::decode(bytes) {
        let _root = crate::substrait::root(&plan);
    }
}
