//! Index files: what FAISS writes, and after it how long it is and its checksum. FAISS's own readers stop before that, so other programs can read the files.
//!
//! FAISS trusts what it reads: a length in a damaged file makes it ask for that much memory, a wrong link makes it read past the end. So it is given a file
//! only when its checksum is right.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write},
    path::Path,
    slice,
};

use super::handle::Handle;
use crate::{Error, Result};

/// Begins what is after FAISS's bytes.
const MAGIC: &[u8; 8] = b"SKEINIX1";
/// The magic, the length of FAISS's bytes (8 bytes, little endian) and their CRC-32 (4 bytes).
const TRAILER: usize = 8 + 8 + 4;
const BUFFER: usize = 1 << 20;

/// Writes the index to a new file, synced to the disk.
pub(super) fn write(handle: &Handle, path: &Path) -> Result<()> {
    let failed = |source| Error::Local { doing: "writing", path: path.to_owned(), source };
    let file = BufWriter::with_capacity(BUFFER, File::create(path).map_err(failed)?);
    let mut sink = Sink { file, checksum: crc32fast::Hasher::new(), length: 0, error: None };
    let written = handle.write(take, (&raw mut sink).cast());
    if let Some(error) = sink.error {
        return Err(failed(error));
    }
    written?;
    let mut finish = || {
        sink.file.write_all(MAGIC)?;
        sink.file.write_all(&sink.length.to_le_bytes())?;
        sink.file.write_all(&sink.checksum.clone().finalize().to_le_bytes())?;
        sink.file.flush()?;
        sink.file.get_ref().sync_all()
    };
    finish().map_err(failed)
}

/// The index of a file.
pub(super) fn read(path: &Path) -> Result<Handle> {
    let failed = |source| Error::Local { doing: "reading", path: path.to_owned(), source };
    let damaged = |reason| Error::Damaged { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(failed)?;
    let length = checked(&mut file).map_err(failed)?.map_err(damaged)?;
    file.rewind().map_err(failed)?;
    let mut source = Source { file: BufReader::with_capacity(BUFFER, file), left: length, error: None };
    let read = Handle::read(give, (&raw mut source).cast());
    if let Some(error) = source.error {
        return Err(match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it ends before the index does".to_owned()),
            _ => failed(error),
        });
    }
    let handle = read?;
    if source.left > 0 {
        return Err(damaged(format!("{} bytes are left after the index", source.left)));
    }
    Ok(handle)
}

/// How many bytes are FAISS's, when the checksum of them is right; what is wrong else.
fn checked(file: &mut File) -> io::Result<Result<u64, String>> {
    let whole = file.seek(SeekFrom::End(0))?;
    let Some(length) = whole.checked_sub(TRAILER as u64) else {
        return Ok(Err(format!("its {whole} bytes are less than any index has")));
    };
    let mut trailer = [0; TRAILER];
    file.seek(SeekFrom::Start(length))?;
    file.read_exact(&mut trailer)?;
    if !trailer.starts_with(MAGIC) || trailer[8..16] != length.to_le_bytes() {
        return Ok(Err("it does not end as an index does; it was cut off, or is another kind of file".to_owned()));
    }
    file.rewind()?;
    let mut checksum = crc32fast::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut bytes = file.take(length);
    loop {
        match bytes.read(&mut buffer)? {
            0 => break,
            count => checksum.update(&buffer[..count]),
        }
    }
    if checksum.finalize().to_le_bytes() != trailer[16..] {
        return Ok(Err("its checksum is wrong".to_owned()));
    }
    Ok(Ok(length))
}

struct Sink {
    file: BufWriter<File>,
    checksum: crc32fast::Hasher,
    length: u64,
    error: Option<io::Error>,
}

/// Called by FAISS with the next bytes of an index; not 0 when they could not be written.
unsafe extern "C" fn take(context: *mut c_void, bytes: *const c_void, size: u64) -> i32 {
    // SAFETY: `write` gives a sink that lives through the call, and FAISS as many bytes as it says.
    let (sink, bytes) = unsafe {
        let Ok(size) = usize::try_from(size) else { return 1 };
        (&mut *context.cast::<Sink>(), slice::from_raw_parts(bytes.cast::<u8>(), size))
    };
    sink.checksum.update(bytes);
    sink.length += size;
    match sink.file.write_all(bytes) {
        Ok(()) => 0,
        Err(error) => {
            sink.error = Some(error);
            1
        }
    }
}

struct Source {
    file: BufReader<File>,
    left: u64,
    error: Option<io::Error>,
}

/// Called by FAISS for the next bytes of an index; not 0 when there are none.
unsafe extern "C" fn give(context: *mut c_void, bytes: *mut c_void, size: u64) -> i32 {
    // SAFETY: `read` gives a source that lives through the call.
    let source = unsafe { &mut *context.cast::<Source>() };
    let (Some(left), Ok(length)) = (source.left.checked_sub(size), usize::try_from(size)) else {
        source.error = Some(io::ErrorKind::UnexpectedEof.into());
        return 1;
    };
    // SAFETY: FAISS has room for as many bytes as it says; they are set before they are looked at.
    let bytes = unsafe {
        bytes.cast::<u8>().write_bytes(0, length);
        slice::from_raw_parts_mut(bytes.cast::<u8>(), length)
    };
    source.left = left;
    match source.file.read_exact(bytes) {
        Ok(()) => 0,
        Err(error) => {
            source.error = Some(error);
            1
        }
    }
}
