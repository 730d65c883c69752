//! `skein describe`: the columns of a table and what is known about it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::Schema;
use clap::Args as ClapArgs;
use skein_client::Client;

use super::{
    Exit, Failure,
    connect::Connect,
    format::{self, Format, Layout},
    listing::Listing,
    output::{self, Out},
    table_ref::{TableRef, quote_text},
};

const EXAMPLES: &str = "\
Examples:
  skein describe flights
  skein describe sales.orders -F json
  skein describe '\"a name.with dots\"'";

/// Arguments of `skein describe`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The table: NAME or SCHEMA.NAME; case matters.
    table: TableRef,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connect: Connect,
}

/// Shows the columns, and for people the facts, too.
pub async fn run(args: Args) -> Result<(), Failure> {
    let client = args.connect.client().await?;
    let layout = Layout::for_list();
    columns(&client, &args.table, args.listing.format, layout).await?;
    if args.listing.format == Format::Table {
        facts_line(&client, &args.table).await?;
    }
    Ok(())
}

/// Shows the columns of a table: name, type, whether null is allowed.
pub async fn columns(client: &Client, table: &TableRef, format: Format, layout: Layout) -> Result<(), Failure> {
    let schema = client.schema(&table.path()).await?;
    let batch = column_batch(&schema)?;
    let mut sink = format::sink(format, &batch.schema(), layout, Out::stdout())?;
    sink.write(&batch)?;
    sink.finish()?.finish()
}

/// What is known about a dataset, as `name  value` lines; nothing for a view or an external table.
async fn facts_line(client: &Client, table: &TableRef) -> Result<(), Failure> {
    let rows = client.query(facts(table)).await?;
    let schema = rows.schema();
    for batch in rows.collect().await? {
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            for value in format::texts(column)? {
                output::line(&format!("{:<12}{value}", field.name()))?;
            }
        }
    }
    Ok(())
}

fn column_batch(schema: &Schema) -> Result<RecordBatch, Failure> {
    let fields = schema.fields();
    let names: StringArray = fields.iter().map(|field| Some(field.name().as_str())).collect();
    let types: StringArray = fields.iter().map(|field| Some(format::type_name(field.data_type()))).collect();
    let nulls: StringArray = fields.iter().map(|field| Some(if field.is_nullable() { "yes" } else { "no" })).collect();
    let columns: [(&str, ArrayRef); 3] =
        [("column", Arc::new(names)), ("type", Arc::new(types)), ("nullable", Arc::new(nulls))];
    RecordBatch::try_from_iter(columns).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// The query for these lines.
fn facts(table: &TableRef) -> String {
    format!(
        "SELECT bucket, version, rows, bytes, files, changed_at, changed_by, dataset_id FROM system.datasets \
         WHERE schema_name = {} AND table_name = {}",
        quote_text(table.schema_or_default()),
        quote_text(&table.table)
    )
}
