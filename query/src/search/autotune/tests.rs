//! Tuning from beginning to end, over a bucket in memory.

use arrow::{array::AsArray, datatypes::Int64Type};

use serde_json::json;
use skein_vector::SearchDefaults;

use super::*;
use crate::{EngineConfig, NewEvaluationRequest, NewIndexRequest, Queries, Session, Subject, TrialRequest, testing};
use skein_vector::{IndexKind, Metric};

struct Lab {
    session: Arc<Session>,
    engine: Engine,
    ada: Actor,
    _folder: tempfile::TempDir,
}

fn name(name: &str) -> TableName {
    TableName::in_default_schema(name).unwrap()
}

impl Lab {
    /// A dataset `t` of two files with 600 vectors around a circle.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index_dir = Some(folder.path().to_owned());
        let session =
            testing::session_with(EngineConfig { target_partitions: 2, index_dir, ..EngineConfig::default() }).await;
        testing::update(&session, "create table t (id bigint, e float[4])").await;
        for first in [0, 300] {
            let vectors = "[cos(v), sin(v), cos(v * 7) / 4, sin(v * 11) / 4]";
            let last = first + 299;
            testing::update(
                &session,
                &format!("insert into t select v, {vectors} from generate_series({first}, {last}) as g(v)"),
            )
            .await;
        }
        let engine = session.engine().clone();
        Self { session, engine, ada: Actor::new("ada"), _folder: folder }
    }

    async fn index(&self, spec: IndexSpec) -> Definition {
        let request = NewIndexRequest {
            table: name("t"),
            column: "e".to_owned(),
            name: Some("i".to_owned()),
            spec,
            model: None,
            if_not_exists: false,
        };
        let created = self.engine.create_index(request, &self.ada).await.unwrap();
        self.engine.wait_for_job(created.job.unwrap()).await.unwrap();
        self.definition().await
    }

    async fn definition(&self) -> Definition {
        self.engine.indexes().definitions().get(&name("i")).await.unwrap()
    }

    async fn evaluation(&self, queries: usize) -> Evaluation {
        let request = NewEvaluationRequest {
            table: name("t"),
            column: None,
            name: "set".to_owned(),
            queries: Queries::Drawn { count: queries, seed: None },
            k: 5,
            metric: None,
        };
        self.engine.create_evaluation(request, &self.ada).await.unwrap()
    }

    async fn tune(&self, change: impl FnOnce(&mut AutotuneRequest)) -> Value {
        let mut request = AutotuneRequest {
            index: name("i"),
            evaluation: Some(name("set")),
            recall_floor: 0.95,
            time: Duration::from_secs(120),
            memory: None,
            candidates: Vec::new(),
            dry_run: false,
        };
        change(&mut request);
        let job = self.engine.autotune_index(request, &self.ada).await.unwrap();
        self.engine.wait_for_job(job).await.unwrap().result.unwrap()
    }
}

/// An index that finds too little: it keeps four bits of a vector.
fn poor() -> IndexSpec {
    let factory = Some("PQ1x4np".to_owned());
    IndexSpec { factory, ..IndexSpec::new(IndexKind::Factory, Metric::L2) }
}

#[tokio::test(flavor = "multi_thread")]
async fn trials_of_what_is_built_and_of_what_is_there_are_kept_and_compared() {
    let lab = Lab::new().await;
    let index = lab.index(IndexSpec::new(IndexKind::Flat, Metric::L2)).await;
    lab.evaluation(30).await;
    let none = SearchDefaults::default();
    let searches = vec![SearchDefaults { ef: Some(5), ..none }, SearchDefaults { ef: Some(100), ..none }];
    for (subject, searches) in [
        (Subject::Build(IndexSpec::new(IndexKind::Hnsw, Metric::Cosine)), searches),
        (Subject::Index { name: name("i"), generation: None }, Vec::new()),
    ] {
        let request = TrialRequest { evaluation: name("set"), subject, searches };
        let job = lab.engine.run_trials(request, &lab.ada).await.unwrap();
        let job = lab.engine.wait_for_job(job).await.unwrap();
        assert_eq!(job.result.unwrap()["evaluation"], "public.set");
    }
    let trials = lab.session.trials().await.unwrap();
    assert_eq!(trials.len(), 3);
    let (live, built): (Vec<_>, Vec<_>) = trials.iter().partition(|row| row.trial.index.is_some());
    assert_eq!((live[0].trial.recall, live[0].trial.generation), (1.0, index.live));
    assert!(built.iter().all(|row| row.trial.spec.metric == Metric::L2), "as the set has it");
    assert!(built.iter().all(|row| row.trial.vectors == 600 && row.trial.latency.p50_us > 0.0));
    assert!(trials.iter().any(|row| row.pareto));
    let rows =
        testing::batches(&lab.session, "select count(*) from system.trials where recall >= 0.9 and p99_us >= p50_us")
            .await;
    assert!(rows[0].column(0).as_primitive::<Int64Type>().value(0) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_better_becomes_live_with_its_way_to_search_and_can_be_taken_back() {
    let lab = Lab::new().await;
    let before = lab.index(poor()).await;
    lab.evaluation(40).await;
    let graph = IndexSpec { m: Some(8), ..IndexSpec::new(IndexKind::Hnsw, Metric::L2) };
    let dry = lab.tune(|request| (request.candidates, request.dry_run) = (vec![graph.clone()], true)).await;
    assert_eq!((&dry["better"], &dry["changed"]), (&json!(true), &json!(false)), "{dry}");
    assert_eq!(lab.definition().await, before);
    let done = lab.tune(|request| request.candidates = vec![graph.clone()]).await;
    assert_eq!(done["changed"], true, "{done}");
    let after = lab.definition().await;
    assert_ne!(after.live, before.live);
    assert_eq!(after.spec, graph);
    let search = after.search_defaults();
    assert!(search.ef.is_some() && search.up_to_k == Some(5), "{search:?}");
    assert!(after.promotions.last().unwrap().reason.as_ref().unwrap().contains("recall floor"));
    lab.engine.roll_back_index(&name("i"), &lab.ada).await.unwrap();
    let back = lab.definition().await;
    assert_eq!(
        (back.live, back.spec.clone(), back.search_defaults()),
        (before.live, poor(), SearchDefaults::default())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_better_changes_nothing() {
    let lab = Lab::new().await;
    let before = lab.index(IndexSpec::new(IndexKind::Flat, Metric::L2)).await;
    lab.evaluation(40).await;
    let kept = lab.tune(|request| request.candidates = vec![poor()]).await;
    assert_eq!((&kept["changed"], &kept["live"]["recall"]), (&json!(false), &json!(1.0)), "{kept}");
    let broke = lab.tune(|request| (request.candidates, request.memory) = (vec![poor()], Some(1))).await;
    assert!(broke["skipped"][0]["why"].as_str().unwrap().contains("of memory"), "{broke}");
    let unreachable = Duration::from_nanos(1);
    let late = lab.tune(|request| (request.candidates, request.time) = (vec![poor()], unreachable)).await;
    assert!(late["skipped"][0]["why"].as_str().unwrap().contains("time was over"), "{late}");
    assert_eq!(lab.definition().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_made_where_none_is_named_and_the_next_one_takes_its_place() {
    let lab = Lab::new().await;
    lab.index(IndexSpec::new(IndexKind::Flat, Metric::L2)).await;
    for _ in 0..2 {
        let done = lab.tune(|request| (request.evaluation, request.dry_run) = (None, true)).await;
        assert_eq!(done["evaluation"], "public.i_autotune");
    }
    let sets = lab.session.evaluations().await.unwrap();
    assert_eq!(sets.len(), 1);
    assert_eq!((sets[0].evaluation.queries, sets[0].evaluation.k), (200, 10));
    assert!(lab.session.trials().await.unwrap().iter().all(|row| row.evaluation.id == sets[0].evaluation.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_at_once() {
    let lab = Lab::new().await;
    lab.index(IndexSpec::new(IndexKind::Flat, Metric::L2)).await;
    lab.evaluation(5).await;
    let refused = async |change: fn(&mut AutotuneRequest)| {
        let mut request = AutotuneRequest {
            index: name("i"),
            evaluation: None,
            recall_floor: 0.9,
            time: Duration::from_secs(1),
            memory: None,
            candidates: Vec::new(),
            dry_run: false,
        };
        change(&mut request);
        lab.engine.autotune_index(request, &lab.ada).await.unwrap_err().to_string()
    };
    assert!(refused(|request| request.recall_floor = 1.01).await.contains("recall_floor is 1.01"));
    assert!(refused(|request| request.recall_floor = f64::NAN).await.contains("recall_floor is NaN"));
    assert!(refused(|request| request.time = Duration::ZERO).await.contains("max_seconds is 0"));
    assert!(refused(|request| request.memory = Some(0)).await.contains("max_memory is 0"));
    assert!(refused(|request| request.index = name("j")).await.contains("does not exist"));
    assert!(refused(|request| request.evaluation = Some(name("sett"))).await.contains("did you mean 'public.set'"));
    let bad = |request: &mut AutotuneRequest| {
        request.candidates = vec![IndexSpec { pq_m: Some(3), ..IndexSpec::new(IndexKind::IvfPq, Metric::L2) }];
    };
    assert!(refused(bad).await.contains("does not divide"));
}
