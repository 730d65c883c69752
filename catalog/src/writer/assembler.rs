//! Puts encoded columns together to row groups and files, and sends those to the bucket.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::{
    arrow::arrow_writer::ArrowColumnChunk,
    file::{metadata::ParquetMetaData, properties::WriterPropertiesPtr, writer::SerializedFileWriter},
    schema::types::TypePtr,
};
use skein_model::FileId;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
};

use super::{WriteError, WriterOptions, lane::Shared, sink::Sink, stats::file_columns, upload::Upload};
use crate::{DataFile, Dataset, crash};

/// What an assembler is asked to do.
pub(super) enum Command {
    /// Add a row group, whose columns the lanes are about to finish. The permit lets the next one begin.
    RowGroup { chunks: Vec<oneshot::Receiver<Vec<ArrowColumnChunk>>>, rows: u64, permit: OwnedSemaphorePermit },
    /// Close the last file and say what was written.
    Finish(oneshot::Sender<Written>),
}

/// What all files of a writer have in common.
pub(super) struct Layout {
    pub(super) dataset: Dataset,
    pub(super) schema: SchemaRef,
    pub(super) schema_id: u32,
    pub(super) parquet: TypePtr,
    pub(super) properties: WriterPropertiesPtr,
    pub(super) options: WriterOptions,
}

type FileWriter = SerializedFileWriter<Sink>;

/// The file under way.
struct OpenFile {
    id: FileId,
    writer: FileWriter,
    upload: Upload,
    rows: u64,
}

/// Row groups a Parquet file can have (their number is 16 bits wide).
const MAX_ROW_GROUPS: usize = 32_000;

/// Does what it is told until it is told to finish. When the commands end without that, the writer was dropped: all
/// that was written is removed.
pub(super) async fn run(layout: Layout, mut commands: mpsc::Receiver<Command>, shared: Arc<Shared>) {
    let mut files = Files { layout, open: None, done: Vec::new() };
    while let Some(command) = commands.recv().await {
        let outcome = match command {
            _ if shared.is_cancelled() => break,
            Command::RowGroup { chunks, rows, permit } => {
                let outcome = files.row_group(chunks, rows).await;
                drop(permit);
                outcome
            }
            Command::Finish(answer) => match files.close().await {
                // If nobody waits for it any more, the answer removes the files itself.
                Ok(()) => return drop(answer.send(files.written())),
                Err(error) => Err(error),
            },
        };
        if let Err(error) = outcome {
            shared.fail(error);
            break;
        }
    }
    files.discard().await;
}

/// The finished files on their way to the caller. When the caller goes away before it takes them, be it while they wait
/// in the channel, nobody knows of them any more: they are removed in the background.
pub(super) struct Written {
    dataset: Dataset,
    files: Vec<DataFile>,
    runtime: Handle,
}

impl Written {
    /// Hands the files over.
    pub(super) fn take(mut self) -> Vec<DataFile> {
        std::mem::take(&mut self.files)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.files.is_empty() {
            let (dataset, files) = (self.dataset.clone(), std::mem::take(&mut self.files));
            self.runtime.spawn(async move { super::remove_files(&dataset, &files).await });
        }
    }
}

struct Files {
    layout: Layout,
    open: Option<OpenFile>,
    done: Vec<DataFile>,
}

impl Files {
    async fn row_group(
        &mut self,
        chunks: Vec<oneshot::Receiver<Vec<ArrowColumnChunk>>>,
        rows: u64,
    ) -> Result<(), WriteError> {
        let mut leaves = Vec::new();
        for lane in chunks {
            leaves.extend(lane.await.map_err(|_| WriteError::Stopped("a column was not encoded".to_owned()))?);
        }
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.start_file()?,
        };
        let (writer, parts) = blocking(move || append(file.writer, leaves)).await?;
        file.writer = writer;
        file.rows += rows;
        // Not the sink's count: the library keeps some bytes back.
        let enough = file.writer.bytes_written() as u64 >= self.layout.options.target_file_bytes
            || file.writer.flushed_row_groups().len() >= MAX_ROW_GROUPS;
        let file = self.open.insert(file);
        for part in parts {
            file.upload.put_part(part).await?;
        }
        if enough { self.close().await } else { Ok(()) }
    }

    fn start_file(&self) -> Result<OpenFile, WriteError> {
        let id = FileId::generate();
        let options = &self.layout.options;
        let key = self.layout.dataset.data_key(id);
        let upload = Upload::new(self.layout.dataset.bucket().clone(), key, options.parts_in_flight());
        let sink = Sink::new(options.part_bytes());
        let writer = FileWriter::new(sink, self.layout.parquet.clone(), Arc::clone(&self.layout.properties))?;
        Ok(OpenFile { id, writer, upload, rows: 0 })
    }

    /// Ends the file under way, if there is one.
    async fn close(&mut self) -> Result<(), WriteError> {
        let Some(OpenFile { id, writer, mut upload, rows }) = self.open.take() else { return Ok(()) };
        let Finished { parts, rest, bytes, sha256, metadata } = match blocking(move || finish(writer)).await {
            Ok(finished) => finished,
            Err(error) => {
                upload.abort().await;
                return Err(error);
            }
        };
        if let Err(error) = send(&mut upload, parts, rest).await {
            upload.abort().await;
            return Err(error);
        }
        crash::point("file", "written");
        self.done.push(DataFile {
            id,
            rows,
            bytes,
            sha256,
            row_groups: u32::try_from(metadata.num_row_groups()).unwrap_or(u32::MAX),
            columns: file_columns(&self.layout.schema, &metadata),
            schema_id: self.layout.schema_id,
            deletes: None,
        });
        Ok(())
    }

    fn written(self) -> Written {
        Written { dataset: self.layout.dataset, files: self.done, runtime: Handle::current() }
    }

    async fn discard(self) {
        if let Some(file) = self.open {
            file.upload.abort().await;
        }
        super::remove_files(&self.layout.dataset, &self.done).await;
    }
}

async fn send(upload: &mut Upload, parts: Vec<Bytes>, rest: Bytes) -> Result<(), WriteError> {
    for part in parts {
        upload.put_part(part).await?;
    }
    upload.complete(rest).await
}

/// Appends a row group; returns the parts that it filled. Chunks are freed one by one as they are copied.
fn append(mut writer: FileWriter, leaves: Vec<ArrowColumnChunk>) -> Result<(FileWriter, Vec<Bytes>), WriteError> {
    let mut group = writer.next_row_group()?;
    for leaf in leaves {
        leaf.append_to_row_group(&mut group)?;
    }
    group.close()?;
    let parts = writer.inner_mut().take_full();
    Ok((writer, parts))
}

struct Finished {
    parts: Vec<Bytes>,
    rest: Bytes,
    bytes: u64,
    sha256: String,
    metadata: ParquetMetaData,
}

fn finish(mut writer: FileWriter) -> Result<Finished, WriteError> {
    let metadata = writer.finish()?;
    let sink = writer.inner_mut();
    let parts = sink.take_full();
    let (rest, sha256) = sink.finish();
    Ok(Finished { parts, rest, bytes: sink.written(), sha256, metadata })
}

/// Runs work that takes the processor for a while away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    let ended = |error| WriteError::Stopped(format!("a task that assembles a file ended: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}
