//! Reads `model.safetensors`: an 8-byte length, a JSON header with name, type, shape and place of each tensor, then the data
//! (<https://github.com/huggingface/safetensors>).
//!
//! The file is read once from front to back, not mapped: a mapped file that somebody shortens would end the process, and the tensors are copied in any
//! case. On the way it is hashed.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read},
};

use candle_core::{DType, Device, Tensor};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use sha2::{Digest, Sha256};

use super::folder::Folder;
use crate::Result;

/// The file's name.
pub(super) const FILE: &str = "model.safetensors";
/// The longest header that is read, the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The tensors of a model by name, as 32-bit floats.
pub(super) struct Weights<'a> {
    folder: &'a Folder,
    tensors: HashMap<String, Tensor>,
    /// What stands before all names, such as `bert.`, where the encoder is part of a larger model.
    prefix: String,
}

impl<'a> Weights<'a> {
    /// Reads all tensors of floats, and puts the whole file into `hash`.
    pub fn read(folder: &'a Folder, hash: &mut Sha256) -> Result<Self> {
        let fail = |reason: String| folder.fail(FILE, reason);
        let file = File::open(folder.path.join(FILE)).map_err(|error| fail(error.to_string()))?;
        let length = file.metadata().map_err(|error| fail(error.to_string()))?.len();
        let mut reader = Hashing { inner: BufReader::with_capacity(1 << 20, file), hash };
        let header = header(folder, &mut reader, length)?;
        let mut tensors = HashMap::new();
        for name in header.offset_keys() {
            let Some(info) = header.info(&name) else { continue };
            let bytes = vec_of(&mut reader, info)
                .map_err(|error| fail(format!("tensor '{name}': {error}; the file is cut off")))?;
            if let Some(tensor) = float(info, &bytes).map_err(|error| fail(format!("tensor '{name}': {error}")))? {
                tensors.insert(name, tensor);
            }
        }
        let prefix = prefix(&tensors);
        Ok(Self { folder, tensors, prefix })
    }

    /// Takes out a tensor, which has to have this shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let full = format!("{}{name}", self.prefix);
        let tensor = self.tensors.remove(&full).or_else(|| self.tensors.remove(&old_name(&full)));
        let tensor =
            tensor.ok_or_else(|| self.folder.fail(FILE, format!("tensor '{full}' of shape {shape:?} is missing")))?;
        if tensor.dims() != shape {
            let reason = format!("tensor '{full}' has the shape {:?}; config.json makes it {shape:?}", tensor.dims());
            return Err(self.folder.fail(FILE, reason));
        }
        Ok(tensor)
    }
}

/// Models from TensorFlow have other names for the two vectors of a layer norm.
fn old_name(name: &str) -> String {
    match (name.strip_suffix("LayerNorm.weight"), name.strip_suffix("LayerNorm.bias")) {
        (Some(start), _) => format!("{start}LayerNorm.gamma"),
        (_, Some(start)) => format!("{start}LayerNorm.beta"),
        _ => String::new(),
    }
}

fn prefix(tensors: &HashMap<String, Tensor>) -> String {
    const MARK: &str = "embeddings.word_embeddings.weight";
    tensors
        .keys()
        .filter_map(|name| name.strip_suffix(MARK))
        .min_by_key(|prefix| prefix.len())
        .unwrap_or_default()
        .to_owned()
}

/// The header, checked against the file's length, so that nothing is allocated that the file cannot fill.
fn header(folder: &Folder, reader: &mut impl Read, length: u64) -> Result<Metadata> {
    let fail = |reason: String| folder.fail(FILE, reason);
    let mut size = [0; 8];
    reader.read_exact(&mut size).map_err(|_| fail(format!("it has {length} bytes, too few for a safetensors file")))?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER_BYTES || size > length - 8 {
        return Err(fail(format!(
            "its header claims {size} bytes, and the file has {length}; it is cut off or no safetensors file"
        )));
    }
    let mut json = vec![0; usize::try_from(size).map_err(|error| fail(error.to_string()))?];
    reader.read_exact(&mut json).map_err(|error| fail(error.to_string()))?;
    let header: Metadata =
        serde_json::from_slice(&json).map_err(|error| fail(format!("its header cannot be read: {error}")))?;
    let wanted = u64::try_from(header.data_len()).unwrap_or(u64::MAX);
    if wanted != length - 8 - size {
        return Err(fail(format!(
            "its tensors take {wanted} bytes, and the file has {} for them; it is cut off or damaged",
            length - 8 - size
        )));
    }
    Ok(header)
}

fn vec_of(reader: &mut impl Read, info: &TensorInfo) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The tensor as 32-bit floats; None for integers, such as the position ids that old exports carry along.
fn float(info: &TensorInfo, bytes: &[u8]) -> candle_core::Result<Option<Tensor>> {
    let dtype = match info.dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F64 => DType::F64,
        _ => return Ok(None),
    };
    Tensor::from_raw_buffer(bytes, dtype, &info.shape, &Device::Cpu)?.to_dtype(DType::F32).map(Some)
}

/// Hashes what is read through it.
struct Hashing<'a, R> {
    inner: R,
    hash: &'a mut Sha256,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
