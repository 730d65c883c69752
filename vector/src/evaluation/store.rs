//! Evaluation sets are created, found and dropped.

use sha2::{Digest, Sha256};
use skein_catalog::{Actor, Catalog, suggestion};
use skein_model::{DatasetId, EvaluationId, TableName, Version};

use super::{
    Answers, Evaluation, MAX_K, MAX_NUMBERS, MAX_QUERIES, Trials, answers,
    format::{FORMAT, KIND},
};
use crate::{Error, Metric, Result, definition::ColumnRef, generation::hex};

/// How often a set is dropped when others change its document.
const ATTEMPTS: usize = 8;

/// What an evaluation set is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvaluation {
    /// Its schema and name.
    pub name: TableName,
    /// The dataset.
    pub dataset: DatasetId,
    /// The version of it that the answers are of.
    pub dataset_version: Version,
    /// The column with the vectors.
    pub column: ColumnRef,
    /// How distances are measured.
    pub metric: Metric,
    /// Numbers per vector.
    pub dimension: u32,
    /// How many nearest rows are known of each query.
    pub k: u32,
    /// Rows that each query was compared with.
    pub rows: u64,
    /// What the queries were drawn with; `None`: they were given.
    pub seed: Option<u64>,
}

/// The evaluation sets of a catalog, by name. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Evaluations {
    catalog: Catalog,
}

impl Evaluations {
    /// Those that are kept beside a catalog's names.
    pub fn new(catalog: &Catalog) -> Self {
        Self { catalog: catalog.outside() }
    }

    /// What was measured with them.
    pub fn trials(&self) -> Trials {
        Trials::new(&self.catalog)
    }

    /// Refuses a name that is taken.
    ///
    /// # Errors
    /// `AlreadyExists`.
    pub async fn check_free(&self, name: &TableName) -> Result<()> {
        match self.get_opt(name).await? {
            Some(_) => Err(taken(name)),
            None => Ok(()),
        }
    }

    /// Creates a set of queries whose answers are known.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; `InvalidInput` for a set that is empty or too large.
    pub async fn create(&self, new: NewEvaluation, answers: &Answers, actor: &Actor) -> Result<Evaluation> {
        check_size(answers.queries.len(), usize::try_from(new.dimension).unwrap_or(usize::MAX))?;
        check_k(usize::try_from(new.k).unwrap_or(usize::MAX))?;
        let evaluation = Evaluation {
            format: FORMAT,
            id: EvaluationId::generate(),
            name: new.name,
            dataset: new.dataset,
            dataset_version: new.dataset_version,
            column: new.column,
            metric: new.metric,
            dimension: new.dimension,
            queries: u32::try_from(answers.queries.len()).unwrap_or(u32::MAX),
            k: new.k,
            rows: new.rows,
            seed: new.seed,
            created_by: actor.principal.clone(),
            created_at: self.catalog.options().clock.now(),
        };
        let documents = self.catalog.documents();
        documents.put(answers::KIND, &evaluation.id.to_string(), 0, answers).await?;
        match documents.put(KIND, &document_id(&evaluation.name), 0, &evaluation).await {
            Ok(_) => {}
            Err(skein_catalog::Error::Conflict { .. }) => {
                self.forget_answers(&evaluation).await;
                return Err(taken(&evaluation.name));
            }
            // It may have been written all the same.
            Err(unknown @ skein_catalog::Error::CommitUnknown { .. }) => match self.latest(&evaluation.name).await? {
                Some((_, found)) if found.id == evaluation.id => {}
                Some(_) => return Err(taken(&evaluation.name)),
                None => return Err(unknown.into()),
            },
            Err(error) => return Err(error.into()),
        }
        tracing::info!(evaluation = %evaluation.name, id = %evaluation.id, by = %actor.principal, "evaluation created");
        Ok(evaluation)
    }

    /// A set.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name, with the one that may have been meant.
    pub async fn get(&self, name: &TableName) -> Result<Evaluation> {
        match self.get_opt(name).await? {
            Some(found) => Ok(found),
            None => Err(self.unknown(name).await),
        }
    }

    /// A set, if there is one of this name.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn get_opt(&self, name: &TableName) -> Result<Option<Evaluation>> {
        let found = self.catalog.documents().get_latest::<Evaluation>(KIND, &document_id(name)).await?;
        Ok(found.map(|(_, evaluation)| evaluation))
    }

    /// All sets, by name.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn list(&self) -> Result<Vec<Evaluation>> {
        let documents = self.catalog.documents().list::<Evaluation>(KIND).await?;
        let mut all: Vec<_> = documents.into_iter().map(|(_, _, evaluation)| evaluation).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The queries of a set, and their answers.
    ///
    /// # Errors
    /// `NotFound` when it was dropped meanwhile; `Corrupt` when they are not what was written.
    pub async fn answers(&self, of: &Evaluation) -> Result<Answers> {
        let found = self.catalog.documents().get::<Answers>(answers::KIND, &of.id.to_string()).await?;
        let (_, answers) = found.ok_or_else(|| gone(&of.name))?;
        let dimension = usize::try_from(of.dimension).unwrap_or(usize::MAX);
        let fits = |row: &super::RowAt| answers.row(*row).is_some();
        let whole = answers.queries.iter().all(|query| {
            query.vector.len() == dimension && query.nearest.iter().all(fits) && query.own.iter().all(fits)
        });
        if !whole || answers.queries.is_empty() {
            return Err(Error::Corrupt {
                bucket: "the default bucket".to_owned(),
                key: format!("_skein/docs/{}/{}", answers::KIND, of.id),
                reason: format!(
                    "its vectors and rows do not fit evaluation '{}'; drop that and create it anew",
                    of.name
                ),
            });
        }
        Ok(answers)
    }

    /// Drops a set, and what was measured with it.
    ///
    /// # Errors
    /// `NotFound` when it was dropped already; `Conflict` when others keep changing it.
    pub async fn drop(&self, of: &Evaluation, actor: &Actor) -> Result<()> {
        let mut unclear = false;
        for _ in 0..ATTEMPTS {
            let found = self.latest(&of.name).await?.filter(|(_, found)| found.id == of.id);
            let Some((version, _)) = found else {
                return if unclear { self.forget(of, actor).await } else { Err(gone(&of.name)) };
            };
            match self.catalog.documents().delete(KIND, &document_id(&of.name), version).await {
                Ok(()) => return self.forget(of, actor).await,
                Err(skein_catalog::Error::Conflict { .. }) => {}
                Err(skein_catalog::Error::CommitUnknown { .. }) => unclear = true,
                Err(error) => return Err(error.into()),
            }
        }
        let (what, reason) = (format!("evaluation '{}'", of.name), "it keeps being changed".to_owned());
        Err(skein_catalog::Error::Conflict { what, reason }.into())
    }

    async fn forget(&self, of: &Evaluation, actor: &Actor) -> Result<()> {
        tracing::info!(evaluation = %of.name, id = %of.id, by = %actor.principal, "evaluation dropped");
        self.forget_answers(of).await;
        self.trials().forget_of(of.id).await;
        Ok(())
    }

    /// Nobody finds them without the set: what stays takes room and does no harm.
    async fn forget_answers(&self, of: &Evaluation) {
        let id = of.id.to_string();
        let documents = self.catalog.documents();
        let outcome = async {
            match documents.get_latest::<Answers>(answers::KIND, &id).await? {
                Some((version, _)) => documents.delete(answers::KIND, &id, version).await,
                None => Ok(()),
            }
        };
        if let Err(error) = outcome.await {
            tracing::warn!(evaluation = %of.name, %error, "the answers of an evaluation set were not removed");
        }
    }

    async fn latest(&self, name: &TableName) -> Result<Option<(u64, Evaluation)>> {
        Ok(self.catalog.documents().get_latest::<Evaluation>(KIND, &document_id(name)).await?)
    }

    /// The error for a name that no set has.
    async fn unknown(&self, name: &TableName) -> Error {
        // The suggestion is a courtesy.
        let known: Vec<_> = self.list().await.unwrap_or_default().into_iter().map(|found| found.name).collect();
        let hint = match suggestion(name, &known) {
            Some(near) => format!("; did you mean '{near}'?"),
            None => "; evaluation.create makes one, system.evaluations lists those there are".to_owned(),
        };
        skein_catalog::Error::NotFound { what: "evaluation", name: name.to_string(), hint }.into()
    }
}

/// Refuses a set of too many queries, or of none.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn check_size(queries: usize, dimension: usize) -> Result<()> {
    let most = MAX_QUERIES.min(MAX_NUMBERS / dimension.max(1)).max(1);
    match queries {
        0 => Err(Error::Invalid(
            "there are no query vectors; send some in 'vectors', or say in 'queries' how many to draw from the dataset"
                .to_owned(),
        )),
        queries if queries > most => Err(Error::Invalid(format!(
            "{queries} query vectors are too many; an evaluation has at most {most} of {dimension} numbers"
        ))),
        _ => Ok(()),
    }
}

/// Refuses a number of neighbours that no set can have.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn check_k(k: usize) -> Result<()> {
    if (1..=MAX_K).contains(&k) {
        return Ok(());
    }
    Err(Error::Invalid(format!("k is {k}; an evaluation knows the nearest 1 to {MAX_K} rows of each query")))
}

impl NewEvaluation {
    /// Refuses what no set can be, before its answers are computed.
    ///
    /// # Errors
    /// `InvalidInput` for too many queries, for none, and for a `k` that is out of bounds.
    pub fn check(queries: usize, dimension: usize, k: usize) -> Result<()> {
        check_k(k)?;
        check_size(queries, dimension)
    }
}

fn taken(name: &TableName) -> Error {
    skein_catalog::Error::AlreadyExists { what: "evaluation", name: name.to_string() }.into()
}

fn gone(name: &TableName) -> Error {
    let hint = "; it was dropped meanwhile".to_owned();
    skein_catalog::Error::NotFound { what: "evaluation", name: name.to_string(), hint }.into()
}

/// The id of the document: one for each name, so that two creators of a name meet.
fn document_id(name: &TableName) -> String {
    hex(&Sha256::digest(format!("{}\0{}", name.schema(), name.table()).as_bytes()))
}

#[cfg(test)]
mod tests {
    use skein_catalog::CatalogOptions;
    use skein_model::{ErrorKind, FileId, Kind};
    use skein_storage::{Bucket, Buckets};

    use super::{super::EvaluationQuery, *};

    async fn evaluations() -> Evaluations {
        let buckets = Buckets::new(vec![Bucket::in_memory("main")]).unwrap();
        Evaluations::new(&Catalog::open(buckets, CatalogOptions::default()).await.unwrap())
    }

    fn new(name: &str) -> NewEvaluation {
        NewEvaluation {
            name: TableName::in_default_schema(name).unwrap(),
            dataset: DatasetId::generate(),
            dataset_version: 3,
            column: ColumnRef { name: "e".to_owned(), field_id: 2 },
            metric: Metric::L2,
            dimension: 2,
            k: 10,
            rows: 100,
            seed: None,
        }
    }

    fn answers() -> Answers {
        let query = EvaluationQuery { vector: vec![1.0, 2.0], own: None, nearest: vec![(0, 4)] };
        Answers::new(vec![FileId::generate()], vec![query])
    }

    #[tokio::test]
    async fn a_set_is_created_read_and_dropped() {
        let (sets, ada) = (evaluations().await, Actor::new("ada"));
        let made = sets.create(new("one"), &answers(), &ada).await.unwrap();
        let known = answers();
        let other = sets.create(new("evening"), &known, &ada).await.unwrap();
        assert_eq!(sets.answers(&other).await.unwrap(), known);
        let again = sets.create(new("one"), &known, &ada).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again}");
        assert_eq!(sets.check_free(&made.name).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(sets.list().await.unwrap(), [other.clone(), made.clone()]);
        sets.drop(&made, &ada).await.unwrap();
        assert_eq!(sets.drop(&made, &ada).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(sets.answers(&made).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(sets.list().await.unwrap(), [other]);
        let unknown = sets.get(&TableName::in_default_schema("evenin").unwrap()).await.unwrap_err().to_string();
        assert!(unknown.ends_with("did you mean 'public.evening'?"), "{unknown}");
    }

    #[tokio::test]
    async fn what_is_too_much_or_nothing_is_refused() {
        let sets = evaluations().await;
        let nothing = Answers::new(Vec::new(), Vec::new());
        let why = sets.create(new("x"), &nothing, &Actor::new("ada")).await.unwrap_err();
        assert_eq!(why.kind(), ErrorKind::InvalidInput, "{why}");
        assert!(NewEvaluation::check(10, 8, 0).unwrap_err().to_string().contains("k is 0"));
        assert!(NewEvaluation::check(10, 8, MAX_K + 1).is_err());
        assert!(NewEvaluation::check(MAX_QUERIES + 1, 8, 10).unwrap_err().to_string().contains("at most 1000 of 8"));
        assert!(NewEvaluation::check(9, 65_536, 10).unwrap_err().to_string().contains("at most 8 of 65536"));
        assert!(NewEvaluation::check(8, 65_536, 10).is_ok());
        assert!(sets.list().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn answers_that_do_not_fit_their_set_are_damaged() {
        let sets = evaluations().await;
        let strange = Answers::new(Vec::new(), answers().queries);
        let made = sets.create(new("x"), &strange, &Actor::new("ada")).await.unwrap();
        let why = sets.answers(&made).await.unwrap_err();
        assert_eq!(why.kind(), ErrorKind::Corrupt, "{why}");
    }
}
