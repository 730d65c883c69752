//! From bytes to a plan's message, and what is looked at before anything in it is.

use datafusion_substrait::substrait::proto::{Plan, PlanVersion, Rel, Version, plan_rel::RelType, rel};
use prost::Message;

use crate::{Error, Result};

/// The oldest version of Substrait whose plans are read: since 0.20 functions get their arguments where they are looked for.
pub const OLDEST: &str = "0.20.0";
/// The newest: later ones may say what is not seen here.
pub const NEWEST: &str = "0.85.0";

/// Checks a version of Substrait, such as `0.63.0`, that a plan is said to be of; an empty one says nothing.
///
/// # Errors
/// `InvalidInput` when it is no version, `Unimplemented` when it is not between [`OLDEST`] and [`NEWEST`].
pub fn check_version(version: &str) -> Result<()> {
    if version.is_empty() {
        return Ok(());
    }
    let Some(asked) = parse(version) else {
        let version: String = version.chars().take(40).collect();
        return Err(Error::Invalid(format!(
            "'{version}' is no version of Substrait; give one such as {NEWEST}, or none"
        )));
    };
    let within =
        parse(OLDEST).is_some_and(|oldest| oldest <= asked) && parse(NEWEST).is_some_and(|newest| asked <= newest);
    match within {
        true => Ok(()),
        false => Err(Error::unsupported(
            format!("a plan of Substrait {version}"),
            "have its producer write a version from 0.20.0 to 0.85.0",
        )),
    }
}

fn parse(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let parsed = [parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?];
    parts.next().is_none().then_some(parsed)
}

/// The message in `bytes`. How deep it may be nested is prost's limit, 100 messages.
pub(crate) fn plan(bytes: &[u8]) -> Result<Plan> {
    if bytes.is_empty() {
        return Err(Error::Invalid("the Substrait plan is empty; send a serialised substrait.Plan".to_owned()));
    }
    // By itself, so that a plan of another version is not called damaged.
    if let Ok(PlanVersion { version: Some(Version { major_number, minor_number, patch_number, .. }) }) =
        PlanVersion::decode(bytes)
        && [major_number, minor_number, patch_number] != [0; 3]
    {
        check_version(&format!("{major_number}.{minor_number}.{patch_number}"))?;
    }
    let plan = Plan::decode(bytes).map_err(|error| {
        let why = match error.to_string() {
            nested if nested.contains("recursion limit") => "it is nested more than 100 messages deep".to_owned(),
            _ if bytes.starts_with(b"{") => "it is JSON; send the protobuf encoding".to_owned(),
            other => other,
        };
        Error::Invalid(format!("the bytes are no Substrait plan that can be read: {why}"))
    })?;
    check(&plan)?;
    Ok(plan)
}

fn check(plan: &Plan) -> Result<()> {
    match plan.relations.len() {
        0 => return Err(Error::Invalid("the Substrait plan has no relation; it needs one".to_owned())),
        1 => {}
        count => {
            return Err(Error::unsupported(
                format!("a Substrait plan with {count} relations"),
                "write a relation that is used twice out in both places",
            ));
        }
    }
    if plan.advanced_extensions.as_ref().is_some_and(|extension| extension.enhancement.is_some()) {
        return Err(Error::unsupported("an enhancement of a Substrait plan", "leave it out"));
    }
    Ok(())
}

/// The relation at the top of a plan.
pub(crate) fn root(plan: &Plan) -> Result<&rel::RelType> {
    let relation = match plan.relations.first().and_then(|relation| relation.rel_type.as_ref()) {
        Some(RelType::Rel(relation)) => Some(relation),
        Some(RelType::Root(root)) => root.input.as_ref(),
        None => None,
    };
    match relation {
        Some(Rel { rel_type: Some(relation) }) => Ok(relation),
        _ => Err(Error::Invalid(
            "the Substrait plan has no relation at its root, or one of a kind not known here".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use datafusion_substrait::substrait::version;
    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[test]
    fn versions() {
        for known in ["", OLDEST, "0.63", "0.84.9", NEWEST] {
            check_version(known).unwrap();
        }
        for other in ["0.19.9", "0.85.1", "1.0.0"] {
            assert_eq!(check_version(other).unwrap_err().kind(), ErrorKind::Unimplemented, "{other}");
        }
        for wrong in ["x", "1", "1.2.3.4", "0.-1.0", "0.63.", "4294967296.0.0"] {
            assert_eq!(check_version(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn the_newest_version_is_the_one_that_is_compiled_in() {
        let Version { major_number, minor_number, patch_number, .. } = version::version();
        assert_eq!(NEWEST, format!("{major_number}.{minor_number}.{patch_number}"));
    }

    #[test]
    fn what_is_no_plan_says_so() {
        let refused = |bytes: &[u8]| plan(bytes).unwrap_err();
        assert!(refused(b"").to_string().contains("empty"));
        assert!(refused(b"{\"relations\": []}").to_string().contains("JSON"));
        assert_eq!(refused(b"select 1").kind(), ErrorKind::InvalidInput);
        let newer = PlanVersion { version: Some(Version { major_number: 1, ..Default::default() }) }.encode_to_vec();
        assert_eq!(refused(&newer).kind(), ErrorKind::Unimplemented);
    }
}
