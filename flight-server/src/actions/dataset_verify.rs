//! `dataset.verify`: looks for missing, orphaned and corrupt files.

use std::sync::Arc;

use skein_catalog::maintenance::{self, FindingKind, VerifyOptions};
use skein_proto::{DatasetVerifyRequest, DatasetVerifyResponse, Finding};
use tonic::Status;

use crate::{server::State, status};

pub(super) async fn run(state: &Arc<State>, request: DatasetVerifyRequest) -> Result<DatasetVerifyResponse, Status> {
    let table = if request.dataset.is_empty() { None } else { Some(super::table(request.schema, request.dataset)?) };
    let options = VerifyOptions { deep: request.deep, table };
    let report = maintenance::verify(&state.catalog, options).await.map_err(|error| status::from_error(&error))?;
    Ok(DatasetVerifyResponse {
        findings: report.findings.into_iter().map(message).collect(),
        files_checked: report.files_checked,
        bytes_checked: report.bytes_checked,
        pending: report.pending.into_iter().map(message).collect(),
    })
}

fn message(finding: maintenance::Finding) -> Finding {
    Finding {
        dataset: finding.dataset,
        kind: kind(finding.kind).to_owned(),
        bucket: finding.bucket,
        key: finding.key,
        detail: finding.detail,
        advice: finding.advice,
    }
}

const fn kind(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Missing => "missing",
        FindingKind::Orphan => "orphan",
        FindingKind::Dropped => "dropped",
        FindingKind::Unfinished => "unfinished",
        FindingKind::Expired => "expired",
        FindingKind::SizeMismatch => "size_mismatch",
        FindingKind::Corrupt => "corrupt",
        FindingKind::BadLog => "bad_log",
        FindingKind::Unreadable => "unreadable",
    }
}
