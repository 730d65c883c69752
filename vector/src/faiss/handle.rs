//! An index of the bridge as a value: what is called, and that it is called rightly.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_void},
    ptr::{self, NonNull},
    sync::atomic::{AtomicI32, Ordering},
};

use super::{
    ffi::{self, RawIndex, Search, Shape, Status, Table},
    variant,
};
use crate::{Error, Result};

/// Set to end a build early, from any thread.
#[derive(Debug, Default)]
pub(super) struct StopFlag(AtomicI32);

impl StopFlag {
    pub(super) fn stop(&self) {
        self.0.store(1, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// How one call searches.
#[derive(Debug, Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) k: usize,
    pub(super) ef: usize,
    pub(super) nprobe: usize,
    pub(super) refine: f32,
    /// One bit per vector, the lowest first; `None`: all may be answered.
    pub(super) allowed: Option<&'a [u8]>,
}

/// Distances as FAISS has them and positions, `k` for each query; position -1 where there is none.
pub(super) struct Raw {
    pub(super) distances: Vec<f32>,
    pub(super) positions: Vec<i64>,
}

impl Raw {
    fn for_answers(count: usize) -> Self {
        Self { distances: vec![0.0; count], positions: vec![-1; count] }
    }
}

/// An index of FAISS. What changes it takes `&mut self`.
pub(super) struct Handle {
    table: &'static Table,
    raw: NonNull<RawIndex>,
    pub(super) shape: Shape,
}

// SAFETY: an index belongs to no thread. The bridge's functions that take it as const may be called by several threads at a time.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: it came from `create` or `read`, and nobody has it any more.
        unsafe { (self.table.destroy)(self.raw.as_ptr()) }
    }
}

impl Handle {
    /// An empty index of a factory string.
    pub(super) fn create(factory: &str, dimension: usize, metric: i32, ef_construction: u32) -> Result<Self> {
        let table = variant::faiss()?.0;
        let factory =
            CString::new(factory).map_err(|_| Error::Invalid("the factory string has a 0 in it".to_owned()))?;
        let dimension = i32::try_from(dimension).map_err(|_| Error::Invalid(format!("{dimension} dimensions")))?;
        let mut raw = ptr::null_mut();
        call("making an index", |status| {
            // SAFETY: the string ends in 0; the pointers are to values that live through the call.
            unsafe { (table.create)(factory.as_ptr(), dimension, metric, ef_construction, &raw mut raw, status) }
        })
        .map_err(|error| match error {
            Error::Library { reason, .. } => {
                let factory = factory.to_string_lossy();
                Error::Invalid(format!(
                    "the factory string '{factory}' makes no index of {dimension} dimensions: {reason}"
                ))
            }
            error => error,
        })?;
        Self::owned(table, raw)
    }

    /// The index that the callback gives the bytes of.
    pub(super) fn read(read: ffi::Read, context: *mut c_void) -> Result<Self> {
        let table = variant::faiss()?.0;
        let mut raw = ptr::null_mut();
        call("reading an index", |status| {
            // SAFETY: the caller gives a callback and what it expects.
            unsafe { (table.read)(read, context, &raw mut raw, status) }
        })?;
        Self::owned(table, raw)
    }

    fn owned(table: &'static Table, raw: *mut RawIndex) -> Result<Self> {
        let raw = NonNull::new(raw).ok_or_else(|| Error::Internal("FAISS's bridge made no index".to_owned()))?;
        let mut handle = Self { table, raw, shape: Shape::default() };
        handle.look()?;
        Ok(handle)
    }

    fn look(&mut self) -> Result<()> {
        let (table, raw, shape) = (self.table, self.raw.as_ptr(), &raw mut self.shape);
        // SAFETY: the index and the shape live through the call.
        call("looking at an index", |status| unsafe { (table.shape)(raw, shape, status) })
    }

    /// Makes room for vectors before the first one is added.
    pub(super) fn reserve(&mut self, rows: usize) -> Result<()> {
        let (table, raw) = (self.table, self.raw.as_ptr());
        // SAFETY: nobody else has the index.
        call("making room for vectors", |status| unsafe { (table.reserve)(raw, rows as u64, status) })
    }

    pub(super) fn train(&mut self, vectors: &[f32], threads: i32, stop: &StopFlag) -> Result<()> {
        let (table, raw, rows) = (self.table, self.raw.as_ptr(), self.rows_of(vectors)?);
        call("training an index", |status| {
            // SAFETY: nobody else has the index, and there are as many vectors as is said.
            unsafe { (table.train)(raw, rows, vectors.as_ptr(), threads, stop.0.as_ptr(), status) }
        })?;
        self.look()
    }

    pub(super) fn add(&mut self, vectors: &[f32], threads: i32, stop: &StopFlag) -> Result<()> {
        let (table, raw, rows) = (self.table, self.raw.as_ptr(), self.rows_of(vectors)?);
        call("adding vectors to an index", |status| {
            // SAFETY: nobody else has the index, and there are as many vectors as is said.
            unsafe { (table.add)(raw, rows, vectors.as_ptr(), threads, stop.0.as_ptr(), status) }
        })?;
        self.look()
    }

    pub(super) fn search(&self, queries: &[f32], how: &How<'_>) -> Result<Raw> {
        let rows = self.rows_of(queries)?;
        let mut found = Raw::for_answers(answers(rows, how.k)?);
        let how = Search {
            k: how.k as u64,
            ef: how.ef as u64,
            nprobe: how.nprobe as u64,
            allowed: how.allowed.map_or(ptr::null(), <[u8]>::as_ptr),
            allowed_bytes: how.allowed.map_or(0, <[u8]>::len) as u64,
            refine: how.refine,
        };
        let (distances, positions) = (found.distances.as_mut_ptr(), found.positions.as_mut_ptr());
        call("searching", |status| {
            // SAFETY: there are as many queries, and room for as many answers, as is said.
            unsafe {
                (self.table.search)(
                    self.raw.as_ptr(),
                    rows,
                    queries.as_ptr(),
                    &raw const how,
                    distances,
                    positions,
                    status,
                )
            }
        })?;
        Ok(found)
    }

    /// The nearest by comparing with these positions, or with all.
    pub(super) fn scan(&self, queries: &[f32], k: usize, among: Option<&[u32]>) -> Result<Raw> {
        let rows = self.rows_of(queries)?;
        let mut found = Raw::for_answers(answers(rows, k)?);
        let (distances, positions) = (found.distances.as_mut_ptr(), found.positions.as_mut_ptr());
        let (first, count) = among.map_or((ptr::null(), 0), |among| (among.as_ptr(), among.len() as u64));
        call("comparing vectors", |status| {
            // SAFETY: there are as many queries and positions, and room for as many answers, as is said.
            unsafe {
                let index = self.raw.as_ptr();
                (self.table.scan)(index, rows, queries.as_ptr(), k as u64, first, count, distances, positions, status)
            }
        })?;
        Ok(found)
    }

    pub(super) fn reconstruct(&self, position: u32) -> Result<Vec<f32>> {
        let mut vector = vec![0.0; self.dimension()?];
        let into = vector.as_mut_ptr();
        call("reading a vector of an index", |status| {
            // SAFETY: there is room for a vector.
            unsafe { (self.table.reconstruct)(self.raw.as_ptr(), u64::from(position), into, status) }
        })?;
        Ok(vector)
    }

    pub(super) fn write(&self, write: ffi::Write, context: *mut c_void) -> Result<()> {
        // SAFETY: the caller gives a callback and what it expects.
        call("writing an index", |status| unsafe { (self.table.write)(self.raw.as_ptr(), write, context, status) })
    }

    pub(super) fn dimension(&self) -> Result<usize> {
        let dimension = usize::try_from(self.shape.dimension).ok().filter(|dimension| *dimension > 0);
        dimension.ok_or_else(|| Error::Internal(format!("an index of {} dimensions", self.shape.dimension)))
    }

    fn rows_of(&self, vectors: &[f32]) -> Result<u64> {
        let dimension = self.dimension()?;
        if !vectors.len().is_multiple_of(dimension) {
            return Err(Error::Internal(format!("{} numbers for an index of {dimension} dimensions", vectors.len())));
        }
        Ok((vectors.len() / dimension) as u64)
    }
}

fn answers(queries: u64, k: usize) -> Result<usize> {
    let count = usize::try_from(queries).ok().and_then(|queries| queries.checked_mul(k));
    count.filter(|count| i32::try_from(*count).is_ok()).ok_or_else(|| {
        Error::Invalid(format!(
            "{queries} queries for {k} neighbours each are too many at once; send fewer queries, or a smaller k"
        ))
    })
}

/// Calls the bridge and makes an error of what it says.
fn call(doing: &'static str, work: impl FnOnce(*mut Status) -> i32) -> Result<()> {
    let mut status = Status { code: ffi::OK, message: [0; 1020] };
    let code = work(&raw mut status);
    if code == ffi::OK {
        return Ok(());
    }
    // SAFETY: the bridge ends each message in 0.
    let reason = unsafe { CStr::from_ptr(status.message.as_ptr()) }.to_string_lossy();
    let reason = without_place(&reason).to_owned();
    Err(match code {
        ffi::INVALID => Error::Invalid(reason),
        ffi::MEMORY => Error::Exhausted(format!("while {doing}: {reason}")),
        ffi::STOPPED => Error::Stopped,
        _ => Error::Library { doing, reason },
    })
}

/// FAISS's message less the place in its source, as in "Error in void f() at /some/where/Index.cpp:12: Error: 'n > 0' failed: no vectors".
fn without_place(message: &str) -> &str {
    let after = message.split_once(".cpp:").or_else(|| message.split_once(".h:"));
    after.and_then(|(_, rest)| rest.split_once(": ")).map_or(message, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_no_paths() {
        let message = "Error in void f() at /some/where/Index.cpp:12: Error: 'n > 0' failed: no vectors";
        assert_eq!(without_place(message), "Error: 'n > 0' failed: no vectors");
        assert_eq!(without_place("there was not enough memory"), "there was not enough memory");
        let error = Handle::create("PQ3", 8, ffi::L2, 0).err().unwrap();
        assert!(
            error.to_string().starts_with("the factory string 'PQ3' makes no index of 8 dimensions: Error"),
            "{error}"
        );
    }
}
