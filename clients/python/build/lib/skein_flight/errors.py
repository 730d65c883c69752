"""One family of exceptions for everything a server or a transport can answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_manager
import pyarrow
import pyarrow.flight


class SkeinError(Exception):
    """A request failed. The message is the server's own; the original exception is `__cause__`."""


class InvalidInputError(SkeinError):
    """The request is wrong as it stands: bad SQL, bad data, bad arguments."""


class NotFoundError(SkeinError):
    """Something named in the request does not exist."""


class AlreadyExistsError(SkeinError):
    """The name is taken."""


class ConflictError(SkeinError):
    """Someone else changed the same thing first; read again and retry."""


class UnauthenticatedError(SkeinError):
    """No login, or a wrong, expired or revoked one."""


class PermissionDeniedError(SkeinError):
    """Logged in, but not allowed."""


class NotSupportedError(SkeinError):
    """The server does not do this; the message says what to do instead."""


class UnavailableError(SkeinError):
    """The server could not be reached, is too busy, took too long or went away."""


_ADBC: dict[adbc_driver_manager.AdbcStatusCode, type[SkeinError]] = {
    adbc_driver_manager.AdbcStatusCode.NOT_IMPLEMENTED: NotSupportedError,
    adbc_driver_manager.AdbcStatusCode.NOT_FOUND: NotFoundError,
    adbc_driver_manager.AdbcStatusCode.ALREADY_EXISTS: AlreadyExistsError,
    adbc_driver_manager.AdbcStatusCode.INVALID_ARGUMENT: InvalidInputError,
    adbc_driver_manager.AdbcStatusCode.INVALID_DATA: InvalidInputError,
    adbc_driver_manager.AdbcStatusCode.INVALID_STATE: InvalidInputError,
    adbc_driver_manager.AdbcStatusCode.INTEGRITY: ConflictError,
    adbc_driver_manager.AdbcStatusCode.IO: UnavailableError,
    adbc_driver_manager.AdbcStatusCode.TIMEOUT: UnavailableError,
    adbc_driver_manager.AdbcStatusCode.CANCELLED: UnavailableError,
    adbc_driver_manager.AdbcStatusCode.UNAUTHENTICATED: UnauthenticatedError,
    adbc_driver_manager.AdbcStatusCode.UNAUTHORIZED: PermissionDeniedError,
}

# The gRPC code that both drivers put in their text is finer than their own classes.
_GRPC: dict[str, type[SkeinError]] = {
    "invalidargument": InvalidInputError,
    "failedprecondition": InvalidInputError,
    "outofrange": InvalidInputError,
    "notfound": NotFoundError,
    "alreadyexists": AlreadyExistsError,
    "aborted": ConflictError,
    "unauthenticated": UnauthenticatedError,
    "permissiondenied": PermissionDeniedError,
    "unimplemented": NotSupportedError,
    "unavailable": UnavailableError,
    "deadlineexceeded": UnavailableError,
    "resourceexhausted": UnavailableError,
    "cancelled": UnavailableError,
}

_FLIGHT: tuple[tuple[type[BaseException], type[SkeinError]], ...] = (
    (pyarrow.flight.FlightUnauthenticatedError, UnauthenticatedError),
    (pyarrow.flight.FlightUnauthorizedError, PermissionDeniedError),
    (pyarrow.flight.FlightUnavailableError, UnavailableError),
    (pyarrow.flight.FlightTimedOutError, UnavailableError),
    (pyarrow.flight.FlightCancelledError, UnavailableError),
    (NotImplementedError, NotSupportedError),
    (pyarrow.ArrowKeyError, NotFoundError),
    (pyarrow.ArrowInvalid, InvalidInputError),
)

_ADBC_FRAME = re.compile(
    r"^(?P<status>[A-Z_]+): (?:\[[^\]]*\] )?(?:\[[^\]]*\] )?(?P<text>.*) \((?P<code>[A-Za-z]+); [^()]*\)"
    r"(?:\. Vendor code: \d+)?$",
    re.S,
)
_FLIGHT_FRAME = re.compile(
    r"^(?:(?:Flight|gRPC) returned (?P<code>[A-Za-z ]+?)(?: error)?, with message: )?"
    r"(?P<text>.*?)"
    r"(?:\. (?:gRPC client debug context|Client context|Detail): .*)?$",
    re.S,
)


def translate(error: BaseException) -> SkeinError:
    """The exception of this family that says the same as one of ADBC's or pyarrow's."""
    # A KeyError's str() is the repr of its message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if match := _ADBC_FRAME.match(text):
        return _kind(error, match["code"])(match["text"].strip())
    if match := _FLIGHT_FRAME.match(text):
        return _kind(error, match["code"] or "")(match["text"].strip())
    return _kind(error, "")(text)


def _kind(error: BaseException, grpc_code: str) -> type[SkeinError]:
    if found := _GRPC.get(grpc_code.replace(" ", "").lower()):
        return found
    if isinstance(error, adbc_driver_manager.Error):
        return _ADBC.get(error.status_code, SkeinError)
    return next((ours for theirs, ours in _FLIGHT if isinstance(error, theirs)), SkeinError)


@contextmanager
def translated() -> Iterator[None]:
    """Raises what happens inside as one of this module's exceptions."""
    try:
        yield
    except SkeinError:
        raise
    except (adbc_driver_manager.Error, pyarrow.ArrowException) as error:
        raise translate(error) from error
    except OSError as error:
        # How a stream reports most failures; an error of a local file is left as it is.
        if error.errno is None:
            raise translate(error) from error
        raise
