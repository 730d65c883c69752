//! Which parameters can be asked for.

use std::ops::RangeInclusive;

use super::factory;
use crate::{Error, IndexKind, IndexSpec, Result, check};

/// FAISS takes any M; below this the graph falls apart, above it only memory grows.
const M: RangeInclusive<u32> = 4..=256;
const EF_CONSTRUCTION: RangeInclusive<u32> = 8..=4_096;
/// FAISS's guideline for a thousand million vectors.
const NLIST: RangeInclusive<u32> = 1..=1_048_576;

/// Refuses what cannot be built for vectors of `dimension` numbers.
///
/// # Errors
/// `InvalidInput` that names the parameter, its value and what is allowed, also for a parameter that the kind has no use for.
pub fn validate(spec: &IndexSpec, dimension: usize) -> Result<()> {
    use IndexKind::{Factory, Hnsw, HnswSq8, IvfFlat, IvfPq, IvfPqRefine, IvfSq8};
    check::dimension(dimension)?;
    let graphs = [Hnsw, HnswSq8];
    for (name, value, range, kinds) in [
        ("m", spec.m, M, &graphs[..]),
        ("ef_construction", spec.ef_construction, EF_CONSTRUCTION, &[Hnsw, HnswSq8, Factory]),
        ("nlist", spec.nlist, NLIST, &[IvfFlat, IvfSq8, IvfPq, IvfPqRefine]),
        ("pq_m", spec.pq_m, 1..=u32::try_from(dimension).unwrap_or(u32::MAX), &[IvfPq, IvfPqRefine]),
    ] {
        let Some(value) = value else { continue };
        if !kinds.contains(&spec.kind) {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
            return Err(Error::Invalid(format!(
                "{name} is {value}, but an index of kind {} has no {name}; it is for {}",
                spec.kind,
                kinds.join(", ")
            )));
        }
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            return Err(Error::Invalid(format!("{name} is {value}; it must be from {least} to {most}")));
        }
    }
    divides(spec.pq_m, dimension)?;
    match (&spec.factory, spec.kind) {
        (Some(string), Factory) => factory::check(string, dimension),
        (None, Factory) => {
            Err(Error::Invalid("an index of kind factory needs a factory string, such as 'HNSW32,SQ8'".to_owned()))
        }
        (Some(string), kind) => Err(Error::Invalid(format!(
            "factory is '{string}', which is for the kind factory only; this one is {kind}"
        ))),
        (None, kind) if !kind.is_of_vectors() => Err(Error::Invalid(format!(
            "an index of kind {kind} is one of words, not of vectors; its column holds text"
        ))),
        (None, _) => Ok(()),
    }
}

fn divides(pq_m: Option<u32>, dimension: usize) -> Result<()> {
    let Some(parts) = pq_m.map(|parts| parts as usize).filter(|parts| !dimension.is_multiple_of(*parts)) else {
        return Ok(());
    };
    let possible: Vec<_> =
        (1..=dimension).filter(|parts| dimension.is_multiple_of(*parts)).map(|n| n.to_string()).collect();
    Err(Error::Invalid(format!(
        "pq_m is {parts}, which does not divide the dimension {dimension}; it can be {}",
        possible.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;

    #[test]
    fn a_parameter_that_is_out_of_range_is_named() {
        let why = |kind, change: fn(&mut IndexSpec)| {
            let mut spec = IndexSpec::new(kind, Metric::L2);
            change(&mut spec);
            validate(&spec, 12).unwrap_err().to_string()
        };
        assert_eq!(why(IndexKind::Hnsw, |spec| spec.m = Some(1)), "m is 1; it must be from 4 to 256");
        assert!(why(IndexKind::Hnsw, |spec| spec.ef_construction = Some(1_000_000)).contains("from 8 to 4096"));
        assert!(why(IndexKind::IvfFlat, |spec| spec.nlist = Some(0)).contains("nlist is 0"));
        assert!(why(IndexKind::IvfFlat, |spec| spec.m = Some(32)).contains("ivf_flat has no m; it is for hnsw"));
        assert!(why(IndexKind::IvfPq, |spec| spec.pq_m = Some(5)).contains("it can be 1, 2, 3, 4, 6, 12"));
        assert!(why(IndexKind::Factory, |_| ()).contains("needs a factory string"));
        assert!(
            why(IndexKind::Flat, |spec| spec.factory = Some("Flat".to_owned())).contains("for the kind factory only")
        );
        assert!(validate(&IndexSpec::new(IndexKind::Flat, Metric::L2), 0).is_err());
    }
}
