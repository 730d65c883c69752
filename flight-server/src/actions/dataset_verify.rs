//! `dataset.verify`: looks for missing, orphaned and corrupt files.

use std::sync::Arc;

use skein_catalog::{
    Catalog,
    maintenance::{self, FindingKind, VerifyOptions, VerifyReport},
};
use skein_proto::{DatasetVerifyRequest, DatasetVerifyResponse, Finding};
use tokio::{runtime::Handle, sync::oneshot, task::spawn_blocking};
use tonic::Status;

use crate::{server::State, status};

pub(super) async fn run(state: &Arc<State>, request: DatasetVerifyRequest) -> Result<DatasetVerifyResponse, Status> {
    let table = if request.dataset.is_empty() { None } else { Some(super::table(request.schema, request.dataset)?) };
    let options = VerifyOptions { deep: request.deep, table };
    let report = verify(state.catalog.clone(), options).await?;
    let findings = report.findings.into_iter().map(|finding| Finding {
        dataset: finding.dataset,
        kind: kind(finding.kind).to_owned(),
        bucket: finding.bucket,
        key: finding.key,
        detail: finding.detail,
        advice: finding.advice,
    });
    Ok(DatasetVerifyResponse {
        findings: findings.collect(),
        files_checked: report.files_checked,
        bytes_checked: report.bytes_checked,
    })
}

/// Verifies on a thread of its own, since whole files are hashed. Ends early when the caller goes away.
async fn verify(catalog: Catalog, options: VerifyOptions) -> Result<VerifyReport, Status> {
    let (alive, gone) = oneshot::channel::<()>();
    let runtime = Handle::current();
    let work = spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                report = maintenance::verify(&catalog, options) => report.map_err(|error| status::from_error(&error)),
                _ = gone => Err(Status::cancelled("nobody waits for the answer")),
            }
        })
    });
    let report = work.await.map_err(|error| status::internal(&format!("verify: {error}")))?;
    drop(alive);
    report
}

const fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Missing => "missing",
        FindingKind::Orphan => "orphan",
        FindingKind::SizeMismatch => "size_mismatch",
        FindingKind::Corrupt => "corrupt",
        FindingKind::BadLog => "bad_log",
        FindingKind::Unreadable => "unreadable",
    }
}
