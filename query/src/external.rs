//! External tables: files left in place. [`describe`] looks at them once, when the table is created; [`provider`] reads them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::datatypes::{DataType, Schema, SchemaRef};
use chrono::Utc;
use datafusion::{
    catalog::TableProvider,
    common::DFSchema,
    datasource::{
        file_format::FileFormat,
        listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl},
    },
    execution::session_state::SessionState,
    logical_expr::{DdlStatement, ExprSchemable, LogicalPlan},
    sql::parser::{CreateExternalTable as Ast, Statement as DfStatement},
};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};
use skein_catalog::{ExternalSpec, StoredSchema};
use skein_model::TableName;

use crate::{Engine, Error, Result, location::Location, names::Scope, statement::definition::sql_type};

/// The option that keeps which of a folder's files belong to the table.
const EXTENSION_OPTION: &str = "extension";
/// File name endings that are taken from a folder, by format; the first one found decides.
const EXTENSIONS: [(&str, &[&str]); 4] = [
    ("parquet", &["parquet", "parq", "pq"]),
    ("csv", &["csv", "csv.gz", "csv.zst", "csv.bz2", "csv.xz", "tsv", "txt"]),
    ("json", &["json", "ndjson", "jsonl", "json.gz", "ndjson.gz", "jsonl.gz", "json.zst", "jsonl.zst"]),
    ("arrow", &["arrow", "feather", "ipc"]),
];
/// How many files are looked at to find the partition columns.
const SAMPLED_FILES: usize = 1000;

/// What is kept of a `CREATE EXTERNAL TABLE`: where the files are, how to read them, which columns they have.
pub(crate) async fn describe(scope: &Scope, create: Ast) -> Result<ExternalSpec> {
    let format = format_name(&create.file_type)?;
    let engine = scope.session().engine().clone();
    let text = create.location.clone();
    let location = Location::parse(&text, engine.catalog().buckets(), engine.config().allow_local_paths)?;
    // DataFusion reads the column types and the options for us.
    let planned = match scope.plan(DfStatement::CreateExternalTable(create)).await? {
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(planned)) => planned,
        _ => return Err(Error::Invalid("CREATE EXTERNAL TABLE could not be planned".to_owned())),
    };
    let state = &scope.core().state;
    let location = file_or_folder(location, state).await?;
    let files = sample(&location, state).await?;
    let mut options: BTreeMap<String, String> = planned.options.into_iter().collect();
    let extension = extension(&location, format, &files)?;
    if let Some(compression) = compression(format, extension.as_deref().unwrap_or(location.path())) {
        options.entry("format.compression".to_owned()).or_insert_with(|| compression.to_owned());
    }
    if let Some(extension) = extension {
        options.insert(EXTENSION_OPTION.to_owned(), extension);
    }
    let declared = planned.schema.as_arrow();
    let partitions = partitions(&location, &planned.table_partition_cols, declared, &files)?;
    let mut spec = ExternalSpec {
        location: location.canonical(),
        format: format.to_owned(),
        schema: None,
        partition_columns: partitions.iter().map(|(name, data_type)| (name.clone(), sql_type(data_type))).collect(),
        options,
        created_by: scope.session().principal().name.clone(),
        created_at: Utc::now(),
    };
    let listing = Listing::new(&engine, state, &spec)?;
    let schema = match declared.fields().is_empty() {
        true => listing.options.infer_schema(state, &listing.url).await?,
        false => without(declared, &partitions),
    };
    spec.schema = Some(StoredSchema(schema));
    Ok(spec)
}

/// Reads an external table.
pub(crate) async fn provider(
    engine: &Engine,
    state: &SessionState,
    name: &TableName,
    spec: &ExternalSpec,
) -> Result<Arc<dyn TableProvider>> {
    let listing = Listing::new(engine, state, spec)?;
    let schema = match &spec.schema {
        Some(schema) => schema.0.clone(),
        None => listing.options.infer_schema(state, &listing.url).await?,
    };
    let config = ListingTableConfig::new(listing.url).with_listing_options(listing.options).with_schema(schema);
    let cache = state.runtime_env().cache_manager.get_file_statistic_cache();
    tracing::debug!(table = %name, location = spec.location, "reading an external table");
    Ok(Arc::new(ListingTable::try_new(config)?.with_cache(cache)))
}

/// Where and how to list and read.
struct Listing {
    url: ListingTableUrl,
    options: ListingOptions,
}

impl Listing {
    fn new(engine: &Engine, state: &SessionState, spec: &ExternalSpec) -> Result<Self> {
        let location = Location::parse(&spec.location, engine.catalog().buckets(), engine.config().allow_local_paths)?;
        let mut columns = Vec::with_capacity(spec.partition_columns.len());
        for (name, sql_type) in &spec.partition_columns {
            columns.push((name.clone(), arrow_type(state, sql_type)?));
        }
        let extension = match spec.options.get(EXTENSION_OPTION) {
            Some(extension) => format!(".{extension}"),
            None => String::new(),
        };
        let options = ListingOptions::new(file_format(state, spec)?)
            .with_session_config_options(state.config())
            .with_file_extension(extension)
            .with_table_partition_cols(columns);
        Ok(Self { url: location.listing()?, options })
    }
}

fn file_format(state: &SessionState, spec: &ExternalSpec) -> Result<Arc<dyn FileFormat>> {
    let factory = state
        .get_file_format_factory(&spec.format)
        .ok_or_else(|| Error::Invalid(format!("file format '{}' is unknown", spec.format)))?;
    let options: HashMap<_, _> =
        spec.options.iter().filter(|(key, _)| *key != EXTENSION_OPTION).map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(factory.create(state, &options)?)
}

fn arrow_type(state: &SessionState, sql_type: &str) -> Result<DataType> {
    let empty = DFSchema::empty();
    Ok(state.create_logical_expr(&format!("CAST(NULL AS {sql_type})"), &empty)?.get_type(&empty)?)
}

fn format_name(stored_as: &str) -> Result<&'static str> {
    match stored_as.to_ascii_lowercase().as_str() {
        "parquet" => Ok("parquet"),
        "csv" | "tsv" => Ok("csv"),
        "json" | "ndjson" | "jsonl" => Ok("json"),
        "arrow" | "ipc" | "feather" => Ok("arrow"),
        _ => Err(Error::Invalid(format!("file format '{stored_as}' is unknown; use PARQUET, CSV, JSON or ARROW"))),
    }
}

/// A location without a trailing slash names a file if there is one, else a folder.
async fn file_or_folder(location: Location, state: &SessionState) -> Result<Location> {
    if location.is_collection() {
        return Ok(location);
    }
    let url = location.listing()?;
    let store = state.runtime_env().object_store(&url)?;
    match store.head(url.prefix()).await {
        Ok(_) => Ok(location),
        Err(object_store::Error::NotFound { .. }) => Ok(location.into_folder()),
        Err(error) => Err(datafusion::error::DataFusionError::from(error).into()),
    }
}

/// Some of the files; only those of a folder are looked at.
async fn sample(location: &Location, state: &SessionState) -> Result<Vec<ObjectMeta>> {
    if !location.is_collection() {
        return Ok(Vec::new());
    }
    let url = location.listing()?;
    let store = state.runtime_env().object_store(&url)?;
    let mut listed = url.list_all_files(state, store.as_ref(), "").await?;
    let mut files = Vec::new();
    while let Some(file) = listed.try_next().await? {
        if file.size > 0 && url.contains(&file.location, false) {
            files.push(file);
        }
        if files.len() == SAMPLED_FILES {
            break;
        }
    }
    Ok(files)
}

/// Which files of a folder belong to the table; `None` for a file or a pattern, which say so themselves.
fn extension(location: &Location, format: &str, files: &[ObjectMeta]) -> Result<Option<String>> {
    if !location.path().ends_with('/') {
        return Ok(None);
    }
    let known = EXTENSIONS.iter().find(|(name, _)| *name == format).map(|(_, known)| *known).unwrap_or_default();
    let has = |extension: &str| files.iter().any(|file| file.location.as_ref().ends_with(&format!(".{extension}")));
    match known.iter().find(|extension| has(extension)) {
        Some(extension) => Ok(Some((*extension).to_owned())),
        None => Err(Error::NotFound(format!(
            "there are no {format} files in '{}' (looked for names that end in .{}); check the location, or give a pattern such as {}*",
            location.canonical(),
            known.join(", ."),
            location.path()
        ))),
    }
}

fn compression(format: &str, name: &str) -> Option<&'static str> {
    if !matches!(format, "csv" | "json") {
        return None;
    }
    match name.rsplit('.').next()? {
        "gz" => Some("gzip"),
        "zst" => Some("zstd"),
        "bz2" => Some("bzip2"),
        "xz" => Some("xz"),
        _ => None,
    }
}

/// The hive partition columns: those named in the statement, else those found in the paths.
fn partitions(
    location: &Location,
    named: &[String],
    declared: &Schema,
    files: &[ObjectMeta],
) -> Result<Vec<(String, DataType)>> {
    if !location.is_collection() {
        return match named.first() {
            Some(name) => {
                Err(Error::Invalid(format!("'{name}' cannot be a partition column: the location is one file")))
            }
            None => Ok(Vec::new()),
        };
    }
    let url = location.listing()?;
    let found: Vec<_> = files.iter().filter_map(|file| hive(&url, &file.location)).collect();
    let names: Vec<String> = match named {
        [] => found.first().map(|keys| keys.iter().map(|(key, _)| key.clone()).collect()).unwrap_or_default(),
        named => named.to_vec(),
    };
    let columns = names.into_iter().map(|name| {
        let data_type = match declared.field_with_name(&name) {
            Ok(field) => field.data_type().clone(),
            Err(_) => value_type(found.iter().flatten().filter(|(key, _)| *key == name).map(|(_, value)| value)),
        };
        (name, data_type)
    });
    Ok(columns.collect())
}

/// The `key=value` folders of a file below the table's folder.
fn hive(url: &ListingTableUrl, file: &Path) -> Option<Vec<(String, String)>> {
    let folders: Vec<_> = url.strip_prefix(file)?.collect();
    let (_, folders) = folders.split_last()?;
    folders.iter().map(|folder| folder.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect()
}

fn value_type<'a>(mut values: impl Iterator<Item = &'a String>) -> DataType {
    let mut any = false;
    let integers = values.all(|value| {
        any = true;
        value.parse::<i64>().is_ok()
    });
    if any && integers { DataType::Int64 } else { DataType::Utf8 }
}

fn without(columns: &Schema, partitions: &[(String, DataType)]) -> SchemaRef {
    let is_partition = |name: &str| partitions.iter().any(|(partition, _)| partition == name);
    let fields: Vec<_> = columns.fields().iter().filter(|field| !is_partition(field.name())).cloned().collect();
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_columns_are_read_from_paths() {
        let url = ListingTableUrl::parse("skein-bucket://main/sales/").unwrap();
        let file = Path::from("sales/year=2024/region=eu/a.parquet");
        let keys = hive(&url, &file).unwrap();
        assert_eq!(keys, [("year".into(), "2024".into()), ("region".into(), "eu".into())]);
        assert_eq!(value_type(["2024".to_owned(), "2025".to_owned()].iter()), DataType::Int64);
        assert_eq!(value_type(["eu".to_owned()].iter()), DataType::Utf8);
        assert!(hive(&url, &Path::from("sales/plain/a.parquet")).is_none());
    }
}
