//! The value of every code.

use arrow_flight::sql::{
    SqlInfo as Code, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction,
    SqlSupportedUnions, SqlTransactionIsolationLevel, SupportedSqlGrammar, metadata::SqlInfoDataBuilder,
};

use skein_model::{MAX_COLUMN_NAME_BYTES, MAX_USER_NAME_BYTES};
use skein_query::{SUBSTRAIT_NEWEST, SUBSTRAIT_OLDEST};

use super::functions;
use crate::{Options, ServerFacts};

/// The version of Arrow's columnar format that is spoken.
const ARROW_FORMAT: &str = "1.5";
/// Longest name of a table, schema or catalog, in bytes.
const MAX_NAME: i64 = 255;
/// "There is no limit, or it is not known."
const UNLIMITED: i64 = 0;

pub(super) fn all(facts: &ServerFacts, options: &Options) -> SqlInfoDataBuilder {
    let mut info = SqlInfoDataBuilder::new();
    server(&mut info, facts, options);
    names(&mut info);
    lists(&mut info);
    statements(&mut info);
    conformance(&mut info);
    limits(&mut info, facts);
    transactions(&mut info);
    result_sets(&mut info);
    info
}

fn server(info: &mut SqlInfoDataBuilder, facts: &ServerFacts, options: &Options) {
    info.append(Code::FlightSqlServerName, facts.name.as_str());
    info.append(Code::FlightSqlServerVersion, facts.version.as_str());
    info.append(Code::FlightSqlServerArrowVersion, ARROW_FORMAT);
    info.append(Code::FlightSqlServerReadOnly, false);
    info.append(Code::FlightSqlServerSql, true);
    info.append(Code::FlightSqlServerSubstrait, true);
    info.append(Code::FlightSqlServerSubstraitMinVersion, SUBSTRAIT_OLDEST);
    info.append(Code::FlightSqlServerSubstraitMaxVersion, SUBSTRAIT_NEWEST);
    info.append(Code::FlightSqlServerTransaction, SqlSupportedTransaction::Savepoint as i32);
    info.append(Code::FlightSqlServerCancel, true);
    info.append(Code::FlightSqlServerBulkIngestion, true);
    info.append(Code::FlightSqlServerIngestTransactionsSupported, true);
    info.append(Code::FlightSqlServerStatementTimeout, options.statement_timeout_ms());
    info.append(Code::FlightSqlServerTransactionTimeout, options.transaction_timeout_ms());
}

fn names(info: &mut SqlInfoDataBuilder) {
    info.append(Code::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32);
    info.append(Code::SqlIdentifierQuoteChar, "\"");
    // Quoted names are case-sensitive, for which the enumeration has no value.
    info.append(Code::SqlQuotedIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32);
    info.append(Code::SqlExtraNameCharacters, "$#@");
    info.append(Code::SqlSearchStringEscape, "\\");
    info.append(Code::SqlSchemaTerm, "schema");
    info.append(Code::SqlProcedureTerm, "procedure");
    info.append(Code::SqlCatalogTerm, "catalog");
    info.append(Code::SqlCatalogAtStart, true);
}

fn lists(info: &mut SqlInfoDataBuilder) {
    info.append(Code::SqlKeywords, functions::keywords());
    info.append(Code::SqlNumericFunctions, functions::numeric());
    info.append(Code::SqlStringFunctions, functions::string());
    info.append(Code::SqlSystemFunctions, functions::system());
    info.append(Code::SqlDatetimeFunctions, functions::datetime());
    info.append(Code::SqlSupportsConvert, functions::conversions());
}

fn statements(info: &mut SqlInfoDataBuilder) {
    info.append(Code::SqlDdlCatalog, false);
    info.append(Code::SqlDdlSchema, true);
    info.append(Code::SqlDdlTable, true);
    info.append(Code::SqlAllTablesAreSelectable, true);
    info.append(Code::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(Code::SqlSupportsColumnAliasing, true);
    info.append(Code::SqlNullPlusNullIsNull, true);
    info.append(Code::SqlSupportsTableCorrelationNames, true);
    info.append(Code::SqlSupportsDifferentTableCorrelationNames, false);
    info.append(Code::SqlSupportsExpressionsInOrderBy, true);
    info.append(Code::SqlSupportsOrderByUnrelated, true);
    let group_by =
        [SqlSupportedGroupBy::SqlGroupByUnrelated as i32, SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32];
    info.append(Code::SqlSupportedGroupBy, bits(group_by));
    info.append(Code::SqlSupportsLikeEscapeClause, true);
    info.append(Code::SqlSupportsNonNullableColumns, true);
    info.append(Code::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32);
    let subqueries = [
        SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32,
        SqlSupportedSubqueries::SqlSubqueriesInExists as i32,
        SqlSupportedSubqueries::SqlSubqueriesInIns as i32,
        SqlSupportedSubqueries::SqlSubqueriesInQuantifieds as i32,
    ];
    info.append(Code::SqlSupportedSubqueries, bits(subqueries));
    info.append(Code::SqlCorrelatedSubqueriesSupported, true);
    let unions = [SqlSupportedUnions::SqlUnion as i32, SqlSupportedUnions::SqlUnionAll as i32];
    info.append(Code::SqlSupportedUnions, bits(unions));
    info.append(Code::SqlSchemasSupportedActions, 0);
    info.append(Code::SqlCatalogsSupportedActions, 0);
    info.append(Code::SqlSupportedPositionedCommands, 0);
    info.append(Code::SqlSelectForUpdateSupported, false);
    info.append(Code::SqlStoredProceduresSupported, false);
    info.append(Code::SqlBatchUpdatesSupported, true);
    info.append(Code::SqlNamedParametersSupported, false);
    info.append(Code::SqlLocatorsUpdateCopy, false);
    info.append(Code::SqlStoredFunctionsUsingCallSyntaxSupported, false);
}

/// ODBC's minimum grammar asks for simple tables, queries and changes of rows; SQL-92's lowest level for privileges, too.
fn conformance(info: &mut SqlInfoDataBuilder) {
    info.append(Code::SqlSupportedGrammar, bits([SupportedSqlGrammar::SqlMinimumGrammar as i32]));
    info.append(Code::SqlAnsi92SupportedLevel, 0);
    info.append(Code::SqlSupportsIntegrityEnhancementFacility, false);
}

fn limits(info: &mut SqlInfoDataBuilder, facts: &ServerFacts) {
    let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    for (code, limit) in [
        (Code::SqlMaxBinaryLiteralLength, UNLIMITED),
        (Code::SqlMaxCharLiteralLength, UNLIMITED),
        (Code::SqlMaxColumnNameLength, length(MAX_COLUMN_NAME_BYTES)),
        (Code::SqlMaxColumnsInGroupBy, UNLIMITED),
        (Code::SqlMaxColumnsInIndex, UNLIMITED),
        (Code::SqlMaxColumnsInOrderBy, UNLIMITED),
        (Code::SqlMaxColumnsInSelect, UNLIMITED),
        (Code::SqlMaxColumnsInTable, length(facts.max_columns)),
        (Code::SqlMaxConnections, UNLIMITED),
        (Code::SqlMaxCursorNameLength, UNLIMITED),
        (Code::SqlMaxIndexLength, UNLIMITED),
        (Code::SqlDbSchemaNameLength, MAX_NAME),
        (Code::SqlMaxProcedureNameLength, UNLIMITED),
        (Code::SqlMaxCatalogNameLength, MAX_NAME),
        (Code::SqlMaxRowSize, UNLIMITED),
        (Code::SqlMaxStatementLength, length(facts.max_sql_bytes)),
        (Code::SqlMaxStatements, UNLIMITED),
        (Code::SqlMaxTableNameLength, MAX_NAME),
        (Code::SqlMaxTablesInSelect, UNLIMITED),
        (Code::SqlMaxUsernameLength, length(MAX_USER_NAME_BYTES)),
    ] {
        info.append(code, limit);
    }
    info.append(Code::SqlMaxRowSizeIncludesBlobs, true);
}

fn transactions(info: &mut SqlInfoDataBuilder) {
    // Snapshot isolation, for which the enumeration has no value: it is all of this, and has no phantoms either.
    let repeatable = SqlTransactionIsolationLevel::SqlTransactionRepeatableRead as i32;
    info.append(Code::SqlDefaultTransactionIsolation, repeatable);
    info.append(Code::SqlTransactionsSupported, true);
    info.append(Code::SqlSupportedTransactionsIsolationLevels, bits([repeatable]));
    info.append(Code::SqlDataDefinitionCausesTransactionCommit, false);
    info.append(Code::SqlDataDefinitionsInTransactionsIgnored, false);
    info.append(Code::SqlSavepointsSupported, true);
}

fn result_sets(info: &mut SqlInfoDataBuilder) {
    let forward = SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32;
    let read_only = SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32;
    info.append(Code::SqlSupportedResultSetTypes, bits([forward]));
    info.append(Code::SqlSupportedConcurrenciesForResultSetUnspecified, 0);
    info.append(Code::SqlSupportedConcurrenciesForResultSetForwardOnly, bits([read_only]));
    info.append(Code::SqlSupportedConcurrenciesForResultSetScrollSensitive, 0);
    info.append(Code::SqlSupportedConcurrenciesForResultSetScrollInsensitive, 0);
}

/// A bitmask with these bits set.
fn bits<const N: usize>(positions: [i32; N]) -> i32 {
    positions.iter().fold(0, |mask, position| mask | (1 << position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_as_in_the_specifications_examples() {
        assert_eq!(bits([0, 1]), 3);
        assert_eq!(bits([2]), 4);
        assert_eq!(bits([]), 0);
    }
}
