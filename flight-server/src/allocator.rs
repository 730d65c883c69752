//! What the C library's allocator is told, so that memory which is free goes back to the system.
//!
//! Left to itself, glibc raises the size from which it maps a block on its own to 32 MiB as soon as a large block has been freed. Batches of text live in
//! blocks of 2 MiB (the largest that arrow makes for views), which then lie between small ones in its heaps: a sort that may take 200 MiB leaves a process
//! of 1 GiB. The price is new pages for each large block: rows of a Parquet file in a local bucket come a fifth slower (1.0 GB/s instead of 1.3).

use std::time::Duration;

/// How often what is free in the heaps is given back.
const EVERY: Duration = Duration::from_secs(5);

/// Has blocks of 2 MiB and more mapped one by one, and given back as soon as they are freed. To be called once, first.
pub(crate) fn give_back_large_blocks() {
    glibc::map_blocks_from(2 << 20);
}

/// Gives back what is free in the heaps from time to time, for ever. It takes milliseconds, and holds up only who allocates in the heap that is looked at.
pub(crate) async fn give_back_free_memory() {
    loop {
        tokio::time::sleep(EVERY).await;
        if tokio::task::spawn_blocking(glibc::trim).await.is_err() {
            return;
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
mod glibc {
    pub(super) fn map_blocks_from(bytes: libc::c_int) {
        // SAFETY: mallopt only stores the number; no other thread runs yet.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) };
    }

    pub(super) fn trim() {
        // SAFETY: malloc_trim may be called at any time from any thread.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod glibc {
    pub(super) fn map_blocks_from(_bytes: std::ffi::c_int) {}

    pub(super) fn trim() {}
}
