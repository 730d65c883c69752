//! What a client may send in a descriptor or as a ticket, told apart.
//!
//! - a PATH: a table;
//! - a `google.protobuf.Any` with a Flight SQL command;
//! - plain text: SQL, or the name of a table. pyarrow users send it as command and as ticket;
//! - anything else is refused with a description of the above.

use arrow_flight::{
    FlightDescriptor,
    flight_descriptor::DescriptorType,
    sql::{
        Any, Command, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
        CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTables, CommandGetXdbcTypeInfo, CommandStatementIngest,
        SubstraitPlan,
    },
};
use bytes::Bytes;
use prost::Message as _;
use skein_query::{Source, check_substrait_version};

use crate::{Error, Result};

const ANY_PREFIX: &str = "type.googleapis.com/";
const SQL_PREFIX: &str = "type.googleapis.com/arrow.flight.protocol.sql.";

/// Something that rows can be read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Request {
    /// A statement.
    Statement(Source),
    /// A prepared statement, by its handle.
    Prepared(Bytes),
    /// A table, by the parts of its name.
    Table(Vec<String>),
    /// A metadata command, and its bytes for the ticket.
    Metadata(Metadata, Bytes),
    /// A ticket of ours inside `TicketStatementQuery`.
    Wrapped(Bytes),
    /// Another request, in the transaction of this id.
    Within(Bytes, Box<Request>),
}

/// A metadata command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Metadata {
    Catalogs,
    Schemas(CommandGetDbSchemas),
    Tables(CommandGetTables),
    TableTypes,
    PrimaryKeys(CommandGetPrimaryKeys),
    ExportedKeys(CommandGetExportedKeys),
    ImportedKeys(CommandGetImportedKeys),
    CrossReference(CommandGetCrossReference),
    SqlInfo(CommandGetSqlInfo),
    XdbcTypeInfo(CommandGetXdbcTypeInfo),
}

/// Something that is sent by DoPut.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Put {
    /// An update.
    Update(Source),
    /// A prepared update, by its handle.
    PreparedUpdate(Bytes),
    /// Parameters for a prepared statement, by its handle.
    Bind(Bytes),
    /// Rows for a table.
    Ingest(CommandStatementIngest),
    /// Another one, in the transaction of this id.
    Within(Bytes, Box<Put>),
}

impl Request {
    /// What a descriptor asks to read.
    ///
    /// # Errors
    /// `InvalidInput` for what cannot be read from, `Unimplemented` for commands that Skein does not do.
    pub(crate) fn of_descriptor(descriptor: &FlightDescriptor) -> Result<Self> {
        match descriptor.r#type() {
            DescriptorType::Path => Ok(Self::Table(descriptor.path.clone())),
            DescriptorType::Cmd => Self::of_bytes("command", &descriptor.cmd),
            DescriptorType::Unknown => {
                Err(Error::invalid("the descriptor has neither a path nor a command; send one of them"))
            }
        }
    }

    /// What the bytes of a command, or of a ticket that is not one of ours, ask to read.
    ///
    /// # Errors
    /// As [`Request::of_descriptor`].
    pub(crate) fn of_bytes(what: &str, bytes: &Bytes) -> Result<Self> {
        match decode_any(bytes) {
            Some(any) => Self::of_command(decode_command(any)?, bytes),
            None => Self::of_text(what, bytes),
        }
    }

    fn of_command(command: Command, bytes: &Bytes) -> Result<Self> {
        let metadata = match command {
            Command::CommandStatementQuery(query) => {
                let request = Self::Statement(Source::from(query.query.as_str()));
                return Ok(within(query.transaction_id, request, Self::Within));
            }
            Command::CommandStatementSubstraitPlan(query) => {
                let request = Self::Statement(substrait(query.plan)?);
                return Ok(within(query.transaction_id, request, Self::Within));
            }
            Command::CommandPreparedStatementQuery(query) => {
                return Ok(Self::Prepared(query.prepared_statement_handle));
            }
            Command::TicketStatementQuery(ticket) => return Ok(Self::Wrapped(ticket.statement_handle)),
            Command::CommandGetCatalogs(_) => Metadata::Catalogs,
            Command::CommandGetDbSchemas(command) => Metadata::Schemas(command),
            Command::CommandGetTables(command) => Metadata::Tables(command),
            Command::CommandGetTableTypes(_) => Metadata::TableTypes,
            Command::CommandGetPrimaryKeys(command) => Metadata::PrimaryKeys(command),
            Command::CommandGetExportedKeys(command) => Metadata::ExportedKeys(command),
            Command::CommandGetImportedKeys(command) => Metadata::ImportedKeys(command),
            Command::CommandGetCrossReference(command) => Metadata::CrossReference(command),
            Command::CommandGetSqlInfo(command) => Metadata::SqlInfo(command),
            Command::CommandGetXdbcTypeInfo(command) => Metadata::XdbcTypeInfo(command),
            other => return Err(refuse(&other, "GetFlightInfo, GetSchema and DoGet", "send it by DoPut")),
        };
        Ok(Self::Metadata(metadata, bytes.clone()))
    }

    fn of_text(what: &str, bytes: &[u8]) -> Result<Self> {
        let expected = "send a Flight SQL command, the text of a SQL statement, or the name of a table";
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::invalid(format!("the {what} is neither a Flight SQL command nor text; {expected}")))?;
        if text.contains(ANY_PREFIX) {
            return Err(Error::invalid(format!("the {what} is a damaged protobuf message; {expected}")));
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid(format!("the {what} is empty; {expected}")));
        }
        if text.starts_with('{') {
            return Err(Error::invalid(format!("the {what} is JSON, which nothing can be read from; {expected}")));
        }
        if is_sql(text) { Ok(Self::Statement(Source::from(text))) } else { Ok(Self::Table(vec![text.to_owned()])) }
    }
}

impl Put {
    /// Whether a DoPut with this descriptor is a Flight SQL command.
    pub(crate) fn is_sql(descriptor: &FlightDescriptor) -> bool {
        descriptor.r#type() == DescriptorType::Cmd
            && decode_any(&descriptor.cmd).is_some_and(|any| any.type_url.starts_with(SQL_PREFIX))
    }

    /// What a descriptor asks to do with the rows that follow.
    ///
    /// # Errors
    /// `InvalidInput` for what is not sent by DoPut, `Unimplemented` for commands that Skein does not do.
    pub(crate) fn of_descriptor(descriptor: &FlightDescriptor) -> Result<Self> {
        let any = decode_any(&descriptor.cmd)
            .ok_or_else(|| Error::invalid("the descriptor's command is not a Flight SQL command"))?;
        match decode_command(any)? {
            Command::CommandStatementUpdate(update) => {
                let put = Self::Update(Source::from(update.query.as_str()));
                Ok(within(update.transaction_id, put, Self::Within))
            }
            Command::CommandStatementSubstraitPlan(update) => {
                let put = Self::Update(substrait(update.plan)?);
                Ok(within(update.transaction_id, put, Self::Within))
            }
            Command::CommandPreparedStatementUpdate(update) => {
                Ok(Self::PreparedUpdate(update.prepared_statement_handle))
            }
            Command::CommandPreparedStatementQuery(query) => Ok(Self::Bind(query.prepared_statement_handle)),
            Command::CommandStatementIngest(ingest) => {
                let id = ingest.transaction_id.clone();
                Ok(within(id, Self::Ingest(ingest), Self::Within))
            }
            other => Err(refuse(&other, "DoPut", "send it by GetFlightInfo")),
        }
    }
}

/// The statement in a Substrait plan, of a version that is read here.
///
/// # Errors
/// `InvalidInput` without a plan, `Unimplemented` for other versions.
pub(crate) fn substrait(plan: Option<SubstraitPlan>) -> Result<Source> {
    let SubstraitPlan { plan, version } = plan.unwrap_or_default();
    check_substrait_version(&version)?;
    match plan.is_empty() {
        true => Err(Error::invalid("the command has no Substrait plan; send a serialised substrait.Plan")),
        false => Ok(Source::Substrait(plan)),
    }
}

fn decode_any(bytes: &Bytes) -> Option<Any> {
    Any::decode(bytes.clone()).ok().filter(|any| any.type_url.starts_with(ANY_PREFIX))
}

fn decode_command(any: Any) -> Result<Command> {
    let name = any.type_url.strip_prefix(SQL_PREFIX).map(str::to_owned);
    let type_url = any.type_url.clone();
    match (Command::try_from(any), name) {
        (Ok(Command::Unknown(_)), Some(name)) => Err(Error::Unimplemented {
            command: format!("the Flight SQL command {}", shorten(&name)),
            advice: "this server does not know it",
        }),
        (Ok(Command::Unknown(_)), None) => Err(Error::invalid(format!(
            "a message of type '{}' is not a Flight SQL command; nothing can be read from it",
            shorten(&type_url)
        ))),
        (Ok(command), _) => Ok(command),
        (Err(error), name) => Err(Error::invalid(format!(
            "the Flight SQL command {} is damaged: {error}",
            name.as_deref().map(shorten).unwrap_or_default()
        ))),
    }
}

/// Says why a command that exists cannot be sent where it was sent.
fn refuse(command: &Command, rpc: &str, instead: &str) -> Error {
    let name = command.type_url().trim_start_matches(SQL_PREFIX).to_owned();
    match name.starts_with("Action") || name.starts_with("DoPut") {
        true => Error::invalid(format!("{name} is not a command of {rpc}; actions are sent by DoAction")),
        false => Error::invalid(format!("{name} cannot be sent by {rpc}; {instead}")),
    }
}

/// A request in the transaction that it names, if it names one.
fn within<T>(transaction: Option<Bytes>, request: T, wrap: impl FnOnce(Bytes, Box<T>) -> T) -> T {
    match transaction {
        Some(id) if !id.is_empty() => wrap(id, Box::new(request)),
        _ => request,
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Whether text is a statement rather than a table's name: its first word is one that starts statements, and something follows.
fn is_sql(text: &str) -> bool {
    const STARTS: [&str; 42] = [
        "select",
        "with",
        "values",
        "table",
        "from",
        "show",
        "describe",
        "desc",
        "explain",
        "insert",
        "create",
        "drop",
        "copy",
        "set",
        "reset",
        "update",
        "delete",
        "merge",
        "truncate",
        "alter",
        "begin",
        "start",
        "commit",
        "rollback",
        "savepoint",
        "release",
        "grant",
        "revoke",
        "use",
        "analyze",
        "vacuum",
        "call",
        "execute",
        "prepare",
        "deallocate",
        "declare",
        "fetch",
        "load",
        "install",
        "pragma",
        "refresh",
        "optimize",
    ];
    if text.starts_with('(') || text.starts_with("--") || text.starts_with("/*") || text.ends_with(';') {
        return true;
    }
    let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let followed = text[first.len()..].starts_with(|c: char| c.is_whitespace() || "(*'\"".contains(c));
    let first = first.to_ascii_lowercase();
    match first.as_str() {
        "begin" | "commit" | "rollback" | "vacuum" if text.len() == first.len() => true,
        _ => followed && STARTS.contains(&first.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::{
        CommandStatementQuery, CommandStatementSubstraitPlan, CommandStatementUpdate, ProstMessageExt,
    };
    use proptest::prelude::*;
    use skein_model::{ErrorKind, Kind as _};

    use super::*;

    fn cmd(message: &impl ProstMessageExt) -> FlightDescriptor {
        FlightDescriptor::new_cmd(message.as_any().encode_to_vec())
    }

    fn text(text: &str) -> Result<Request> {
        Request::of_bytes("command", &Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn commands_paths_and_text() {
        let query = CommandStatementQuery { query: "select 1".into(), transaction_id: Some(Bytes::new()) };
        assert_eq!(Request::of_descriptor(&cmd(&query)).unwrap(), Request::Statement("select 1".into()));
        let query = CommandStatementQuery { transaction_id: Some("t".into()), ..query };
        let inside = Request::Within("t".into(), Box::new(Request::Statement("select 1".into())));
        assert_eq!(Request::of_descriptor(&cmd(&query)).unwrap(), inside);
        let path = FlightDescriptor::new_path(vec!["a".into(), "b".into()]);
        assert_eq!(Request::of_descriptor(&path).unwrap(), Request::Table(vec!["a".into(), "b".into()]));
        assert_eq!(text(" select 1 ").unwrap(), Request::Statement("select 1".into()));
        assert_eq!(text("SELECT* from t").unwrap(), Request::Statement("SELECT* from t".into()));
        assert_eq!(text("\n-- hello\nselect 1").unwrap(), Request::Statement("-- hello\nselect 1".into()));
        for name in ["flights", "selection", "my table", "select", "a.b", "🪿"] {
            assert_eq!(text(name).unwrap(), Request::Table(vec![name.into()]), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let kind = |descriptor: &FlightDescriptor| Request::of_descriptor(descriptor).unwrap_err().kind();
        assert_eq!(kind(&FlightDescriptor::new_cmd(vec![0xff, 0xfe])), ErrorKind::InvalidInput);
        assert_eq!(kind(&FlightDescriptor::new_cmd(vec![])), ErrorKind::InvalidInput);
        assert_eq!(kind(&FlightDescriptor::default()), ErrorKind::InvalidInput);
        assert_eq!(kind(&FlightDescriptor::new_cmd(r#"{"a": 1}"#)), ErrorKind::InvalidInput);

        let update = CommandStatementUpdate { query: "drop table t".into(), transaction_id: None };
        let error = Request::of_descriptor(&cmd(&update)).unwrap_err();
        assert!(error.to_string().contains("CommandStatementUpdate") && error.to_string().contains("DoPut"), "{error}");
        assert_eq!(Put::of_descriptor(&cmd(&update)).unwrap(), Put::Update("drop table t".into()));
        assert!(Put::is_sql(&cmd(&update)) && !Put::is_sql(&FlightDescriptor::new_cmd("select 1")));

        let empty = cmd(&CommandStatementSubstraitPlan { plan: None, transaction_id: None });
        let error = Request::of_descriptor(&empty).unwrap_err();
        assert!(error.to_string().contains("Substrait"), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(Put::of_descriptor(&empty).unwrap_err().kind(), ErrorKind::InvalidInput);

        let unknown = Any { type_url: format!("{SQL_PREFIX}CommandGetDreams"), value: Bytes::new() };
        let error = Request::of_descriptor(&FlightDescriptor::new_cmd(unknown.encode_to_vec())).unwrap_err();
        assert!(error.to_string().contains("CommandGetDreams"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Unimplemented);
    }

    #[test]
    fn a_damaged_command_is_not_taken_for_sql() {
        let query = CommandStatementQuery { query: "select 1".into(), transaction_id: None };
        let bytes = query.as_any().encode_to_vec();
        for cut in 1..bytes.len() {
            assert!(
                !matches!(Request::of_bytes("command", &Bytes::copy_from_slice(&bytes[..cut])), Ok(Request::Statement(Source::Sql(sql))) if sql.contains("type."))
            );
        }
    }

    #[test]
    fn a_substrait_plan_is_a_statement_to_read_and_to_run() {
        let plan = |version: &str| SubstraitPlan { plan: "a plan".into(), version: version.into() };
        let command = |version: &str| {
            cmd(&CommandStatementSubstraitPlan { plan: Some(plan(version)), transaction_id: Some("t".into()) })
        };
        let source = Source::Substrait("a plan".into());
        let read = Request::Within("t".into(), Box::new(Request::Statement(source.clone())));
        assert_eq!(Request::of_descriptor(&command("0.63.0")).unwrap(), read);
        let put = Put::Within("t".into(), Box::new(Put::Update(source)));
        assert_eq!(Put::of_descriptor(&command("")).unwrap(), put);
        assert_eq!(Request::of_descriptor(&command("9.0.0")).unwrap_err().kind(), ErrorKind::Unimplemented);
        assert_eq!(Request::of_descriptor(&command("nine")).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), wrap in any::<bool>(), which in 0usize..4) {
            let names = ["CommandStatementQuery", "CommandGetTables", "CommandStatementIngest", "CommandGetSqlInfo"];
            let bytes: Bytes = if wrap {
                Any { type_url: format!("{SQL_PREFIX}{}", names[which]), value: bytes.into() }.encode_to_vec().into()
            } else {
                bytes.into()
            };
            let _ = Request::of_bytes("ticket", &bytes);
            let _ = Put::of_descriptor(&FlightDescriptor::new_cmd(bytes));
        }
    }
}
