"""Talk to a Skein server from Python: SQL in, Arrow out.

    >>> import skein_flight
    >>> with skein_flight.connect("grpc://127.0.0.1:8815") as skein:
    ...     skein.ingest("points", pyarrow_table)
    ...     skein.sql("SELECT count(*) FROM points WHERE x > ?", [0.5]).fetchall()

Everything is a thin layer over two well-known clients, and both stay within reach: the ADBC Flight SQL driver for SQL and
ingest (`Connection.dbapi`), and `pyarrow.flight` for actions, files and whole datasets (`Connection.flight`).
"""

from skein_flight.connection import ActionType, Connection, Table, connect
from skein_flight.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    SkeinError,
    UnauthenticatedError,
    UnavailableError,
)
from skein_flight.files import IngestReport, Progress
from skein_flight.result import Result
from skein_flight.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "ActionType",
    "AlreadyExistsError",
    "ConflictError",
    "Connection",
    "IngestReport",
    "InvalidInputError",
    "NotFoundError",
    "NotSupportedError",
    "PermissionDeniedError",
    "Progress",
    "Result",
    "Settings",
    "SkeinError",
    "Table",
    "UnauthenticatedError",
    "UnavailableError",
    "connect",
]
