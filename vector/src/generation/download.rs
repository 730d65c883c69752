//! Objects of a generation as local files, which nobody sees before their checksum is found right.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use object_store::{Error as StoreError, GetResult, ObjectStoreExt, path::Path as Key};
use skein_model::{ErrorKind, FileId, Kind};
use skein_storage::Bucket;

use super::{
    Written,
    chunks::{Reader, Writer, local},
    damaged,
    upload::store_error,
};
use crate::{Error, Result};

/// Bytes that are gathered before they are written.
const PIECE: usize = 4 << 20;
/// How often a download that breaks is begun.
const ATTEMPTS: u32 = 3;

/// The object as the file `to`: what is there is used, if its checksum is right, and otherwise replaced.
pub(super) async fn local_copy(bucket: &Bucket, key: &str, written: &Written, to: &Path) -> Result<()> {
    if is_good(to, written).await {
        return Ok(());
    }
    let mut attempt = 1;
    loop {
        match once(bucket, key, written, to).await {
            // A part of an object may be a broken connection.
            Err(error) if is_passing(&error) && attempt < ATTEMPTS => {
                tracing::warn!(bucket = bucket.name(), key, %error, attempt, "a download is begun again");
                tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                attempt += 1;
            }
            Err(Error::Catalog(skein_catalog::Error::Storage(error))) if error.kind() == ErrorKind::Corrupt => {
                return Err(damaged(bucket, key, &error.to_string()));
            }
            outcome => return outcome,
        }
    }
}

/// A failure of the store that another try may get over. That the bytes are others than were written is none.
fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Catalog(_)) && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt)
}

/// Whether a file is there and has the right bytes: a machine that lost its power may have kept a name without them.
async fn is_good(path: &Path, written: &Written) -> bool {
    let Ok((mut reader, size)) = Reader::open(path).await else { return false };
    if size != written.bytes {
        return false;
    }
    loop {
        match reader.next(PIECE as u64).await {
            Ok(piece) if piece.is_empty() => break,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    reader.finish().is_ok_and(|found| found == *written)
}

async fn once(bucket: &Bucket, key: &str, written: &Written, to: &Path) -> Result<()> {
    let result = match bucket.store().get(&Key::from(key)).await {
        Ok(result) => result,
        Err(StoreError::NotFound { .. }) => return Err(damaged(bucket, key, "it is gone")),
        Err(source) => return Err(store_error(bucket, "get", key, source)),
    };
    let size =
        |bytes: u64| damaged(bucket, key, &format!("it is {bytes} bytes long, and {} were written", written.bytes));
    if result.meta.size != written.bytes {
        return Err(size(result.meta.size));
    }
    let mut writer = Writer::create(unfinished(to)).await?;
    copy(result, &mut writer).await.map_err(|failure| match failure {
        Failure::Store(source) => store_error(bucket, "get", key, source),
        Failure::Local(error) => error,
    })?;
    if writer.bytes() != written.bytes {
        return Err(size(writer.bytes()));
    }
    if writer.sha256()? != written.sha256 {
        return Err(damaged(bucket, key, "its bytes are not those that were written"));
    }
    writer.place(to.to_owned()).await
}

enum Failure {
    Store(StoreError),
    Local(Error),
}

async fn copy(result: GetResult, writer: &mut Writer) -> Result<(), Failure> {
    let mut body = result.into_stream();
    let (mut pieces, mut held): (Vec<Bytes>, usize) = (Vec::new(), 0);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(Failure::Store)?;
        held += piece.len();
        pieces.push(piece);
        if held >= PIECE {
            writer.write(std::mem::take(&mut pieces)).await.map_err(Failure::Local)?;
            held = 0;
        }
    }
    writer.write(pieces).await.map_err(Failure::Local)
}

/// A name beside a file's own that no other download has.
fn unfinished(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{}.part", FileId::generate()));
    name.into()
}

/// Removes a folder of local copies; that it is not there is no error.
pub(super) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(local("removing", folder, error)),
        _ => Ok(()),
    }
}
