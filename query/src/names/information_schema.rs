//! `information_schema`: DataFusion's own, over a list of our names taken when the statement is planned.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider,
        information_schema::InformationSchemaProvider,
    },
    common::{TableReference, not_impl_err},
    datasource::{ViewTable, provider_as_source},
    error::Result as DfResult,
    logical_expr::{Expr, LogicalPlanBuilder, TableType, ident, lit},
    physical_plan::ExecutionPlan,
};
use skein_catalog::{At, Entry, EntryKind};
use skein_model::{DEFAULT_CATALOG, SYSTEM_SCHEMA, TableName};

use super::{Scope, constraints, resolver::INFORMATION_SCHEMA};
use crate::{Error, Result, session::TEMP_SCHEMA, system};

/// One of its tables.
pub(super) async fn table(scope: &Scope, name: &str) -> Result<Arc<dyn TableProvider>> {
    if let Some(table) = constraints::table(scope, name).await? {
        return Ok(table);
    }
    let names = Arc::new(Names::read(scope, name == "views").await?);
    let provider = InformationSchemaProvider::new(names);
    let table = provider
        .table(name)
        .await?
        .ok_or_else(|| Error::NotFound(format!("table '{INFORMATION_SCHEMA}.{name}' does not exist")))?;
    if name == "columns" { Ok(counted_from_one(table)?) } else { Ok(table) }
}

/// The SQL standard numbers columns from 1, DataFusion from 0.
fn counted_from_one(columns: Arc<dyn TableProvider>) -> DfResult<Arc<dyn TableProvider>> {
    let schema = columns.schema();
    let scan = LogicalPlanBuilder::scan("columns", provider_as_source(columns), None)?;
    let shown = schema.fields().iter().map(|field| match field.name().as_str() {
        POSITION => (ident(POSITION) + lit(1_u64)).alias(POSITION),
        other => ident(other),
    });
    Ok(Arc::new(ViewTable::new(scan.project(shown)?.build()?, None)))
}

const POSITION: &str = "ordinal_position";

/// What a listed name is.
#[derive(Debug, Clone)]
enum Item {
    Entry(TableName, Box<Entry>),
    Temp,
    System,
}

type Tables = BTreeMap<String, Item>;

/// All names a session sees, at one moment.
#[derive(Debug)]
struct Names {
    scope: Scope,
    schemas: BTreeMap<String, Arc<Tables>>,
}

impl Names {
    async fn read(scope: &Scope, views_only: bool) -> Result<Self> {
        let session = scope.session();
        let catalog = session.catalog();
        let mut schemas: BTreeMap<String, Tables> = BTreeMap::new();
        for schema in catalog.schemas().await? {
            schemas.entry(schema).or_default();
        }
        for (name, entry) in catalog.entries().await? {
            if views_only && entry.kind() != EntryKind::View {
                continue;
            }
            let tables = schemas.entry(name.schema().to_owned()).or_default();
            tables.insert(name.table().to_owned(), Item::Entry(name, Box::new(entry)));
        }
        if !views_only {
            let system = system::TABLES.iter().map(|table| ((*table).to_owned(), Item::System)).collect();
            schemas.insert(SYSTEM_SCHEMA.to_owned(), system);
            let temp: Tables = session.temp_table_names().into_iter().map(|name| (name, Item::Temp)).collect();
            if !temp.is_empty() {
                schemas.insert(TEMP_SCHEMA.to_owned(), temp);
            }
        }
        let schemas = schemas.into_iter().map(|(name, tables)| (name, Arc::new(tables))).collect();
        Ok(Self { scope: scope.clone(), schemas })
    }
}

impl CatalogProviderList for Names {
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![DEFAULT_CATALOG.to_owned()]
    }

    fn catalog(&self, _name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(Schemas { scope: self.scope.clone(), schemas: self.schemas.clone() }))
    }
}

#[derive(Debug)]
struct Schemas {
    scope: Scope,
    schemas: BTreeMap<String, Arc<Tables>>,
}

impl CatalogProvider for Schemas {
    fn schema_names(&self) -> Vec<String> {
        let mut names: BTreeSet<_> = self.schemas.keys().cloned().collect();
        names.insert(INFORMATION_SCHEMA.to_owned());
        names.into_iter().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let tables = self.schemas.get(name)?.clone();
        Some(Arc::new(OneSchema { scope: self.scope.clone(), schema: name.to_owned(), tables }))
    }
}

#[derive(Debug)]
struct OneSchema {
    scope: Scope,
    schema: String,
    tables: Arc<Tables>,
}

impl OneSchema {
    async fn columns(&self, name: &str, item: &Item) -> Result<Columns> {
        let definition = match item {
            Item::Entry(_, entry) => match entry.as_ref() {
                Entry::View(view) => Some(view.sql.clone()),
                Entry::Dataset(_) | Entry::External(_) => None,
            },
            Item::Temp | Item::System => None,
        };
        let schema = match item {
            Item::Entry(name, entry) => match entry.as_ref() {
                // Without looking at its files.
                Entry::Dataset(dataset) => dataset.snapshot(At::Latest).await?.arrow_schema(),
                other => self.scope.entry(name, other.clone()).await?.schema(),
            },
            Item::Temp | Item::System => {
                self.scope.provider(&TableReference::partial(self.schema.as_str(), name), At::Latest).await?.schema()
            }
        };
        Ok(Columns { schema: self.scope.shown(&schema), definition })
    }
}

/// The columns of a table, and nothing to read.
#[derive(Debug)]
struct Columns {
    schema: SchemaRef,
    definition: Option<String>,
}

#[async_trait]
impl TableProvider for Columns {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.definition.as_deref()
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        not_impl_err!("a description of a table has no rows")
    }
}

#[async_trait]
impl SchemaProvider for OneSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let Some(item) = self.tables.get(name) else { return Ok(None) };
        match self.columns(name, item).await {
            Ok(columns) => Ok(Some(Arc::new(columns))),
            Err(error) => {
                // A view over a table that is gone, or external files that moved, must not hide everything else.
                tracing::warn!(schema = self.schema, table = name, %error, "left out of information_schema");
                Ok(None)
            }
        }
    }

    async fn table_type(&self, name: &str) -> DfResult<Option<TableType>> {
        Ok(self.tables.get(name).map(|item| match item {
            Item::Entry(_, entry) if entry.kind() == EntryKind::View => TableType::View,
            Item::Entry(..) | Item::System => TableType::Base,
            Item::Temp => TableType::Temporary,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }
}
