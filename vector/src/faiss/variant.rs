//! Which of FAISS's builds this processor runs.

use std::{
    ffi::{CStr, c_char},
    sync::OnceLock,
};

use super::ffi::{self, Table};
use crate::{Error, Result};

/// Names the instruction set to use instead of the best one.
const FORCED: &str = "SKEIN_FAISS_ISA";

/// FAISS built for a set of instructions.
struct Variant {
    name: &'static str,
    /// What the processor must have for it.
    needs: &'static str,
    available: fn() -> bool,
    #[allow(unsafe_code)]
    entry: unsafe extern "C" fn() -> *const Table,
}

/// The best one first; the last one runs everywhere. What they need is what `build.rs` compiles them with.
const VARIANTS: &[Variant] = &[
    #[cfg(skein_faiss = "avx512")]
    Variant {
        name: "avx512",
        needs: "AVX-512 F, CD, VL, DQ and BW, AVX2, FMA, F16C and POPCNT",
        available: || has_avx2() && has_avx512(),
        entry: ffi::skein_faiss_avx512,
    },
    #[cfg(skein_faiss = "avx2")]
    Variant { name: "avx2", needs: "AVX2, FMA, F16C and POPCNT", available: has_avx2, entry: ffi::skein_faiss_avx2 },
    Variant { name: "generic", needs: "nothing", available: || true, entry: ffi::skein_faiss_generic },
];

#[cfg(any(skein_faiss = "avx2", skein_faiss = "avx512"))]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
        && std::arch::is_x86_feature_detected!("popcnt")
}

#[cfg(skein_faiss = "avx512")]
fn has_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512cd")
        && std::arch::is_x86_feature_detected!("avx512vl")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512bw")
}

/// The best variant, or the one that is asked for.
fn choose(forced: Option<&str>) -> Result<&'static Variant> {
    let Some(forced) = forced else {
        let best = VARIANTS.iter().find(|variant| (variant.available)());
        return best.ok_or_else(|| Error::Internal("no build of FAISS runs on this processor".to_owned()));
    };
    let Some(variant) = VARIANTS.iter().find(|variant| variant.name == forced) else {
        let names: Vec<_> = VARIANTS.iter().map(|variant| variant.name).collect();
        return Err(Error::Invalid(format!("{FORCED} is '{forced}'; this server has {}", names.join(", "))));
    };
    if !(variant.available)() {
        return Err(Error::Invalid(format!(
            "{FORCED} asks for '{forced}', which needs a processor with {}; this one has not all of it. Unset it to use what there is",
            variant.needs
        )));
    }
    Ok(variant)
}

/// A table that was checked, with texts and functions that live as long as the process.
pub(super) struct Faiss(pub(super) &'static Table);

#[allow(unsafe_code)]
// SAFETY: nothing in a table ever changes, and its functions may be called from any thread.
unsafe impl Send for Faiss {}
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl Sync for Faiss {}

/// The functions of FAISS for this processor, chosen once.
///
/// # Errors
/// `InvalidInput` where SKEIN_FAISS_ISA names a variant that is not there or that the processor cannot run.
pub(super) fn faiss() -> Result<&'static Faiss> {
    static CHOSEN: OnceLock<Result<Faiss, String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let forced = std::env::var(FORCED).ok().filter(|forced| !forced.is_empty());
        choose(forced.as_deref()).and_then(load).map_err(|error| error.to_string())
    });
    chosen.as_ref().map_err(|error| Error::Invalid(error.clone()))
}

#[allow(unsafe_code)]
fn load(variant: &Variant) -> Result<Faiss> {
    // SAFETY: the processor has what the variant was compiled for, and this runs once per process (for each variant that is asked for).
    let table = unsafe { (variant.entry)().as_ref() };
    let table = table.ok_or_else(|| Error::Internal(format!("FAISS's variant {} has no table", variant.name)))?;
    if table.abi != ffi::ABI || usize::try_from(table.size) != Ok(size_of::<Table>()) {
        return Err(Error::Internal(format!(
            "the bridge to FAISS has version {}, not {}; build it anew",
            table.abi,
            ffi::ABI
        )));
    }
    Ok(Faiss(table))
}

/// FAISS's version, as "1.12.0".
///
/// # Errors
/// As [`instruction_set`].
pub fn version() -> Result<&'static str> {
    text(faiss()?.0.version)
}

/// Which instructions FAISS uses here: "avx512", "avx2" or "generic".
///
/// # Errors
/// `InvalidInput` where the environment variable SKEIN_FAISS_ISA names a set that is not there or that the processor lacks.
pub fn instruction_set() -> Result<&'static str> {
    text(faiss()?.0.variant)
}

#[allow(unsafe_code)]
fn text(text: *const c_char) -> Result<&'static str> {
    // SAFETY: it comes from a table, whose texts end in 0 and live as long as the process.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|error| Error::Internal(format!("a text of FAISS's bridge: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_variant_always_runs() {
        assert!((choose(None).unwrap().available)());
        assert_eq!(choose(Some("generic")).unwrap().name, "generic");
        assert_eq!(version().unwrap(), "1.12.0");
        assert!(VARIANTS.iter().any(|variant| variant.name == instruction_set().unwrap()));
    }

    #[test]
    fn a_variant_that_cannot_run_is_refused() {
        assert!(choose(Some("neon")).err().unwrap().to_string().contains("this server has"));
        for variant in VARIANTS {
            match choose(Some(variant.name)) {
                Ok(chosen) => assert!((chosen.available)()),
                Err(error) => assert!(error.to_string().contains("needs a processor with"), "{error}"),
            }
        }
    }
}
