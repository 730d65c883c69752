//! The indexes that there are, and those that are in memory.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::{catalog::Session, execution::TaskContext};
use moka::future::Cache;
use parking_lot::Mutex;
use skein_catalog::{Catalog, CommitId};
use skein_model::{DatasetId, GenerationId, Kind as _, TableName};
use skein_text::TextIndex;
use skein_vector::{
    IndexKind, Metric, VectorIndex,
    definition::{Definition, Definitions},
    faiss::FaissIndex,
    generation::{GenerationKey, Generations, Manifest, RowMap},
};

use super::{
    options::Consistency,
    standing::{Row, Standing},
};
use crate::{Error, Result, scan::SnapshotTable};

/// What snapshots make of generations may take altogether, in bytes.
const STANDINGS: u64 = 256 << 20;
/// Sizes are weighed in pieces of so many bytes.
const PIECE: u64 = 1 << 10;

/// A generation in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The index's schema and name.
    pub(crate) name: TableName,
    pub(crate) manifest: Manifest,
    pub(super) rows: Arc<RowMap>,
    pub(super) index: Searched,
}

/// What is searched.
#[derive(Debug)]
pub(super) enum Searched {
    Vectors(Box<dyn VectorIndex>),
    Words(Box<TextIndex>),
}

impl Searched {
    pub(super) fn memory_bytes(&self) -> u64 {
        match self {
            Self::Vectors(index) => index.memory_bytes(),
            Self::Words(index) => index.memory_bytes() as u64,
        }
    }
}

impl Loaded {
    /// # Errors
    /// `Internal` for an index of words.
    pub(super) fn vectors(&self) -> Result<&dyn VectorIndex> {
        match &self.index {
            Searched::Vectors(index) => Ok(index.as_ref()),
            Searched::Words(_) => Err(self.other("words")),
        }
    }

    /// # Errors
    /// `Internal` for an index of vectors.
    pub(super) fn words(&self) -> Result<&TextIndex> {
        match &self.index {
            Searched::Words(index) => Ok(index),
            Searched::Vectors(_) => Err(self.other("vectors")),
        }
    }

    fn other(&self, what: &str) -> Error {
        Error::Interrupted(format!("index '{}' is one of {what}", self.name))
    }

    /// Vectors or texts in it.
    pub(super) fn len(&self) -> u64 {
        match &self.index {
            Searched::Vectors(index) => u64::from(index.len()),
            Searched::Words(index) => u64::from(index.len()),
        }
    }

    pub(super) fn row(&self, position: u32) -> Option<Row> {
        let place = self.rows.locate(position)?;
        let file = self.manifest.files.get(usize::try_from(place.file).ok()?)?.file;
        Some(Row { file, row: place.row })
    }

    pub(crate) fn generation(&self) -> GenerationId {
        self.manifest.generation
    }

    pub(crate) fn kind(&self) -> IndexKind {
        self.manifest.spec.kind
    }

    fn memory_bytes(&self) -> u64 {
        self.index.memory_bytes() + self.rows.memory_bytes()
    }
}

pub(super) fn takes(metric: Metric, vector: &[f32]) -> bool {
    metric != Metric::Cosine || vector.iter().any(|number| *number != 0.0)
}

/// The indexes of all datasets. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Indexes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    catalog: Catalog,
    definitions: Definitions,
    /// Where copies of index files are kept.
    folder: PathBuf,
    memory: u64,
    known: Mutex<Option<(Instant, Arc<[Definition]>)>>,
    loaded: Cache<GenerationId, Arc<Loaded>>,
    standings: Cache<(GenerationId, CommitId), (Instant, Arc<Standing>)>,
    /// The newest of them for each generation.
    newest: Cache<GenerationId, (Instant, Arc<Standing>)>,
}

/// What a search needs an index to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) dataset: DatasetId,
    /// The column's field id.
    pub(super) field: i32,
    /// `None`: whichever it has.
    pub(super) metric: Option<Metric>,
    /// The index that was asked for.
    pub(super) name: Option<&'a TableName>,
    /// One of words, not of vectors.
    pub(super) words: bool,
}

impl Indexes {
    /// Those of a catalog. Their generations take up to `memory` bytes, and lie as files in `folder`.
    pub(crate) fn new(catalog: &Catalog, folder: PathBuf, memory: u64) -> Self {
        let pieces = |bytes: u64| u32::try_from(bytes / PIECE + 1).unwrap_or(u32::MAX);
        let loaded = Cache::builder()
            .weigher(move |_: &GenerationId, loaded: &Arc<Loaded>| pieces(loaded.memory_bytes()))
            .max_capacity(memory / PIECE)
            .build();
        let standings = Cache::builder()
            .weigher(move |_: &(GenerationId, CommitId), standing: &(Instant, Arc<Standing>)| {
                pieces(standing.1.memory_bytes())
            })
            .max_capacity(STANDINGS / PIECE)
            .build();
        Self(Arc::new(Inner {
            catalog: catalog.clone(),
            definitions: Definitions::new(catalog),
            folder,
            memory,
            known: Mutex::default(),
            loaded,
            standings,
            newest: Cache::new(1024),
        }))
    }

    /// Their definitions on the bucket.
    pub(crate) fn definitions(&self) -> &Definitions {
        &self.0.definitions
    }

    /// Where index files are kept on this machine.
    pub(crate) fn folder(&self) -> &PathBuf {
        &self.0.folder
    }

    /// All indexes, as they were known a moment ago at the latest.
    ///
    /// # Errors
    /// When the bucket fails.
    pub(crate) async fn list(&self) -> Result<Arc<[Definition]>> {
        let refresh = self.0.catalog.options().refresh.max(Duration::from_millis(1));
        if let Some((at, known)) = &*self.0.known.lock()
            && at.elapsed() < refresh
        {
            return Ok(Arc::clone(known));
        }
        let begun = Instant::now();
        let known: Arc<[Definition]> = self.0.definitions.list().await?.into();
        *self.0.known.lock() = Some((begun, Arc::clone(&known)));
        Ok(known)
    }

    /// Looks at the bucket the next time: an index was changed here.
    pub(crate) fn changed(&self) {
        *self.0.known.lock() = None;
    }

    /// The index to search; `None` when there is none that fits.
    ///
    /// # Errors
    /// `NotFound` and `InvalidInput` for an index that was asked for by name and cannot be used.
    pub(super) async fn choose(&self, wanted: Wanted<'_>) -> Result<Option<Definition>> {
        let known = self.list().await?;
        let fits = |index: &&Definition| {
            index.dataset == wanted.dataset
                && index.column.field_id == wanted.field
                && (index.spec.kind == IndexKind::Bm25) == wanted.words
                && wanted.metric.is_none_or(|metric| index.spec.metric == metric)
        };
        if let Some(name) = wanted.name {
            let index = match known.iter().find(|index| index.name == *name) {
                Some(index) => index.clone(),
                None => self.0.definitions.get(name).await?,
            };
            return match (fits(&&index), index.live) {
                (true, Some(_)) => Ok(Some(index)),
                (true, None) => Err(Error::Invalid(format!(
                    "index '{name}' has no generation yet; system.jobs shows how far its build is"
                ))),
                (false, _) if index.spec.kind == IndexKind::Bm25 => Err(Error::Invalid(format!(
                    "index '{name}' is one of the words in column '{}'; it cannot answer this search",
                    index.column.name
                ))),
                (false, _) => Err(Error::Invalid(format!(
                    "index '{name}' is one of column '{}' by {}; it cannot answer this search",
                    index.column.name, index.spec.metric
                ))),
            };
        }
        let live = known.iter().filter(fits).filter(|index| index.live.is_some());
        Ok(live.max_by_key(|index| index.live).cloned())
    }

    /// The one column of a table whose words are indexed; `None` when there is none.
    ///
    /// # Errors
    /// `InvalidInput` when there are several.
    pub(super) async fn only_of_words(&self, table: &SnapshotTable, name: Option<&TableName>) -> Result<Option<usize>> {
        let known = self.list().await?;
        let of_words = |index: &&Definition| {
            index.dataset == table.dataset().id()
                && index.spec.kind == IndexKind::Bm25
                && name.is_none_or(|name| index.name == *name)
        };
        let mut columns: Vec<usize> =
            known.iter().filter(of_words).filter_map(|index| table.column_of_field(index.column.field_id)).collect();
        columns.sort_unstable();
        columns.dedup();
        match columns.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(*only)),
            several => {
                let names: Vec<_> = several.iter().map(|at| table.columns().field(*at).name().as_str()).collect();
                Err(Error::Invalid(format!(
                    "'{}' has several columns with an index of their words ({}); name one, column => '{}'",
                    table.dataset().name(),
                    names.join(", "),
                    names.first().copied().unwrap_or_default()
                )))
            }
        }
    }

    /// The live generation of an index, in memory.
    ///
    /// # Errors
    /// `Corrupt` when what is stored is not what was written; `ResourceExhausted` when it is larger than what may be used.
    pub(super) async fn load(&self, index: &Definition) -> Result<Option<Arc<Loaded>>> {
        let Some(generation) = index.live else { return Ok(None) };
        let name = index.name.clone();
        let key = GenerationKey { dataset: index.dataset, index: index.id, generation };
        let bucket = index.bucket.clone();
        let load = async {
            let this = self.clone();
            let generations =
                Generations::new(this.0.catalog.buckets().get(&bucket).map_err(skein_catalog::Error::from)?);
            let manifest = generations.manifest(key).await?;
            this.check_room(manifest.memory_bytes)?;
            let local = generations.fetch(&manifest, &this.0.folder).await?;
            let loaded = tokio::task::spawn_blocking(move || {
                let dimension = usize::try_from(manifest.dimension).unwrap_or(usize::MAX);
                let count = u32::try_from(manifest.vectors).unwrap_or(u32::MAX);
                let index = match &manifest.spec.words {
                    Some(words) => Searched::Words(Box::new(TextIndex::read(&local.index_file, words, count)?)),
                    None => {
                        let index = FaissIndex::read(&local.index_file, &manifest.spec, dimension, count)?;
                        Searched::Vectors(Box::new(index))
                    }
                };
                Ok::<_, Error>(Loaded { name, manifest, rows: Arc::new(local.rows), index })
            });
            let ended_early = |error| Error::Interrupted(format!("reading an index ended early: {error}"));
            Ok::<_, Error>(Arc::new(loaded.await.map_err(ended_early)??))
        };
        let loaded = self.0.loaded.try_get_with(generation, load).await;
        loaded.map(Some).map_err(Error::Shared)
    }

    /// Keeps a generation that was just built.
    pub(super) async fn keep(&self, loaded: Loaded) {
        self.0.loaded.insert(loaded.generation(), Arc::new(loaded)).await;
    }

    /// Refuses what would take more memory than indexes may.
    ///
    /// # Errors
    /// `ResourceExhausted`.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<()> {
        if bytes <= self.0.memory {
            return Ok(());
        }
        Err(Error::Exhausted(format!(
            "the index would take {} of memory and {} may be used; have the server raise search.memory, or choose a smaller kind such as ivf_pq",
            skein_model::ByteSize(bytes),
            skein_model::ByteSize(self.0.memory)
        )))
    }

    /// What a snapshot makes of a generation.
    pub(super) async fn standing(
        &self,
        table: &SnapshotTable,
        column: usize,
        loaded: &Loaded,
        consistency: Consistency,
        (state, context): (&dyn Session, Arc<TaskContext>),
    ) -> Result<Arc<Standing>> {
        let generation = loaded.generation();
        if let Consistency::Bounded(age) = consistency
            && let Some((at, standing)) = self.0.newest.get(&generation).await
            && at.elapsed() < age
        {
            return Ok(standing);
        }
        let begun = Instant::now();
        let make = async {
            let standing = Standing::of(table, column, loaded, state, context).await?;
            Ok::<_, Error>((begun, Arc::new(standing)))
        };
        let kept = self.0.standings.try_get_with((generation, table.commit()), make).await.map_err(Error::Shared)?;
        self.0.newest.insert(generation, (begun, Arc::clone(&kept.1))).await;
        Ok(kept.1)
    }

    /// What is in memory of a generation, in bytes; `None` when it is not.
    pub(crate) async fn memory_of(&self, generation: GenerationId) -> Option<u64> {
        Some(self.0.loaded.get(&generation).await?.memory_bytes())
    }
}

/// Whether a search may go on without the index.
pub(super) fn may_do_without(error: &Error) -> bool {
    use skein_model::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::ResourceExhausted | ErrorKind::NotFound | ErrorKind::Unavailable
    )
}
