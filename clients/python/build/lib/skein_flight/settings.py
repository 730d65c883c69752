"""Where the server is and how to log in: one value from arguments and environment, turned into what each client wants."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from skein_flight.errors import InvalidInputError

DEFAULT_URL = "grpc://127.0.0.1:8815"
SCHEMES = {"grpc": False, "grpc+tcp": False, "grpc+tls": True, "grpcs": True}


@dataclass(frozen=True)
class Settings:
    """How to reach a server. Secrets are left out of `repr`."""

    url: str = DEFAULT_URL
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    tls_ca: bytes | None = field(default=None, repr=False)
    tls_cert: bytes | None = field(default=None, repr=False)
    tls_key: bytes | None = field(default=None, repr=False)
    tls_skip_verify: bool = False
    max_message_bytes: int = 512 << 20

    @classmethod
    def resolve(
        cls,
        url: str | None,
        *,
        user: str | None,
        password: str | None,
        token: str | None,
        tls_ca: str | os.PathLike[str] | bytes | None,
        tls_cert: str | os.PathLike[str] | bytes | None,
        tls_key: str | os.PathLike[str] | bytes | None,
        tls_skip_verify: bool,
    ) -> Settings:
        """Arguments first, then SKEIN_URL, SKEIN_USER, SKEIN_PASSWORD and SKEIN_TOKEN; raises on a contradiction."""
        if token is None and user is None:
            token = os.environ.get("SKEIN_TOKEN") or None
            user = None if token else os.environ.get("SKEIN_USER") or None
            password = password if password is not None else os.environ.get("SKEIN_PASSWORD") if user else None
        settings = cls(
            url=url or os.environ.get("SKEIN_URL") or DEFAULT_URL,
            user=user,
            password=password,
            token=token,
            tls_ca=_pem(tls_ca, "tls_ca"),
            tls_cert=_pem(tls_cert, "tls_cert"),
            tls_key=_pem(tls_key, "tls_key"),
            tls_skip_verify=tls_skip_verify,
        )
        settings._check()
        return settings

    def _check(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise InvalidInputError(
                f"'{self.url}' is not the URL of a Skein server; write grpc://HOST:PORT, or grpc+tls://HOST:PORT with TLS"
            )
        if self.token is not None and self.user is not None:
            raise InvalidInputError("both a token and a user were given; choose one way to log in")
        if self.user is not None and self.password is None:
            raise InvalidInputError(f"no password for user '{self.user}'; pass password= or set SKEIN_PASSWORD")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InvalidInputError("a client certificate needs both tls_cert and tls_key")
        if not self.tls and (self.tls_ca or self.tls_cert or self.tls_skip_verify):
            raise InvalidInputError(f"TLS options were given but '{self.url}' is not a grpc+tls:// URL")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return SCHEMES[urlsplit(self.url).scheme]

    @property
    def location(self) -> str:
        """The URL with a scheme that both Arrow C++ and ADBC know."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{'grpc+tls' if self.tls else 'grpc'}://{host}:{parts.port or 8815}"

    def adbc_options(self) -> dict[str, str]:
        """Database options of adbc_driver_flightsql."""
        options = {
            "adbc.flight.sql.rpc.with_cookie_middleware": "true",
            "adbc.flight.sql.client_option.with_max_msg_size": str(self.max_message_bytes),
        }
        if self.token is not None:
            options["adbc.flight.sql.authorization_header"] = f"Bearer {self.token}"
        if self.user is not None:
            options |= {"username": self.user, "password": self.password or ""}
        if self.tls_ca is not None:
            options["adbc.flight.sql.client_option.tls_root_certs"] = self.tls_ca.decode()
        if self.tls_cert is not None and self.tls_key is not None:
            options["adbc.flight.sql.client_option.mtls_cert_chain"] = self.tls_cert.decode()
            options["adbc.flight.sql.client_option.mtls_private_key"] = self.tls_key.decode()
        if self.tls_skip_verify:
            options["adbc.flight.sql.client_option.tls_skip_verify"] = "true"
        return options

    def flight_options(self) -> dict[str, object]:
        """Keyword arguments of pyarrow.flight.FlightClient."""
        return {
            "tls_root_certs": self.tls_ca,
            "cert_chain": self.tls_cert,
            "private_key": self.tls_key,
            "disable_server_verification": self.tls_skip_verify,
        }

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The authorization header for calls through pyarrow.flight; empty without a login."""
        if self.token is not None:
            return [(b"authorization", f"Bearer {self.token}".encode())]
        if self.user is not None:
            pair = base64.b64encode(f"{self.user}:{self.password}".encode())
            return [(b"authorization", b"Basic " + pair)]
        return []


def _pem(value: str | os.PathLike[str] | bytes | None, name: str) -> bytes | None:
    """PEM text, given as it is (bytes) or as the path of its file."""
    if value is None or isinstance(value, bytes):
        return value
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{name}: cannot read '{os.fspath(value)}': {error.strerror}") from error
