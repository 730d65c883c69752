//! `skein ls`: what tables there are.

use clap::Args as ClapArgs;

use super::{Failure, connect::Connect, listing::Listing, table_ref::quote_text};

const EXAMPLES: &str = "\
Examples:
  skein ls
  skein ls --schema sales
  skein ls -F json | jq -r .name";

/// Arguments of `skein ls`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this schema.
    #[arg(short, long)]
    schema: Option<String>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connect: Connect,
}

/// Which kinds of tables are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// All.
    All,
    /// Those with rows of their own.
    Tables,
    /// Views.
    Views,
}

/// Lists the tables.
pub async fn run(args: Args) -> Result<(), Failure> {
    let client = args.connect.client().await?;
    args.listing.show(&client, &query(Kinds::All, args.schema.as_deref())).await.map(|_| ())
}

/// The query behind the list.
pub fn query(kinds: Kinds, schema: Option<&str>) -> String {
    let mut conditions = vec!["t.table_schema NOT IN ('system', 'information_schema')".to_owned()];
    match kinds {
        Kinds::All => {}
        Kinds::Tables => conditions.push("t.table_type <> 'VIEW'".to_owned()),
        Kinds::Views => conditions.push("t.table_type = 'VIEW'".to_owned()),
    }
    conditions.extend(schema.map(|schema| format!("t.table_schema = {}", quote_text(schema))));
    format!(
        "SELECT t.table_schema AS schema, t.table_name AS name, \
         CASE WHEN d.table_name IS NOT NULL THEN 'dataset' WHEN t.table_type = 'VIEW' THEN 'view' ELSE 'external' END AS kind, \
         d.rows, d.bytes, d.files, d.version, d.changed_at AS changed \
         FROM information_schema.tables t \
         LEFT JOIN system.datasets d ON d.schema_name = t.table_schema AND d.table_name = t.table_name \
         WHERE {} ORDER BY 1, 2",
        conditions.join(" AND ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_keeps_to_what_is_asked() {
        assert!(query(Kinds::Views, None).contains("t.table_type = 'VIEW'"));
        assert!(query(Kinds::All, Some("it's")).contains("t.table_schema = 'it''s'"));
    }
}
