//! Files in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use skein_catalog::{Actor, At, Catalog, ColumnNotes, Dataset, Snapshot, column_notes, with_column_notes};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::instrument;

use crate::{
    BoxError, Error, FileOptions, IngestMode, IngestReport, IngestTarget, Progress, Result, body,
    format::{self, Decoded, Emitter, Event, Source, Work},
    load::Load,
    rejects::Rejects,
    target,
};

/// The bytes of a file as they arrive. To choose the kind of error the ingest ends with, end it with a
/// [`crate::SourceError`].
pub type ByteStream = BoxStream<'static, Result<Bytes, BoxError>>;

/// Pieces of work that may wait between the thread that splits the file and the threads that decode it.
const QUEUE: usize = 2;
/// How often progress is told before there are rows.
const TICK: Duration = Duration::from_millis(250);

/// Puts a file into a table: one commit, at the end.
///
/// Format and compression are told by content. The idempotency key is `sha256:` and the SHA-256 of the bytes as sent,
/// unless `force` is set. Columns of CSV and JSON that are appended to a table are read as the table's types; those of a
/// new table have the types that a sample of the rows suggests.
///
/// # Errors
/// As [`crate::ingest_batches`], and when the file cannot be read: the message names the file, the line, the column, the
/// value and the reason as far as they exist.
#[instrument(skip_all, fields(table = %target.name, mode = ?target.mode))]
pub async fn ingest_file(
    catalog: &Catalog,
    target: IngestTarget,
    body: ByteStream,
    options: FileOptions,
    actor: &Actor,
    progress: watch::Sender<Progress>,
) -> Result<IngestReport> {
    let existing = target::look_up(catalog, &target).await?;
    let known = known_columns(&target, existing.as_ref()).await?;
    let (parallelism, force, writer) = (options.limits.parallelism.max(1), options.force, options.writer.clone());
    let received = Arc::new(AtomicU64::new(0));
    let (reader, pump) = body::start(body, Arc::clone(&received));
    let mut run = Run::start(reader, Source { file: options.file_name.clone(), options, known });

    let schema = run.schema(&progress, &received).await?;
    let load = Load::begin(catalog, target, existing, &schema, writer, actor).await?;
    let mut transfer = Transfer { rejects: Rejects::new(load.bucket()), load, progress, received };
    if let Err(error) = transfer.all(&mut run, parallelism).await {
        return Err(transfer.load.abort(error).await);
    }
    let hash = match pump.await {
        Ok(Ok(hash)) => hash,
        Ok(Err(error)) => return Err(transfer.load.abort(error).await),
        Err(error) => return Err(transfer.load.abort(Error::Internal(error.to_string())).await),
    };
    transfer.finish((!force).then(|| format!("sha256:{hash}"))).await
}

/// The columns of the table that rows are appended to.
async fn known_columns(target: &IngestTarget, existing: Option<&Dataset>) -> Result<Option<SchemaRef>> {
    match existing {
        Some(dataset) if target.mode != IngestMode::Replace => {
            let snapshot = dataset.snapshot(At::Latest).await?;
            Ok(Some(with_defaults(&snapshot)))
        }
        _ => Ok(None),
    }
}

/// The columns with what tells of their defaults, but without ids.
fn with_defaults(snapshot: &Snapshot) -> SchemaRef {
    let plain = snapshot.arrow_schema();
    let fields = plain.fields().iter().zip(snapshot.schema.fields()).map(|(plain, stored)| {
        let notes = ColumnNotes { default: column_notes(stored).default, ..ColumnNotes::default() };
        with_column_notes(plain, &notes)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), plain.metadata().clone()))
}

/// The thread that reads and splits the file, and what comes from it.
struct Run {
    file: String,
    events: mpsc::Receiver<Event>,
    thread: AbortOnDropHandle<Result<()>>,
}

impl Run {
    fn start(reader: body::BodyReader, source: Source) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let file = source.file.clone();
        let thread = tokio::task::spawn_blocking(move || format::run(reader, source, &Emitter::new(sender)));
        Self { file, events, thread: AbortOnDropHandle::new(thread) }
    }

    /// The first thing that comes is the schema, or nothing but an error. It can take long, because some formats are
    /// received whole before.
    async fn schema(&mut self, progress: &watch::Sender<Progress>, received: &AtomicU64) -> Result<SchemaRef> {
        let mut tick = tokio::time::interval(TICK);
        let event = loop {
            tokio::select! {
                event = self.events.recv() => break event,
                _ = tick.tick() => {
                    progress.send_replace(Progress { rows: 0, bytes: received.load(Ordering::Relaxed) });
                }
            }
        };
        match event {
            Some(Event::Schema(schema)) => Ok(schema),
            Some(Event::Work(_)) => Err(Error::Internal("rows came before their columns".to_owned())),
            None => Err(self.outcome().await.err().unwrap_or_else(|| Error::Internal("no columns came".to_owned()))),
        }
    }

    async fn outcome(&mut self) -> Result<()> {
        (&mut self.thread).await.map_err(|error| Error::from_join(&self.file, error))?
    }
}

/// Decoded rows on their way to the writer.
struct Transfer<'a> {
    load: Load<'a>,
    rejects: Rejects,
    progress: watch::Sender<Progress>,
    received: Arc<AtomicU64>,
}

impl Transfer<'_> {
    /// Decodes `parallelism` pieces at a time and writes them in the order of the file.
    async fn all(&mut self, run: &mut Run, parallelism: usize) -> Result<()> {
        {
            let Run { file, events, .. } = &mut *run;
            let work = futures::stream::poll_fn(|context| events.poll_recv(context));
            let mut decoded = std::pin::pin!(work.map(|event| decode(event, file)).buffered(parallelism));
            while let Some(piece) = decoded.next().await {
                self.piece(piece?).await?;
            }
        }
        run.outcome().await
    }

    async fn piece(&mut self, piece: Decoded) -> Result<()> {
        self.rejects.add(piece.rejects).await?;
        for batch in piece.batches {
            self.load.write(batch).await?;
        }
        self.progress.send_replace(Progress { rows: self.load.rows(), bytes: self.received.load(Ordering::Relaxed) });
        Ok(())
    }

    async fn finish(self, key: Option<String>) -> Result<IngestReport> {
        let bytes = self.received.load(Ordering::Relaxed);
        // A repetition repeats the rejects, too.
        if let Some(key) = &key
            && let Some(mut report) = self.load.find_duplicate(key).await?
        {
            report.bytes = bytes;
            self.load.discard().await;
            return Ok(report);
        }
        // Before the commit, so that a report never points at a list that is not there.
        let (skipped_rows, rejects, rejects_key) = match self.rejects.finish().await {
            Ok(done) => done,
            Err(error) => return Err(self.load.abort(error).await),
        };
        let bucket = self.load.bucket().clone();
        match self.load.finish(key, bytes).await {
            Ok(report) => Ok(IngestReport { skipped_rows, rejects, rejects_key, ..report }),
            Err(error) => {
                // Nothing of a failed ingest stays; only when it may have been committed the list belongs to it.
                let unknown = matches!(error, Error::Catalog(skein_catalog::Error::CommitUnknown { .. }));
                if let Some(key) = rejects_key.filter(|_| !unknown)
                    && let Err(error) = bucket.delete(&key).await
                {
                    tracing::warn!(bucket = bucket.name(), key, %error, "the rejected rows of a failed ingest stay");
                }
                Err(error)
            }
        }
    }
}

async fn decode(event: Event, file: &str) -> Result<Decoded> {
    let work: Work = match event {
        Event::Work(work) => work,
        Event::Schema(_) => return Err(Error::Internal("columns came twice".to_owned())),
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::from_join(file, error))?
}
