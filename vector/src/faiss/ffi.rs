//! `vector/bridge/bridge.h` in Rust; its comments are there.

use std::ffi::{c_char, c_void};

/// The version of the table that this file describes.
pub(super) const ABI: u32 = 1;

pub(super) const OK: i32 = 0;
pub(super) const INVALID: i32 = 1;
pub(super) const MEMORY: i32 = 2;
pub(super) const STOPPED: i32 = 3;

pub(super) const L2: i32 = 0;
pub(super) const INNER_PRODUCT: i32 = 1;

/// An index of the bridge, which only the bridge looks into.
#[repr(C)]
pub(super) struct RawIndex {
    _private: [u8; 0],
}

#[repr(C)]
pub(super) struct Status {
    pub(super) code: i32,
    pub(super) message: [c_char; 1020],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shape {
    pub(super) rows: u64,
    pub(super) lists: u64,
    pub(super) row_bytes: u64,
    pub(super) fixed_bytes: u64,
    pub(super) dimension: i32,
    pub(super) metric: i32,
    pub(super) trained: i32,
    pub(super) selects: i32,
    pub(super) scans: i32,
    pub(super) exact: i32,
    pub(super) graph: i32,
    pub(super) refines: i32,
}

#[repr(C)]
pub(super) struct Search {
    pub(super) k: u64,
    pub(super) ef: u64,
    pub(super) nprobe: u64,
    pub(super) allowed: *const u8,
    pub(super) allowed_bytes: u64,
    pub(super) refine: f32,
}

pub(super) type Write = unsafe extern "C" fn(*mut c_void, *const c_void, u64) -> i32;
pub(super) type Read = unsafe extern "C" fn(*mut c_void, *mut c_void, u64) -> i32;

type Fill = unsafe extern "C" fn(*mut RawIndex, u64, *const f32, i32, *const i32, *mut Status) -> i32;

#[repr(C)]
pub(super) struct Table {
    pub(super) abi: u32,
    pub(super) size: u32,
    pub(super) version: *const c_char,
    pub(super) variant: *const c_char,
    pub(super) create: unsafe extern "C" fn(*const c_char, i32, i32, u32, *mut *mut RawIndex, *mut Status) -> i32,
    pub(super) destroy: unsafe extern "C" fn(*mut RawIndex),
    pub(super) shape: unsafe extern "C" fn(*const RawIndex, *mut Shape, *mut Status) -> i32,
    pub(super) reserve: unsafe extern "C" fn(*mut RawIndex, u64, *mut Status) -> i32,
    pub(super) train: Fill,
    pub(super) add: Fill,
    pub(super) search:
        unsafe extern "C" fn(*const RawIndex, u64, *const f32, *const Search, *mut f32, *mut i64, *mut Status) -> i32,
    pub(super) scan: unsafe extern "C" fn(
        *const RawIndex,
        u64,
        *const f32,
        u64,
        *const u32,
        u64,
        *mut f32,
        *mut i64,
        *mut Status,
    ) -> i32,
    pub(super) reconstruct: unsafe extern "C" fn(*const RawIndex, u64, *mut f32, *mut Status) -> i32,
    pub(super) write: unsafe extern "C" fn(*const RawIndex, Write, *mut c_void, *mut Status) -> i32,
    pub(super) read: unsafe extern "C" fn(Read, *mut c_void, *mut *mut RawIndex, *mut Status) -> i32,
}

#[allow(unsafe_code)]
unsafe extern "C" {
    pub(super) fn skein_faiss_generic() -> *const Table;
    #[cfg(skein_faiss = "avx2")]
    pub(super) fn skein_faiss_avx2() -> *const Table;
    #[cfg(skein_faiss = "avx512")]
    pub(super) fn skein_faiss_avx512() -> *const Table;
}
