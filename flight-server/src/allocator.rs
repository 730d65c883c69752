//! What the C library's allocator is told before anything runs.

/// Blocks of at least so many bytes are mapped one by one and go back to the system as soon as they are freed.
///
/// Batches of text live in blocks of 2 MiB (`arrow`'s largest for views), as do many other buffers. Left to itself, glibc raises this bound to 32 MiB with the
/// first large block that is freed; then such blocks lie between small ones in its heaps, and a sort that may take 200 MiB leaves the process with 1 GiB. It costs
/// no measurable time (TPC-H: the same).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 2 << 20;

/// To be called once, first.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub(crate) fn give_back_large_blocks() {
    // SAFETY: mallopt only stores the number; no other thread runs yet.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES) };
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_blocks() {}
