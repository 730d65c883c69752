//! Crates depend on each other in one direction only: the table of ARCHITECTURE.md.

use std::{collections::BTreeMap, path::Path};

use toml_edit::DocumentMut;

/// What each crate may depend on. A crate that is not here may not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("proto", &["model"]),
    ("storage", &["model"]),
    ("ai", &["model"]),
    ("text", &["model"]),
    ("catalog", &["storage", "model"]),
    ("vector", &["catalog", "text", "storage", "model"]),
    ("ingest", &["catalog", "storage", "model"]),
    ("query", &["catalog", "vector", "text", "ai", "storage", "model"]),
    ("flight-sql", &["query", "proto", "model"]),
    (
        "flight-server",
        &["flight-sql", "query", "ingest", "vector", "ai", "catalog", "storage", "proto", "model", "client"],
    ),
    ("client", &["proto"]),
    (
        "tests",
        &["flight-server", "flight-sql", "query", "ingest", "vector", "catalog", "storage", "proto", "model", "client"],
    ),
];

fn read(path: &Path) -> DocumentMut {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).parse().unwrap()
}

fn ours(manifest: &DocumentMut, sections: &[&str]) -> Vec<String> {
    sections
        .iter()
        .filter_map(|section| manifest.get(section)?.as_table_like())
        .flat_map(|table| table.iter().map(|(name, _)| name.to_owned()))
        .filter_map(|name| name.strip_prefix("skein-").map(str::to_owned))
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let workspace = read(&root.join("Cargo.toml"));
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut faults = Vec::new();
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let folder = member.as_str().unwrap();
        let manifest = read(&root.join(folder).join("Cargo.toml"));
        let name = manifest["package"]["name"].as_str().unwrap().strip_prefix("skein-").unwrap().to_owned();
        let Some(allowed) = allowed.get(name.as_str()) else {
            faults.push(format!("{folder}: skein-{name} is not in the table"));
            continue;
        };
        for dependency in ours(&manifest, &["dependencies", "build-dependencies"]) {
            if !allowed.contains(&dependency.as_str()) {
                faults.push(format!("skein-{name} may not depend on skein-{dependency}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_transport_stays_in_flight_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for folder in ["model", "proto", "storage", "catalog", "vector", "text", "ingest", "query", "flight-sql"] {
        let manifest = read(&root.join(folder).join("Cargo.toml"));
        for section in ["dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(section).and_then(|section| section.as_table_like()) else { continue };
            for (name, _) in table.iter() {
                assert!(!matches!(name, "tonic" | "hyper" | "axum" | "tower" | "tokio-rustls"), "{folder} uses {name}");
            }
        }
    }
}
