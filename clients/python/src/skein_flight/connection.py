"""A connection: SQL and ingest over ADBC, actions and files over pyarrow.flight, opened when first needed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, TypeVar

import pyarrow
import pyarrow.flight

from skein_flight.errors import InvalidInputError, SkeinError, UnauthenticatedError, translated
from skein_flight.files import IngestReport, Progress, send_file
from skein_flight.result import Result
from skein_flight.settings import Settings

if TYPE_CHECKING:
    import adbc_driver_manager.dbapi

T = TypeVar("T")
Mode = Literal["create", "append", "replace", "create_append"]
MODES = ("create", "append", "replace", "create_append")


class Table(NamedTuple):
    """A table or view that queries can name."""

    schema: str
    name: str
    type: str


class ActionType(NamedTuple):
    """An action that the server offers, with what its request carries."""

    name: str
    description: str


def connect(
    url: str | None = None,
    *,
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    tls_ca: str | os.PathLike[str] | bytes | None = None,
    tls_cert: str | os.PathLike[str] | bytes | None = None,
    tls_key: str | os.PathLike[str] | bytes | None = None,
    tls_skip_verify: bool = False,
) -> Connection:
    """Connects to a server and checks that it answers.

    `url` is `grpc://HOST:PORT`, or `grpc+tls://HOST:PORT` with TLS. What is left out comes from SKEIN_URL, SKEIN_USER,
    SKEIN_PASSWORD and SKEIN_TOKEN, and in the end from `grpc://127.0.0.1:8815` without a login. `tls_ca`, `tls_cert` and
    `tls_key` are PEM bytes or paths of PEM files; the last two are for servers that want a client certificate.
    """
    settings = Settings.resolve(
        url,
        user=user,
        password=password,
        token=token,
        tls_ca=tls_ca,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_skip_verify=tls_skip_verify,
    )
    connection = Connection(settings)
    try:
        connection.sql("SELECT 1").arrow()
    except SkeinError:
        connection.close()
        raise
    return connection


class Connection:
    """A session on a server. Temporary tables and session settings (`SET ...`) belong to it. Not for use by several
    threads at once; open one for each. A login by password is renewed by itself when the session's token has run out."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._adbc: adbc_driver_manager.dbapi.Connection | None = None
        self._flight: pyarrow.flight.FlightClient | None = None
        self._authorization: list[tuple[bytes, bytes]] = settings.headers()

    # ---- the clients underneath

    def dbapi(self, **options: Any) -> adbc_driver_manager.dbapi.Connection:
        """A new DBAPI connection of the ADBC driver, for libraries that want one. Close it yourself."""
        import adbc_driver_flightsql.dbapi

        options.setdefault("autocommit", True)
        with translated():
            return adbc_driver_flightsql.dbapi.connect(
                self.settings.location, db_kwargs=self.settings.adbc_options(), **options
            )

    @property
    def adbc(self) -> adbc_driver_manager.dbapi.Connection:
        """The ADBC connection that `sql`, `execute` and `ingest` use."""
        if self._adbc is None:
            self._adbc = self.dbapi()
        return self._adbc

    @property
    def flight(self) -> pyarrow.flight.FlightClient:
        """The pyarrow client that actions and files use. Pass `call_options` with each call."""
        if self._flight is None:
            with translated():
                client = pyarrow.flight.FlightClient(self.settings.location, **self.settings.flight_options())
            self._flight = client
            if self.settings.user is not None:
                self._log_in(client)
        return self._flight

    @property
    def call_options(self) -> pyarrow.flight.FlightCallOptions:
        """The options that log a call through `flight` in."""
        _ = self.flight
        return pyarrow.flight.FlightCallOptions(headers=self._authorization)

    # ---- login

    def _log_in(self, client: pyarrow.flight.FlightClient) -> None:
        """Gets a token for the password."""
        with translated():
            bearer = client.authenticate_basic_token(self.settings.user or "", self.settings.password or "")
        self._authorization = [bearer]

    def _log_in_again(self) -> None:
        self._log_in(self.flight)
        if self._adbc is not None:
            # The same connection goes on with the new token; its cookie leads back into the same session.
            header = "adbc.flight.sql.rpc.call_header.authorization"
            token = self._authorization[0][1].decode()
            with translated():
                # The driver adds to the values of a header, and takes an empty one for an order to forget them.
                self._adbc.adbc_connection.set_options(**{header: ""})
                self._adbc.adbc_connection.set_options(**{header: token})

    def _logged_in(self, attempt: Callable[[], T]) -> T:
        """Runs `attempt`, and once more after a new login when the server does not know the session any more. The server
        refuses a request without a login before it looks at it, so nothing is done twice."""
        try:
            with translated():
                return attempt()
        except UnauthenticatedError:
            if self.settings.user is None:
                raise
        self._log_in_again()
        with translated():
            return attempt()

    # ---- SQL

    def sql(self, query: str, params: Sequence[Any] | None = None) -> Result:
        """Runs a query. `?` or `$1` in it are filled from `params`."""

        def attempt() -> Result:
            cursor = self.adbc.cursor()
            try:
                cursor.execute(query, params)
                return Result(cursor.fetch_record_batch(), cursor.close)
            except BaseException:
                cursor.close()
                raise

        return self._logged_in(attempt)

    def execute(self, statement: str, params: Sequence[Any] | Sequence[Sequence[Any]] | None = None) -> int | None:
        """Runs a statement that changes something; the number of rows it touched (0 for DDL), None when it is unknown.

        `params` is one row of values, or a list of rows: the statement then runs for each of them.
        """

        def attempt() -> int | None:
            rows: int | None
            with self.adbc.cursor() as cursor:
                if params is None:
                    cursor.adbc_statement.set_sql_query(statement)
                    rows = cursor.adbc_statement.execute_update()
                    return rows
                many = len(params) > 0 and all(isinstance(row, list | tuple) for row in params)
                cursor.executemany(statement, params if many else [params])
                rows = cursor.rowcount
                return rows

        rows = self._logged_in(attempt)
        return rows if rows is not None and rows >= 0 else None

    # ---- ingest

    def ingest(
        self, table: str, data: Any, mode: Mode = "create_append", *, schema: str | None = None, temporary: bool = False
    ) -> int:
        """Sends a table and returns the number of rows, once they are committed.

        `data` is a pyarrow Table, RecordBatch or RecordBatchReader, a polars or pandas frame, a dict of columns, or
        anything with `__arrow_c_stream__`. A reader is streamed: it need not fit in memory. `create` fails when the table
        is there, `append` when it is not, `replace` swaps its content in one commit, `create_append` does what fits.
        """
        if mode not in MODES:
            raise InvalidInputError(f"mode '{mode}' is not one of {', '.join(MODES)}")
        if self.settings.user is not None:
            # Ahead of the upload: a reader can be read once, so it cannot be sent again after a new login.
            self.sql("SELECT 1").close()
        with translated(), self.adbc.cursor() as cursor:
            rows: int = cursor.adbc_ingest(
                table, _arrow_data(data), mode=mode, db_schema_name=schema, temporary=temporary
            )
            return rows

    def ingest_file(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        table: str,
        mode: Mode = "create_append",
        *,
        schema: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        **options: Any,
    ) -> IngestReport:
        """Sends a file as it is and lets the server read it: Parquet, Arrow, CSV or JSON, also compressed.

        `path` may be an open binary file. The same bytes sent twice are taken once (`force=True` overrides). `options` go to
        the server: `format`, `csv`, `json`, `schema_overrides`, `on_bad_row`, `sample_rows`, `force`.
        """
        if mode not in MODES:
            raise InvalidInputError(f"mode '{mode}' is not one of {', '.join(MODES)}")
        target = [schema, table] if schema else [table]
        if self.settings.user is not None:
            self.actions()
        with translated():
            return send_file(self.flight, self.call_options, path, target, mode, options, progress)

    # ---- actions and names

    def action(self, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Runs an action and returns its answer. `actions()` lists them."""
        request = pyarrow.flight.Action(name, json.dumps(dict(body or {})).encode())
        results = self._logged_in(lambda: list(self.flight.do_action(request, self.call_options)))
        answers = [json.loads(r.body.to_pybytes() or b"{}") for r in results]
        if len(answers) == 1 and isinstance(answers[0], dict):
            return answers[0]
        return {"results": answers} if answers else {}

    def actions(self) -> list[ActionType]:
        """What the server can be told to do."""
        listed = self._logged_in(lambda: list(self.flight.list_actions(self.call_options)))
        return [ActionType(a.type, a.description) for a in listed]

    def tables(self, schema: str | None = None) -> list[Table]:
        """The tables and views, without the server's own unless their schema is named."""
        where = "table_schema = ?" if schema else "table_schema NOT IN ('system', 'information_schema')"
        rows = self.sql(
            "SELECT table_schema, table_name, table_type FROM information_schema.tables"
            f" WHERE {where} ORDER BY table_schema, table_name",
            [schema] if schema else None,
        )
        return [Table(*row) for row in rows.fetchall()]

    # ---- end

    def close(self) -> None:
        """Ends the session; its temporary tables go with it."""
        adbc, self._adbc = self._adbc, None
        flight, self._flight = self._flight, None
        if adbc is not None:
            adbc.close()
        if flight is not None:
            flight.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"skein_flight.Connection({self.settings.url!r})"


def _arrow_data(data: Any) -> Any:
    """Data in a shape that ADBC takes."""
    if isinstance(data, Mapping):
        data = pyarrow.table(dict(data))
    elif type(data).__module__.partition(".")[0] == "pandas":
        data = pyarrow.Table.from_pandas(data, preserve_index=False)
    if isinstance(data, pyarrow.Table) and data.num_rows == 0:
        # The driver sends nothing at all for a table without batches; one empty batch makes it send the schema.
        data = pyarrow.RecordBatch.from_pylist([], schema=data.schema)
    if isinstance(data, pyarrow.Table | pyarrow.RecordBatch | pyarrow.RecordBatchReader):
        return data
    if hasattr(data, "__arrow_c_stream__"):
        return pyarrow.RecordBatchReader.from_stream(data)
    raise InvalidInputError(
        f"cannot ingest a {type(data).__name__}; pass a pyarrow table or reader, a polars or pandas frame, or a dict of columns"
    )
