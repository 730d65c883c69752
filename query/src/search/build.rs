//! Builds a generation of an index from one snapshot of its dataset.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::UInt32Type,
};
use datafusion::{catalog::TableProvider, execution::TaskContext, physical_plan::execute_stream};
use futures::TryStreamExt;
use rand::{Rng, SeedableRng, rngs::StdRng};
use skein_catalog::{At, Dataset, crash};
use skein_model::{FileId, GenerationId};
use skein_vector::{
    IndexKind, IndexSpec, Metric, SearchParams, Selection, VectorIndex as _,
    definition::{ColumnRef, Definition},
    faiss::{self, Builder, FaissIndex},
    generation::{GenerationKey, Generations, Library, NewGeneration, RecallPoint, RowMap, RowMapBuilder},
};
use tokio::{sync::mpsc, task::JoinError};

use super::{
    Loaded,
    indexes::{self, Searched},
    progress::{Phase, Progress},
    vectors::{self, Vectors},
};
use crate::{
    Engine, Error, Result,
    scan::{PositionedTable, SnapshotTable},
};

/// Batches that wait for the index.
const AHEAD: usize = 4;
/// Vectors that stand in for queries when recall is measured, and how many neighbours of each are looked for.
const PROBES: usize = 100;
const PROBE_K: usize = 10;
/// Vectors that are added to an index at a time: graphs are built faster from large pieces.
const AT_ONCE: usize = 16 << 10;
/// The same vectors are drawn each time.
const SEED: u64 = 0x5EED;

/// What a build reads and makes.
pub(super) struct Plan {
    pub(super) table: SnapshotTable,
    pub(super) column: usize,
    pub(super) dimension: usize,
    pub(super) spec: IndexSpec,
    pub(super) rows: usize,
}

impl Plan {
    /// Of the vectors of a column. `owner` is whose column it is, for the error when it is there no more.
    pub(super) fn new(table: SnapshotTable, column: &ColumnRef, spec: IndexSpec, owner: &str) -> Result<Self> {
        let column = indexed_column(column, &table, owner)?;
        let field = table.columns().field(column);
        let dimension = vectors::dimension(field.data_type()).ok_or_else(|| {
            let (name, found) = (field.name(), field.data_type());
            Error::Invalid(format!("column '{name}' is of type {found} now, which holds no vectors of one length"))
        })?;
        let rows = table.rows().unwrap_or_default();
        Ok(Self { table, column, dimension, spec, rows })
    }
}

/// Where a column is by now. `owner` is whose column it is, for the error when it is there no more.
pub(super) fn indexed_column(column: &ColumnRef, table: &SnapshotTable, owner: &str) -> Result<usize> {
    table
        .column_of_field(column.field_id)
        .ok_or_else(|| Error::Invalid(format!("column '{}' of {owner} was dropped; drop that, too", column.name)))
}

/// An index that was built, and lies in a file.
pub(super) struct Made {
    pub(super) index: Searched,
    pub(super) rows: Arc<RowMap>,
    /// Rows that are left out.
    pub(super) nulls: u64,
    /// Numbers per vector, if it is one of vectors.
    pub(super) dimension: usize,
    pub(super) factory: String,
    pub(super) library: Library,
    pub(super) recall: Vec<RecallPoint>,
}

/// A vector index that was built, and whose rows are at its positions.
pub(super) struct Built {
    pub(super) index: FaissIndex,
    pub(super) factory: String,
    pub(super) rows: Arc<RowMap>,
    nulls: u64,
}

/// Vectors of some rows of one file.
pub(super) struct Piece {
    pub(super) file: FileId,
    file_rows: u64,
    pub(super) rows: Vec<u32>,
    pub(super) vectors: Vec<f32>,
    pub(super) nulls: u64,
}

impl Engine {
    /// Builds a generation of an index from the newest version of its dataset, and stores it. It is not live yet.
    pub(super) async fn build_generation(
        &self,
        index: &Definition,
        dataset: Dataset,
        by: &str,
        progress: &Arc<Progress>,
    ) -> Result<GenerationId> {
        let begun = Instant::now();
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset.clone(), &snapshot, self.snapshots())?;
        let scratch = Scratch::new(self.indexes().folder())?;
        let made = match &index.spec.words {
            Some(words) => self.build_words(index, words, table, &scratch.0, progress).await?,
            None => self.build_vectors(index, table, &scratch.0, progress).await?,
        };
        progress.enter(Phase::Storing, 0);
        let key = GenerationKey { dataset: dataset.id(), index: index.id, generation: GenerationId::generate() };
        let new = NewGeneration {
            key,
            dataset_version: snapshot.version,
            field_id: index.column.field_id,
            dimension: u32::try_from(made.dimension).unwrap_or(u32::MAX),
            factory: made.factory,
            spec: index.spec.clone(),
            library: made.library,
            nulls: made.nulls,
            build_seconds: begun.elapsed().as_secs_f64(),
            memory_bytes: made.index.memory_bytes(),
            recall: made.recall,
            created_by: by.to_owned(),
            created_at: self.catalog().options().clock.now(),
        };
        crash::point("index", "built");
        let generations = Generations::new(dataset.bucket().clone());
        let manifest = generations.write(new, &scratch.0, &made.rows).await?;
        let loaded = Loaded { name: index.name.clone(), manifest, rows: made.rows, index: made.index };
        self.indexes().keep(loaded).await;
        Ok(key.generation)
    }

    async fn build_vectors(
        &self,
        index: &Definition,
        table: SnapshotTable,
        file: &Path,
        progress: &Arc<Progress>,
    ) -> Result<Made> {
        let plan = Plan::new(table, &index.column, index.spec.clone(), &format!("index '{}'", index.name))?;
        let built = self.build_in_memory(&plan, progress).await?;
        progress.enter(Phase::Measuring, 0);
        let (kind, file) = (plan.spec.kind, file.to_owned());
        let (built, recall) = blocking(move || {
            let recall = recall(&built.index, kind)?;
            built.index.write(&file)?;
            Ok((built, recall))
        })
        .await?;
        Ok(Made {
            dimension: plan.dimension,
            factory: built.factory,
            library: Library { name: "faiss".to_owned(), version: faiss::version()?.to_owned() },
            rows: built.rows,
            nulls: built.nulls,
            recall,
            index: Searched::Vectors(Box::new(built.index)),
        })
    }

    /// Builds an index, and stores nothing.
    pub(super) async fn build_in_memory(&self, plan: &Plan, progress: &Arc<Progress>) -> Result<Built> {
        self.indexes().check_room(faiss::estimate(&plan.spec, plan.dimension, plan.rows)?)?;
        let builder = Builder::new(plan.spec.clone(), plan.dimension, plan.rows, self.config().target_partitions)?;
        progress.stops(builder.stopper());
        let sample = self.sample(plan, builder.training_rows(), progress).await?;
        self.fill(plan, builder, sample, progress).await
    }

    /// Vectors to train with, drawn evenly from all (algorithm R: Vitter, 1985).
    async fn sample(&self, plan: &Plan, wanted: usize, progress: &Arc<Progress>) -> Result<Vec<f32>> {
        let mut sample = Vec::new();
        if wanted == 0 {
            return Ok(sample);
        }
        progress.enter(Phase::Sampling, plan.rows as u64);
        let (mut seen, mut noise) = (0_usize, StdRng::seed_from_u64(SEED));
        let mut reader = self.reader(plan).await?;
        while let Some(piece) = reader.next().await? {
            progress.add(piece.rows.len() as u64 + piece.nulls)?;
            for vector in piece.vectors.chunks_exact(plan.dimension) {
                seen += 1;
                if seen <= wanted {
                    sample.extend_from_slice(vector);
                    continue;
                }
                let at = noise.random_range(0..seen);
                if at < wanted {
                    sample[at * plan.dimension..(at + 1) * plan.dimension].copy_from_slice(vector);
                }
            }
        }
        Ok(sample)
    }

    /// Trains an index, and adds all vectors.
    async fn fill(
        &self,
        plan: &Plan,
        mut builder: Builder,
        sample: Vec<f32>,
        progress: &Arc<Progress>,
    ) -> Result<Built> {
        let (sender, mut pieces) = mpsc::channel::<Piece>(AHEAD);
        let (rows, dimension, shown) = (plan.rows as u64, plan.dimension, Arc::clone(progress));
        let work = tokio::task::spawn_blocking(move || {
            if !sample.is_empty() {
                shown.enter(Phase::Training, 0);
                builder.train(&sample)?;
                drop(sample);
            }
            shown.enter(Phase::Building, rows);
            let (mut places, mut nulls, mut file) = (RowMapBuilder::new(), 0, None);
            let mut waiting: Vec<f32> = Vec::new();
            while let Some(piece) = pieces.blocking_recv() {
                if file != Some(piece.file) {
                    places.file(piece.file, piece.file_rows)?;
                    file = Some(piece.file);
                }
                waiting.extend(piece.vectors);
                if waiting.len() >= AT_ONCE * dimension {
                    builder.add(&waiting)?;
                    waiting.clear();
                }
                let count = piece.rows.len() as u64 + piece.nulls;
                places.add(piece.rows)?;
                nulls += piece.nulls;
                shown.add(count)?;
            }
            if !waiting.is_empty() {
                builder.add(&waiting)?;
            }
            let factory = builder.factory().to_owned();
            Ok::<_, Error>(Built { index: builder.finish()?, factory, rows: Arc::new(places.finish()), nulls })
        });
        let fed = async {
            let mut reader = self.reader(plan).await?;
            while let Some(piece) = reader.next().await? {
                // It has ended early, and will say why.
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Ok::<_, Error>(())
        };
        let fed = fed.await;
        drop(sender);
        let built = work.await.map_err(ended_early)?;
        fed?;
        built
    }

    pub(super) async fn reader(&self, plan: &Plan) -> Result<Reader> {
        let table = PositionedTable::new(plan.table.clone());
        let state = self.ordered();
        let scan = table.scan(&state, Some(&table.with_places(&[plan.column])), &[], None).await?;
        let batches = execute_stream(scan, Arc::new(TaskContext::from(&state)))?;
        Ok(Reader { batches, table, metric: plan.spec.metric, waiting: None })
    }
}

/// The vectors of a snapshot, in the order of its files and their rows.
pub(super) struct Reader {
    batches: datafusion::execution::SendableRecordBatchStream,
    table: PositionedTable,
    metric: Metric,
    /// What is left of a batch with rows of several files.
    waiting: Option<RecordBatch>,
}

impl Reader {
    pub(super) async fn next(&mut self) -> Result<Option<Piece>> {
        let batch = match self.waiting.take() {
            Some(batch) => batch,
            None => match self.batches.try_next().await? {
                Some(batch) if batch.num_rows() > 0 => batch,
                Some(_) => return Box::pin(self.next()).await,
                None => return Ok(None),
            },
        };
        let lost = || Error::Invalid("vectors came without their places; this is a defect of the server".to_owned());
        let [_, files, _] = batch.columns() else { return Err(lost()) };
        let files = files.as_primitive_opt::<UInt32Type>().ok_or_else(lost)?;
        let number = files.value(0);
        let same = files.values().iter().take_while(|file| **file == number).count();
        if same < batch.num_rows() {
            self.waiting = Some(batch.slice(same, batch.num_rows() - same));
        }
        let record = usize::try_from(number).ok().and_then(|at| self.table.records().get(at)).ok_or_else(lost)?;
        self.piece(&batch.slice(0, same), record.id, record.rows).map(Some)
    }

    fn piece(&self, batch: &RecordBatch, file: FileId, file_rows: u64) -> Result<Piece> {
        let vectors = Vectors::of(batch.column(0).as_ref())?;
        let places = batch.column(2).as_primitive::<UInt32Type>();
        let mut piece = Piece { file, file_rows, rows: Vec::new(), vectors: Vec::new(), nulls: 0 };
        for at in 0..vectors.len() {
            match vectors.get(at).filter(|vector| indexes::takes(self.metric, vector)) {
                Some(vector) => {
                    piece.rows.push(places.value(at));
                    piece.vectors.extend_from_slice(vector);
                }
                None => piece.nulls += 1,
            }
        }
        Ok(piece)
    }
}

/// How well an index finds the neighbours of some of its own vectors, by how hard it looks. Nothing for one that is exact, is empty, or holds no full vectors.
fn recall(index: &FaissIndex, kind: IndexKind) -> Result<Vec<RecallPoint>> {
    let steps = steps(kind);
    if index.len() < 2 || !index.is_exact() || steps.is_empty() {
        return Ok(Vec::new());
    }
    let queries = probes(index)?;
    let exact = SearchParams { exact: true, ..SearchParams::default() };
    let truth = index.search(&queries, PROBE_K, &exact, Selection::All)?;
    let mut points = Vec::new();
    for params in steps {
        let found = index.search(&queries, PROBE_K, &params, Selection::All)?;
        let (mut hits, mut all) = (0_u32, 0_u32);
        for query in 0..truth.queries() {
            let right: HashSet<u32> = truth.of(query).map(|(position, _)| position).collect();
            all += count(right.len());
            hits += count(found.of(query).filter(|(position, _)| right.contains(position)).count());
        }
        let recall_at_10 = f64::from(hits) / f64::from(all.max(1));
        points.push(RecallPoint { ef: params.ef, nprobe: params.nprobe, recall_at_10 });
    }
    Ok(points)
}

/// No more than [`PROBES`] times [`PROBE_K`].
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn probes(index: &FaissIndex) -> Result<Vec<f32>> {
    let mut noise = StdRng::seed_from_u64(SEED);
    let mut queries = Vec::new();
    for _ in 0..PROBES {
        queries.extend(index.vector(noise.random_range(0..index.len()))?);
    }
    Ok(queries)
}

/// How hard to look, step by step.
fn steps(kind: IndexKind) -> Vec<SearchParams> {
    let with_ef = |ef| SearchParams { ef: Some(ef), ..SearchParams::default() };
    let with_lists = |nprobe| SearchParams { nprobe: Some(nprobe), ..SearchParams::default() };
    match kind {
        IndexKind::Hnsw | IndexKind::HnswSq8 => [10, 20, 40, 64, 100, 200, 400].map(with_ef).to_vec(),
        IndexKind::IvfFlat | IndexKind::IvfSq8 | IndexKind::IvfPq | IndexKind::IvfPqRefine => {
            [1, 2, 4, 8, 16, 32, 64].map(with_lists).to_vec()
        }
        IndexKind::Flat | IndexKind::Factory | IndexKind::Bm25 => Vec::new(),
    }
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(ended_early)?
}

pub(super) fn ended_early(error: JoinError) -> Error {
    Error::Interrupted(format!("the build ended early: {error}"))
}

/// A file that goes when it is not needed any more.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| {
            Error::Exhausted(format!("the folder for index files, {}, cannot be made: {error}", folder.display()))
        })?;
        Ok(Self(folder.join(format!("{}.build", FileId::generate()))))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
