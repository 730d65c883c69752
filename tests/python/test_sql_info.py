"""What SqlInfo claims, compared with what the server then does. What no client can find out is only checked to be stated (docs/compatibility.md)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import adbc_driver_manager.dbapi
import pyarrow as pa
import pyarrow.flight as fl
import pytest
import skein_flight
from datafusion import SessionContext
from datafusion.substrait import Serde
from support import wire
from support.server import Server
from support.wire import field

Info = dict[int, object]


class Asked:
    """A server and what can be asked of it. `t` has the columns a and b."""

    def __init__(self, server: Server, connection: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient) -> None:
        self.server, self.connection, self.flight = server, connection, flight

    def rows(self, sql: str) -> list[tuple]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def names(self, sql: str) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return [column[0] for column in cursor.description]

    def refusal(self, sql: str) -> str:
        """Why a statement is refused; empty when it works."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
                cursor.fetchall()
        except adbc_driver_manager.Error as error:
            return str(error)
        return ""

    def works(self, *statements: str) -> bool:
        return all(not self.refusal(sql) for sql in statements)

    def action(self, name: str, body: bytes) -> bool:
        try:
            list(self.flight.do_action(fl.Action(name, body)))
        except NotImplementedError:
            return False
        return True

    def begins(self) -> bool:
        return self.action("BeginTransaction", wire.any_message("ActionBeginTransactionRequest", b""))

    def reads_substrait(self) -> bool:
        """Whether plans are answered, of the versions that are claimed and of no others."""
        context = SessionContext()
        context.register_record_batches("claims", [[pa.record_batch({"a": pa.array([], pa.int64())})]])
        plan = bytes(Serde.serialize_bytes("SELECT a FROM claims WHERE a > 1", context))

        def answers(version: object) -> bool:
            try:
                sent = field(1, field(1, plan) + field(2, str(version)))
                info = self.flight.get_flight_info(wire.command("CommandStatementSubstraitPlan", sent))
            except NotImplementedError:
                return False
            return self.flight.do_get(info.endpoints[0].ticket).read_all().to_pylist() == [{"a": 2}]

        claimed = self.claims()
        oldest, newest = claimed[6], claimed[7]
        return answers(oldest) and answers(newest) and not answers("0.1.0") and not answers("99.0.0")

    def claims(self) -> Info:
        got = self.flight.get_flight_info(wire.command("CommandGetSqlInfo", b""))
        table = self.flight.do_get(got.endpoints[0].ticket).read_all()
        return {row["info_name"]: row["value"] for row in table.to_pylist()}


@pytest.fixture
def asked(server: Server, adbc: adbc_driver_manager.dbapi.Connection, flight: fl.FlightClient) -> Asked:
    asked = Asked(server, adbc, flight)
    with adbc.cursor() as cursor:
        cursor.adbc_ingest("claims", pa.table({"a": [1, 2, None], "b": [3, 2, 1]}), mode="replace")
    return asked


@pytest.fixture
def info(flight: fl.FlightClient) -> Info:
    got = flight.get_flight_info(wire.command("CommandGetSqlInfo", b""))
    table = flight.do_get(got.endpoints[0].ticket).read_all()
    return {row["info_name"]: row["value"] for row in table.to_pylist()}


# Whether the server does what the claim is about.
YES_OR_NO: dict[int, tuple[str, Callable[[Asked], bool]]] = {
    3: ("read only", lambda s: not s.works("CREATE OR REPLACE TABLE claims_written (a INT)")),
    4: ("SQL", lambda s: s.works("SELECT 1")),
    5: ("Substrait", Asked.reads_substrait),
    9: ("cancel", lambda s: {"CancelFlightInfo", "CancelQuery"} <= {action.type for action in s.flight.list_actions()}),
    10: ("bulk ingestion", lambda s: s.rows("SELECT count(*) FROM claims") == [(3,)]),
    500: ("DDL of catalogs", lambda s: s.works("CREATE DATABASE claims_catalog")),
    501: ("DDL of schemas", lambda s: s.works("CREATE SCHEMA claims_schema", "DROP SCHEMA claims_schema")),
    502: ("DDL of tables", lambda s: s.works("CREATE TABLE claims_ddl (a INT)", "DROP TABLE claims_ddl")),
    515: ("column aliases", lambda s: s.names("SELECT a AS other FROM claims") == ["other"]),
    516: ("NULL + NULL", lambda s: s.rows("SELECT (a + a) IS NULL, (NULL + NULL) IS NULL FROM claims WHERE a IS NULL") == [(True, True)]),
    518: ("correlation names", lambda s: s.works("SELECT c.a FROM claims AS c")),
    519: ("correlation names must differ", lambda s: not s.works("SELECT claims.a FROM claims AS claims")),
    520: ("expressions in ORDER BY", lambda s: s.rows("SELECT b FROM claims ORDER BY -b") == [(3,), (2,), (1,)]),
    521: ("ORDER BY what is not selected", lambda s: s.rows("SELECT a FROM claims WHERE a > 0 ORDER BY b") == [(2,), (1,)]),
    523: ("LIKE ... ESCAPE", lambda s: s.rows("SELECT 'a%' LIKE 'a!%' ESCAPE '!', 'ab' LIKE 'a!%' ESCAPE '!'") == [(True, False)]),
    524: ("NOT NULL", lambda s: s.works("CREATE OR REPLACE TABLE claims_written (a INT NOT NULL)") and not s.works("INSERT INTO claims_written VALUES (NULL)")),
    527: ("integrity", lambda s: s.works("CREATE OR REPLACE TABLE claims_check (a INT CHECK (a > 0))")),
    532: ("catalog at the start", lambda s: s.works("SELECT a FROM skein.public.claims")),
    536: ("SELECT FOR UPDATE", lambda s: s.works("SELECT a FROM claims FOR UPDATE")),
    537: ("stored procedures", lambda s: s.works("CALL claims_procedure()")),
    539: ("correlated subqueries", lambda s: s.works("SELECT a FROM claims c WHERE b = (SELECT max(b) FROM claims d WHERE d.a = c.a)")),
    563: ("transactions", Asked.begins),
    572: ("batch updates", lambda s: many_rows(s) == 3),
    574: ("named parameters", lambda s: s.works("PREPARE claims_named AS SELECT :a")),
    576: ("functions by CALL syntax", lambda s: s.works("CALL abs(-1)")),
}  # fmt: skip

# Claims with bits: what works for each.
BITS: dict[int, tuple[str, list[str]]] = {
    522: ("GROUP BY", ["SELECT count(*) FROM claims GROUP BY b", "SELECT a, count(*) FROM claims GROUP BY a, b"]),
    538: (
        "subqueries",
        [
            "SELECT a FROM claims WHERE b = (SELECT max(b) FROM claims)",
            "SELECT a FROM claims c WHERE EXISTS (SELECT 1 FROM claims d WHERE d.a = c.b)",
            "SELECT a FROM claims WHERE b IN (SELECT a FROM claims)",
            "SELECT a FROM claims WHERE b >= ALL (SELECT b FROM claims)",
        ],
    ),
    540: ("unions", ["SELECT a FROM claims UNION SELECT b FROM claims", "SELECT a FROM claims UNION ALL SELECT b FROM claims"]),
}
# Those that the tests below see to.
OTHERS = {0, 1, 6, 7, 8, 11, 503, 504, 505, 506, 507, 508, 509, 510, 511, 512, 513, 514, 517, 525, 526, 528, 529, 531, 533, 534, 535}
OTHERS |= {541, 542, 543, 544, 546, 547, 548, 552, 555, 557, 558, 559, 560, 561, 562, 564, 565, 566, 573}
# Those that cannot be tried, with what is stated: that there is no such thing (catalogs' names, indexes, named cursors, procedures, locators,
# results that are scrolled in or written through), what a day's or ten minutes' waiting would show, and words.
STATED: Info = {
    2: "1.5", 100: 24 * 60 * 60 * 1000, 101: 10 * 60 * 1000, 530: "procedure", 545: 0, 549: 0, 550: 0, 551: 0, 553: 0, 554: 255, 556: True,
    567: 1 << 1, 568: 0, 569: 1 << 1, 570: 0, 571: 0, 575: False,
}  # fmt: skip


def many_rows(asked: Asked) -> int:
    with asked.connection.cursor() as cursor:
        cursor.executemany("INSERT INTO claims (b) VALUES (?)", [(1,), (2,), (3,)])
        return cursor.rowcount


@pytest.mark.parametrize("code", YES_OR_NO, ids=lambda code: YES_OR_NO[code][0])
def test_what_is_claimed_is_so(asked: Asked, info: Info, code: int) -> None:
    assert info[code] == YES_OR_NO[code][1](asked)


@pytest.mark.parametrize("code", BITS, ids=lambda code: BITS[code][0])
def test_every_bit_is_so(asked: Asked, info: Info, code: int) -> None:
    works = [asked.works(sql) for sql in BITS[code][1]]
    assert info[code] == sum(1 << bit for bit, worked in enumerate(works) if worked)


def test_no_claim_is_left_out(info: Info) -> None:
    assert set(info) == set(YES_OR_NO) | set(BITS) | OTHERS | set(STATED)
    assert {code: info[code] for code in STATED} == STATED


def test_names_and_quotes(asked: Asked, info: Info) -> None:
    assert info[503] == 3 and asked.names("SELECT 1 AS MixedCase") == ["mixedcase"]
    quote = info[504]
    assert asked.names(f"SELECT 1 AS {quote}Mixed Case{quote}") == ["Mixed Case"]
    assert asked.names(f"SELECT 1 AS a{info[514]}b") == [f"a{info[514]}b"]
    assert asked.rows("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'public'") == [(1,)]
    longest = "n" * int(str(info[559]))
    assert asked.works(f"CREATE TABLE {longest} (a INT)", f"DROP TABLE {longest}")
    assert "255" in asked.refusal(f"CREATE TABLE {longest}n (a INT)")
    assert asked.works(f"SELECT 1 AS {'c' * 5000}")


def test_quoted_names_are_as_they_are_written(asked: Asked, info: Info) -> None:
    """For which the enumeration has no value but "unknown"."""
    assert info[505] == 0
    assert asked.works('CREATE OR REPLACE TABLE "Claims_Quoted" ("A" INT, a INT)', 'INSERT INTO "Claims_Quoted" VALUES (1, 2)')
    assert asked.rows('SELECT "A", "a" FROM "Claims_Quoted"') == [(1, 2)]
    assert asked.refusal('SELECT * FROM "claims_quoted"') and asked.refusal("SELECT * FROM Claims_Quoted")


def test_keywords_are_words_of_the_grammar(asked: Asked, info: Info) -> None:
    keywords = info[508]
    assert isinstance(keywords, list) and {"SELECT", "MERGE", "QUALIFY", "ILIKE"} <= set(keywords)
    # A word of the grammar is still a name when it is quoted, and may be a column of any result.
    names = ", ".join(f'1 AS "{word}"' for word in keywords)
    assert asked.names(f"SELECT {names}") == keywords


def test_the_minimum_grammar_and_no_more(asked: Asked, info: Info) -> None:
    """ODBC's minimum: simple tables, queries and changes of rows. Its core grammar asks for indexes and privileges, too, as does SQL-92's entry level."""
    assert (info[525], info[526]) == (1 << 0, 0)
    assert asked.works(
        "CREATE TABLE claims_grammar (a INT, b VARCHAR(10))", "INSERT INTO claims_grammar VALUES (1, 'x'), (2, 'y')",
        "UPDATE claims_grammar SET b = 'z' WHERE a = 1", "DELETE FROM claims_grammar WHERE a = 2",
    )  # fmt: skip
    assert asked.rows("SELECT a, b FROM claims_grammar WHERE b LIKE 'z' AND a BETWEEN 0 AND 1 ORDER BY a") == [(1, "z")]
    assert asked.works("DROP TABLE claims_grammar")
    for beyond in ("GRANT SELECT ON claims TO PUBLIC", "CREATE INDEX i ON claims (a)"):
        assert "NOT_IMPLEMENTED" in asked.refusal(beyond), beyond


@pytest.mark.parametrize("place", ["public", "skein.public"])
def test_schemas_and_catalogs_in_calls_indexes_and_privileges(asked: Asked, info: Info, place: str) -> None:
    assert info[534 if "." in place else 533] == 0
    for sql in (f"CALL {place}.p()", f"CREATE INDEX i ON {place}.claims (a)", f"GRANT SELECT ON {place}.claims TO PUBLIC"):
        assert asked.refusal(sql), sql


def test_positioned_updates_and_deletes(asked: Asked, info: Info) -> None:
    assert info[535] == 0
    assert asked.refusal("UPDATE claims SET a = 1 WHERE CURRENT OF c") and asked.refusal("DELETE FROM claims WHERE CURRENT OF c")


# For each limit that is said not to be there: something large.
BIG = 1 << 20
TABLES = ", ".join(f"(SELECT 1 AS n) t{n}" for n in range(100))
WIDE = ", ".join(f"{n} AS c{n}" for n in range(1000))
NO_LIMIT: dict[int, tuple[str, Callable[[Asked], bool]]] = {
    541: ("binary literals", lambda s: s.rows(f"SELECT X'{'ab' * BIG}'") == [(b"\xab" * BIG,)]),
    542: ("character literals", lambda s: s.rows(f"SELECT length('{'x' * 4 * BIG}')") == [(4 * BIG,)]),
    544: ("columns to group by", lambda s: s.works(f"SELECT count(*) FROM (SELECT {WIDE}) GROUP BY {', '.join(f'c{n}' for n in range(1000))}")),
    546: ("columns to order by", lambda s: s.works(f"SELECT c1 FROM (SELECT {WIDE}) ORDER BY {', '.join(f'c{n}' for n in range(1000))}")),
    547: ("columns in SELECT", lambda s: len(s.names(f"SELECT {', '.join(f'a AS c{n}' for n in range(20_500))} FROM claims")) == 20_500),
    555: ("size of a row", lambda s: s.rows(f"SELECT length(repeat('x', {100 * BIG})) FROM claims WHERE a = 1") == [(100 * BIG,)]),
    558: ("open statements", lambda s: open_statements(s, 500) == 500),
    560: ("tables in SELECT", lambda s: s.rows(f"SELECT count(*) FROM {TABLES}") == [(1,)]),
}  # fmt: skip


def open_statements(asked: Asked, number: int) -> int:
    """How many of so many prepared statements answer once all of them are open."""
    handles = []
    for n in range(number):
        request = wire.any_message("ActionCreatePreparedStatementRequest", field(1, f"SELECT {n} AS n"))
        (answer,) = asked.flight.do_action(fl.Action("CreatePreparedStatement", request))
        (handle,) = wire.unpack(answer.body.to_pybytes(), "ActionCreatePreparedStatementResult")[1]
        handles.append(handle)
    answered = 0
    for n, handle in enumerate(handles):
        found = asked.flight.get_flight_info(wire.command("CommandPreparedStatementQuery", field(1, handle)))
        answered += asked.flight.do_get(found.endpoints[0].ticket).read_all().to_pylist() == [{"n": n}]
        list(asked.flight.do_action(fl.Action("ClosePreparedStatement", wire.any_message("ActionClosePreparedStatementRequest", field(1, handle)))))
    return answered


@pytest.mark.parametrize("code", NO_LIMIT, ids=lambda code: NO_LIMIT[code][0])
def test_what_has_no_limit_can_be_large(asked: Asked, info: Info, code: int) -> None:
    assert info[code] == 0
    assert NO_LIMIT[code][1](asked)


def test_names_of_schemas(asked: Asked, info: Info) -> None:
    longest = "s" * int(str(info[552]))
    assert asked.works(f"CREATE SCHEMA {longest}", f"DROP SCHEMA {longest}")
    assert str(info[552]) in asked.refusal(f"CREATE SCHEMA {longest}s")


def test_names_of_columns(asked: Asked, info: Info) -> None:
    """Those of tables; what a query calls its columns is its own business."""
    longest = "c" * int(str(info[543]))
    assert asked.works(f"CREATE OR REPLACE TABLE claims_long ({longest} INT)", f"SELECT {longest} AS {longest}c FROM claims_long")
    assert str(info[543]) in asked.refusal(f"CREATE TABLE claims_longer ({longest}c INT)")
    for name in (longest, f"{longest}c"):
        with asked.connection.cursor() as cursor:
            try:
                cursor.adbc_ingest("claims_long", pa.table({name: pa.array([1], pa.int32())}), mode="replace")
            except adbc_driver_manager.Error as error:
                assert name != longest and str(info[543]) in str(error)
            else:
                assert name == longest


def test_names_of_users(info: Info, tmp_path: Path) -> None:
    longest = "u" * int(str(info[561]))
    with Server(tmp_path) as server, skein_flight.connect(server.url) as connection:
        with pytest.raises(skein_flight.errors.InvalidInputError, match=str(info[561])):
            connection.action("user.create", {"name": f"{longest}u", "password": "a long enough password", "admin": True})
        connection.action("user.create", {"name": longest, "password": "a long enough password", "admin": True})


def test_the_escape_of_patterns(asked: Asked, info: Info) -> None:
    for name in ("claims_x", "claimsyx"):
        assert asked.works(f"CREATE TABLE IF NOT EXISTS {name} (a INT)")
    found = asked.flight.get_flight_info(wire.command("CommandGetTables", field(3, f"claims{info[513]}_x")))
    table = asked.flight.do_get(found.endpoints[0].ticket).read_all()
    assert table["table_name"].to_pylist() == ["claims_x"]


def test_every_table_can_be_selected_from(asked: Asked, info: Info) -> None:
    assert info[506] is True
    for schema, table in asked.rows("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema <> 'public'"):
        assert asked.works(f'SELECT * FROM "{schema}"."{table}" LIMIT 0'), f"{schema}.{table}"


def test_nulls_are_sorted_high(asked: Asked, info: Info) -> None:
    assert info[507] == 0
    assert asked.rows("SELECT a FROM claims ORDER BY a")[-1] == (None,)
    assert asked.rows("SELECT a FROM claims ORDER BY a DESC")[0] == (None,)


def test_outer_joins(asked: Asked, info: Info) -> None:
    assert info[528] == 2
    assert len(asked.rows("SELECT * FROM claims x FULL OUTER JOIN claims y ON x.a = y.b AND x.a > 1")) == 5


@pytest.mark.parametrize("code", [509, 510, 511, 512])
def test_every_function_is_there(asked: Asked, info: Info, code: int) -> None:
    names = info[code]
    assert isinstance(names, list) and names
    missing = "function 'no_such_function' does not exist"
    assert missing.split("'")[0] in asked.refusal("SELECT no_such_function()")
    for name in names:
        refusal = asked.refusal(f'SELECT "{name}"()')
        assert "does not exist" not in refusal, refusal


# A value of each type of CONVERT, by the code of the specification, and the type's name in SQL.
CONVERTED = {
    0: ("BIGINT", "7"), 1: ("BYTEA", "'a'"), 2: ("BOOLEAN", "true"), 3: ("VARCHAR", None), 4: ("DATE", "'2024-02-29'"),
    5: ("DECIMAL(38, 10)", "7"), 6: ("FLOAT", "7"), 7: ("INT", "7"), 8: ("INTERVAL", "'1 day'"), 9: ("INTERVAL", "'1 month'"),
    10: ("BYTEA", "'a'"), 11: ("VARCHAR", None), 12: ("DECIMAL(38, 10)", "7"), 13: ("REAL", "7"), 14: ("SMALLINT", "7"),
    15: ("TIME", "'12:34:56'"), 16: ("TIMESTAMP", "'1970-01-01 00:00:00'"), 17: ("TINYINT", "7"), 18: ("BYTEA", "'a'"), 19: ("VARCHAR", None),
}  # fmt: skip


def test_every_conversion_is_planned(asked: Asked, info: Info) -> None:
    """Whether a value can be read as another type depends on the value; that there is a conversion does not."""
    claims = dict(info[517])  # type: ignore[call-overload]
    assert set(claims) == set(CONVERTED)
    for source, targets in claims.items():
        kind, value = CONVERTED[source]
        for target in targets:
            to, sample = CONVERTED[target]
            text = value or sample or "'x'"
            asked_for = f"SELECT CAST(CAST({text} AS {kind}) AS {to}) FROM claims WHERE b > 1000"
            assert asked.works(asked_for), asked_for


def test_transactions_hang_together(asked: Asked, info: Info) -> None:
    """Kinds of transactions, isolation, savepoints and ingestion in one agree with one another."""
    supported = asked.begins()
    assert info[8] == (0 if not supported else 2 if info[573] else 1)
    assert info[11] == supported
    # Without transactions only "none"; with them, a default that is among the supported.
    levels, default = info[564], info[562]
    assert isinstance(levels, int) and isinstance(default, int)
    assert levels & (1 << default)
    assert (default > 0) == supported


def test_definitions_belong_to_their_transaction(asked: Asked, info: Info) -> None:
    """They neither commit what was before them nor take effect at once."""
    assert (info[565], info[566]) == (False, False)
    assert asked.works("CREATE OR REPLACE TABLE claims_rows (a INT)", "DROP TABLE IF EXISTS claims_defined")
    assert asked.works("BEGIN", "INSERT INTO claims_rows VALUES (1)", "CREATE TABLE claims_defined (a INT)", "ROLLBACK")
    assert asked.rows("SELECT count(*) FROM claims_rows") == [(0,)] and asked.refusal("SELECT * FROM claims_defined")
    assert asked.works("BEGIN", "CREATE TABLE claims_defined (a INT)", "COMMIT", "SELECT * FROM claims_defined", "DROP TABLE claims_defined")


def test_statements_that_are_too_long(asked: Asked, info: Info) -> None:
    limit = int(str(info[557]))
    assert str(limit) in asked.refusal("SELECT 1 --" + "x" * limit)


def test_tables_that_are_too_wide(asked: Asked, info: Info) -> None:
    limit = int(str(info[548]))
    wide = pa.table({f"c{i}": pa.array([1], pa.int8()) for i in range(limit + 1)})
    with pytest.raises(adbc_driver_manager.Error, match=str(limit)), asked.connection.cursor() as cursor:
        cursor.adbc_ingest("claims_wide", wide, mode="create")


def test_the_servers_own_words(asked: Asked, info: Info, adbc: adbc_driver_manager.dbapi.Connection) -> None:
    driver = adbc.adbc_get_info()
    assert (driver["vendor_name"], driver["vendor_version"]) == (info[0], info[1])
    assert info[529] == "schema" and info[531] == "catalog"
