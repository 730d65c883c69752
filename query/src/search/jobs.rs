//! Indexes are created, built anew, promoted and dropped.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::Field;
use serde::{Deserialize, Serialize};
use skein_catalog::{
    Actor, At, Dataset, Entry, crash,
    jobs::{Job, JobEnd, JobState, NewJob, Standing},
};
use skein_model::{DatasetId, ErrorKind, GenerationId, JobId, Kind as _, TableName};
use skein_vector::{
    IndexSpec,
    definition::{ColumnRef, Definition, EmbeddingModel, GenerationEntry, GenerationState, NewIndex},
    faiss,
    generation::{GenerationKey, Generations},
};
use tokio::sync::{Notify, Semaphore};
use ulid::Ulid;

use super::{autotune, progress::Progress, trial, vectors};
use crate::{Engine, Error, Result, functions::is_text};

/// The kind of the jobs that build generations.
pub(super) const BUILD: &str = "index.build";
/// How often a build tells how far it is.
const REPORT: Duration = Duration::from_secs(2);
/// How long after its last word a build's server counts as gone.
const LEASE: Duration = Duration::from_secs(30);
/// How often whoever waits for a job looks at it, when another server does it.
const LOOK: Duration = Duration::from_millis(500);
/// Generations of an index that stay: the live one, and those that it may be rolled back to.
const KEEP: usize = 3;

/// An index that is wanted.
#[derive(Debug, Clone)]
pub struct NewIndexRequest {
    /// The dataset.
    pub table: TableName,
    /// The column of vectors, or of texts.
    pub column: String,
    /// The index's name, in the dataset's schema; `None`: made of the two.
    pub name: Option<String>,
    /// What to build.
    pub spec: IndexSpec,
    /// The model that made the vectors: searches by text ask it.
    pub model: Option<String>,
    /// That there is one of this name is no error.
    pub if_not_exists: bool,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct CreatedIndex {
    /// Whether it was made now.
    pub created: bool,
    /// Its schema and name.
    pub name: TableName,
    /// The job that builds its first generation.
    pub job: Option<JobId>,
}

/// What a build is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct BuildArguments {
    schema: String,
    index: String,
    /// Which index was meant: one of the same name may have taken its place.
    id: String,
    /// The generation waits to be promoted.
    #[serde(default)]
    keep_live: bool,
}

/// The builds of one server: one at a time, for each takes all cores.
#[derive(Debug)]
pub(crate) struct Builds {
    owner: Ulid,
    pub(super) slot: Semaphore,
    ended: Notify,
}

impl Default for Builds {
    fn default() -> Self {
        Self { owner: Ulid::new(), slot: Semaphore::new(1), ended: Notify::new() }
    }
}

impl Engine {
    /// Creates an index, and starts to build it in a job of its own. It is searched once its first generation is there.
    ///
    /// # Errors
    /// `NotFound` for a dataset or column that is not there; `InvalidInput` for a column that holds no vectors of one length, or for parameters that do not fit them;
    /// `AlreadyExists`; `ResourceExhausted` when it would take more memory than indexes may.
    pub async fn create_index(&self, request: NewIndexRequest, actor: &Actor) -> Result<CreatedIndex> {
        let dataset = self.searchable(&request.table).await?;
        let snapshot = dataset.snapshot(At::Latest).await?;
        let schema = snapshot.arrow_schema();
        let field = schema.field_with_name(&request.column).map_err(|_| {
            let near =
                crate::suggest::closest(&request.column, schema.fields().iter().map(|field| field.name().as_str()));
            let advice = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            Error::NotFound(format!("column '{}' does not exist in '{}'{advice}", request.column, request.table))
        })?;
        let field_id = skein_catalog::field_id(
            snapshot.schema.field_with_name(&request.column).map_err(|error| Error::Invalid(error.to_string()))?,
        )
        .ok_or_else(|| Error::Invalid(format!("column '{}' has no id; run dataset.resync", request.column)))?;
        let rows = usize::try_from(snapshot.rows).unwrap_or(usize::MAX);
        let model = self.check_index(&request, field, rows).await?;
        let name = request.name.clone().unwrap_or_else(|| format!("{}_{}", request.table.table(), request.column));
        let name = TableName::new(request.table.schema(), name)?;
        let new = NewIndex {
            name: name.clone(),
            dataset: dataset.id(),
            bucket: dataset.bucket().name().to_owned(),
            column: ColumnRef { name: request.column, field_id },
            spec: request.spec,
            model,
            text: None,
        };
        let created = self.indexes().definitions().create(new, actor).await;
        let definition = match created {
            Ok(definition) => definition,
            Err(error) if request.if_not_exists && error.kind() == ErrorKind::AlreadyExists => {
                return Ok(CreatedIndex { created: false, name, job: None });
            }
            Err(error) => return Err(error.into()),
        };
        self.indexes().changed();
        let job = self.start_build(&definition, false, actor).await?;
        Ok(CreatedIndex { created: true, name, job: Some(job) })
    }

    /// Whether an index can be made of a column, and the model that its vectors are said to be of.
    async fn check_index(
        &self,
        request: &NewIndexRequest,
        field: &Field,
        rows: usize,
    ) -> Result<Option<EmbeddingModel>> {
        let (column, data_type, spec) = (&request.column, field.data_type(), &request.spec);
        if !spec.kind.is_of_vectors() {
            if !is_text(data_type) {
                return Err(Error::Invalid(format!(
                    "column '{column}' is of type {data_type}; an index of words needs text"
                )));
            }
            if request.model.is_some() {
                return Err(Error::Invalid("an index of words has no model".to_owned()));
            }
            return Ok(None);
        }
        let dimension = vectors::dimension(data_type).ok_or_else(|| {
            let advice = match is_text(data_type) {
                true => "; for its words write USING bm25, and for its meaning add a column with embed('model', text)",
                false => "",
            };
            Error::Invalid(format!(
                "column '{column}' is of type {data_type}; an index needs vectors of one length, such as FLOAT[384]{advice}"
            ))
        })?;
        faiss::validate(spec, dimension)?;
        self.indexes().check_room(faiss::estimate(spec, dimension, rows)?)?;
        let Some(name) = &request.model else { return Ok(None) };
        let model = self.config().models.get(name).await?;
        let info = model.info();
        if info.dimension != dimension {
            return Err(Error::Invalid(format!(
                "model '{name}' makes vectors of {} numbers, and those of column '{column}' have {dimension}",
                info.dimension
            )));
        }
        let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
        Ok(Some(EmbeddingModel { name: name.clone(), version: Some(info.version.clone()), dimension }))
    }

    /// Starts to build a new generation of an index. It becomes the live one unless `keep_live`.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn rebuild_index(&self, name: &TableName, keep_live: bool, actor: &Actor) -> Result<JobId> {
        let definition = self.indexes().definitions().get(name).await?;
        self.start_build(&definition, keep_live, actor).await
    }

    /// Waits for the end of a job.
    ///
    /// # Errors
    /// What the job failed of; `Cancelled` when somebody ended it.
    pub async fn wait_for_job(&self, id: JobId) -> Result<Job> {
        loop {
            let ended = self.builds().ended.notified();
            let job = self.catalog().jobs().get(id).await?;
            match job.state {
                JobState::Succeeded => return Ok(job),
                JobState::Cancelled => return Err(Error::Stopped),
                JobState::Failed => {
                    let why = job.error.clone().unwrap_or_else(|| "it does not say why".to_owned());
                    let kind = job.error_kind.unwrap_or(ErrorKind::Internal);
                    return Err(Error::Job { kind, message: format!("job {id} ({}) failed: {why}", job.subject) });
                }
                JobState::Queued | JobState::Running => {}
            }
            let _ = tokio::time::timeout(LOOK, ended).await;
        }
    }

    /// Drops an index and its generations. Searches that have begun go on.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn drop_index(&self, name: &TableName, actor: &Actor) -> Result<()> {
        let definitions = self.indexes().definitions();
        let definition = definitions.get(name).await?;
        let dropped = definitions.drop(&definition, actor).await?;
        self.indexes().changed();
        let generations = self.generations(&dropped)?;
        for generation in &dropped.generations {
            let key = GenerationKey { dataset: dropped.dataset, index: dropped.id, generation: generation.id };
            if let Err(error) = generations.remove(key).await {
                tracing::warn!(index = %name, %key, %error, "a generation of a dropped index was not removed; garbage collection will");
            }
        }
        Ok(())
    }

    /// Makes a generation of an index the live one. The answer is the one that was before.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for one that is still being built.
    pub async fn promote_index(
        &self,
        name: &TableName,
        generation: GenerationId,
        actor: &Actor,
    ) -> Result<Option<GenerationId>> {
        let definitions = self.indexes().definitions();
        let before = definitions.get(name).await?;
        definitions.promote(&before, generation, actor).await?;
        self.indexes().changed();
        Ok(before.live)
    }

    /// Makes the generation that was live before the live one again. The answer: which is live now, and which was.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` when there is none to go back to.
    pub async fn roll_back_index(
        &self,
        name: &TableName,
        actor: &Actor,
    ) -> Result<(Option<GenerationId>, Option<GenerationId>)> {
        let definitions = self.indexes().definitions();
        let before = definitions.get(name).await?;
        let after = definitions.rollback(&before, actor).await?;
        self.indexes().changed();
        Ok((after.live, before.live))
    }

    /// Takes builds up that wait, or whose server is not heard of any more. To be called now and then.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn take_up_builds(&self) -> Result<()> {
        let Ok(slot) = self.builds().slot.try_acquire() else { return Ok(()) };
        let kinds = [BUILD, trial::KIND, autotune::KIND];
        let job = self.catalog().jobs().claim_next(self.builds().owner, &kinds, LEASE).await?;
        if let Some(job) = job {
            self.run_build(&job).await;
        }
        drop(slot);
        Ok(())
    }

    async fn start_build(&self, definition: &Definition, keep_live: bool, actor: &Actor) -> Result<JobId> {
        let arguments = BuildArguments {
            schema: definition.name.schema().to_owned(),
            index: definition.name.table().to_owned(),
            id: definition.id.to_string(),
            keep_live,
        };
        let arguments = serde_json::to_value(arguments).map_err(|error| Error::Invalid(error.to_string()))?;
        self.start_job(NewJob { kind: BUILD.to_owned(), subject: definition.name.to_string(), arguments }, actor).await
    }

    /// Creates a job, and does it as soon as no other one runs here.
    pub(super) async fn start_job(&self, new: NewJob, actor: &Actor) -> Result<JobId> {
        let job = self.catalog().jobs().create(new, actor).await?;
        let (engine, id) = (self.clone(), job.id);
        tokio::spawn(async move {
            let Ok(slot) = engine.builds().slot.acquire().await else { return };
            match engine.catalog().jobs().claim(id, engine.builds().owner, LEASE).await {
                Ok(Some(job)) => engine.run_build(&job).await,
                // Cancelled, or another server was faster.
                Ok(None) => engine.builds().ended.notify_waiters(),
                Err(error) => tracing::warn!(job = %id, %error, "a build could not be begun; it is tried again"),
            }
            drop(slot);
        });
        Ok(id)
    }

    /// Does a build that this server has claimed, and says how it ended.
    async fn run_build(&self, job: &Job) {
        let progress = Arc::new(Progress::default());
        let telling = tokio::spawn(tell(self.clone(), job.clone(), Arc::clone(&progress)));
        let outcome = match job.kind.as_str() {
            trial::KIND => self.run_trial(job, &progress).await,
            autotune::KIND => Box::pin(self.run_autotune(job, &progress)).await,
            _ => self.build(job, &progress).await.map(|built| serde_json::json!({ "generation": built.to_string() })),
        };
        telling.abort();
        let end = match outcome {
            Ok(result) => JobEnd::Succeeded(result),
            Err(Error::Stopped) => JobEnd::Cancelled,
            Err(error) if error.kind() == ErrorKind::Cancelled => JobEnd::Cancelled,
            Err(error) => JobEnd::Failed { kind: error.kind(), error: error.to_string() },
        };
        if let JobEnd::Failed { error, .. } = &end {
            tracing::warn!(job = %job.id, kind = job.kind, subject = job.subject, error, "a job failed");
        }
        if let Err(error) = self.catalog().jobs().finish(job, end).await {
            tracing::warn!(job = %job.id, %error, "the end of a build could not be told");
        }
        self.builds().ended.notify_waiters();
    }

    async fn build(&self, job: &Job, progress: &Arc<Progress>) -> Result<GenerationId> {
        let arguments: BuildArguments = serde_json::from_value(job.arguments.clone())
            .map_err(|error| Error::Invalid(format!("the job's arguments cannot be read: {error}")))?;
        let name = TableName::new(&arguments.schema, &arguments.index)?;
        let definitions = self.indexes().definitions();
        let definition = definitions.get(&name).await?;
        if definition.id.to_string() != arguments.id {
            return Err(Error::NotFound(format!("index '{name}' was dropped")));
        }
        let dataset = self.dataset_of(&definition).await?;
        let version = dataset.snapshot(At::Latest).await?.version;
        let generation = self.build_generation(&definition, dataset, &job.principal, progress).await?;
        let entry = GenerationEntry {
            id: generation,
            dataset_version: version,
            state: GenerationState::Ready,
            created_at: self.catalog().options().clock.now(),
            spec: Some(definition.spec.clone()),
            search: definition.search_defaults(),
        };
        let mut definition = definitions.add_generation(&definition, entry).await?;
        crash::point("index", "listed");
        if !arguments.keep_live || definition.live.is_none() {
            let mut actor = Actor::new(job.principal.clone());
            actor.reason = Some(format!("job {}", job.id));
            definition = definitions.promote(&definition, generation, &actor).await?;
        }
        self.indexes().changed();
        self.remove_old(&definition).await;
        Ok(generation)
    }

    /// Removes the oldest generations beyond those that stay.
    pub(super) async fn remove_old(&self, definition: &Definition) {
        let Ok(generations) = self.generations(definition) else { return };
        let mut others: Vec<_> =
            definition.generations.iter().map(|entry| entry.id).filter(|id| Some(*id) != definition.live).collect();
        others.sort_unstable();
        let too_many = others.len().saturating_sub(KEEP - 1);
        for generation in others.into_iter().take(too_many) {
            let outcome = async {
                self.indexes().definitions().remove_generation(definition, generation).await?;
                let key = GenerationKey { dataset: definition.dataset, index: definition.id, generation };
                generations.remove(key).await
            };
            if let Err(error) = outcome.await {
                tracing::warn!(index = %definition.name, %generation, %error, "an old generation was not removed");
            }
        }
    }

    pub(super) fn generations(&self, definition: &Definition) -> Result<Generations> {
        Ok(Generations::new(self.catalog().buckets().get(&definition.bucket)?))
    }

    /// The dataset of an index, under whatever name it has now.
    pub(super) async fn dataset_of(&self, definition: &Definition) -> Result<Dataset> {
        self.dataset_with_id(definition.dataset).await?.ok_or_else(|| {
            Error::NotFound(format!("the dataset of index '{}' was dropped; drop the index", definition.name))
        })
    }

    pub(super) async fn dataset_with_id(&self, id: DatasetId) -> Result<Option<Dataset>> {
        for (_, entry) in self.catalog().entries().await? {
            if let Entry::Dataset(dataset) = entry
                && dataset.id() == id
            {
                return Ok(Some(dataset));
            }
        }
        Ok(None)
    }

    pub(super) async fn searchable(&self, name: &TableName) -> Result<Dataset> {
        match self.catalog().resolve(name).await? {
            Entry::Dataset(dataset) => Ok(dataset),
            other => Err(Error::Invalid(format!(
                "'{name}' is a {}; only datasets can be indexed, CREATE TABLE ... AS SELECT makes one",
                other.kind().as_str()
            ))),
        }
    }
}

/// Tells now and then how far a build is, and ends it when somebody wants that or when another server has it.
async fn tell(engine: Engine, job: Job, progress: Arc<Progress>) {
    loop {
        tokio::time::sleep(REPORT).await;
        match engine.catalog().jobs().progress(&job, progress.so_far()).await {
            Ok(Standing::Go) => {}
            Ok(Standing::CancelRequested | Standing::Lost) => progress.stop(),
            Err(error) => tracing::warn!(job = %job.id, %error, "how far a build is could not be told"),
        }
    }
}
