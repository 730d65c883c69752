"""Login with passwords and tokens, TLS and mutual TLS, from the clients' side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import adbc_driver_flightsql.dbapi
import adbc_driver_manager
import flightsql.sqlalchemy  # noqa: F401 (registers the dialect)
import polars as pl
import pyarrow.flight as fl
import pytest
import skein_flight
import sqlalchemy as sa
import trustme
from skein_flight import errors
from support import data
from support.server import Server

ADMIN = {"user": "ada", "password": "correct horse battery staple"}
READER = {"user": "grace", "password": "another long password"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on loopback that had no login until its first user was made."""
    with Server(tmp_path_factory.mktemp("guarded")) as server:
        with skein_flight.connect(server.url) as connection:
            connection.action("user.create", {"name": ADMIN["user"], "password": ADMIN["password"], "admin": True})
        with skein_flight.connect(server.url, **ADMIN) as connection:
            connection.action("user.create", {"name": READER["user"], "password": READER["password"]})
            connection.ingest("known", data.small(3))
        yield server


def test_a_first_user_turns_login_on(guarded: Server) -> None:
    with pytest.raises(errors.UnauthenticatedError):
        skein_flight.connect(guarded.url)
    with fl.FlightClient(guarded.url) as client, pytest.raises(fl.FlightUnauthenticatedError):
        list(client.list_actions())


def test_a_password_lets_in(guarded: Server) -> None:
    with skein_flight.connect(guarded.url, **ADMIN) as connection:
        assert connection.sql("SELECT count(*) FROM known").scalar() == 3
        assert connection.action("dataset.verify")["findings"] == []
        connection.ingest("known", data.small(3), "replace")


@pytest.mark.parametrize(
    "login",
    [
        {"user": "ada", "password": "Tr0ub4dor&3 is not it"},
        {"user": "nobody", "password": ADMIN["password"]},
        {"token": "skein_nonsense"},
        {"token": "skein_01ARZ3NDEKTSV4RRFFQ69G5FAV_" + "0" * 43},
    ],
)
def test_a_wrong_login_does_not(guarded: Server, login: dict) -> None:
    with pytest.raises(errors.UnauthenticatedError) as caught:
        skein_flight.connect(guarded.url, **login)
    assert login.get("password", login.get("token")) not in str(caught.value)


def test_a_token_lets_in_until_it_is_revoked(guarded: Server) -> None:
    with skein_flight.connect(guarded.url, **ADMIN) as admin:
        made = admin.action("token.create", {"label": "a test"})
        assert made["token"].startswith("skein_")
        with skein_flight.connect(guarded.url, token=made["token"]) as connection:
            assert connection.sql("SELECT count(*) FROM known").scalar() == 3
            assert admin.action("token.revoke", {"id": made["id"]})["revoked"] is True
            with pytest.raises(errors.UnauthenticatedError):
                connection.sql("SELECT 1").fetchall()
        shown = admin.sql("SELECT * FROM system.tokens").arrow().to_pylist()
        assert made["token"] not in repr(shown)


def test_a_token_expires(guarded: Server) -> None:
    import time

    with skein_flight.connect(guarded.url, **ADMIN) as admin:
        made = admin.action("token.create", {"label": "short", "expires_in_seconds": 1})
    time.sleep(2)
    with pytest.raises(errors.UnauthenticatedError):
        skein_flight.connect(guarded.url, token=made["token"])


def test_a_connection_logs_in_again_when_its_session_has_expired(tmp_path: Path) -> None:
    """For each way into the server, also one whose source can be read only once; the session stays the same one."""
    import time

    env = {"SKEIN__AUTH__SESSION_TOKEN_TTL": "2s"}
    with Server(tmp_path, env=env) as server:
        with skein_flight.connect(server.url) as connection:
            connection.action("user.create", {"name": ADMIN["user"], "password": ADMIN["password"], "admin": True})
        with skein_flight.connect(server.url, **ADMIN) as connection:
            connection.ingest("mine", data.small(2), temporary=True)
            connection.execute("SET timezone = 'Europe/Lisbon'")
            connection.actions()
            file = tmp_path / "a.csv"
            file.write_text("a\n1\n")
            ways = [
                lambda: connection.sql("SELECT count(*) FROM mine").scalar() == 2,
                lambda: connection.execute("CREATE TABLE t (a BIGINT)") == 0,
                lambda: connection.execute("INSERT INTO t VALUES (?)", [[1], [2]]) == 2,
                lambda: connection.ingest("one_shot", data.small(5).to_reader()) == 5,
                lambda: connection.ingest_file(file, "from_file").rows == 1,
                lambda: connection.action("dataset.verify")["findings"] == [],
                lambda: len(connection.actions()) > 3,
                lambda: connection.sql("SHOW timezone").fetchall()[0][-1] == "Europe/Lisbon",
            ]
            for number, way in enumerate(ways):
                time.sleep(3.1)
                assert way(), f"way {number}"
            # A password that has changed is not something to try for ever.
            connection.action("user.set_password", {"name": ADMIN["user"], "password": "quite another one"})
            with pytest.raises(errors.UnauthenticatedError, match="the user or the password is wrong"):
                connection.sql("SELECT 1").fetchall()


def test_users_are_for_admins(guarded: Server) -> None:
    with skein_flight.connect(guarded.url, **READER) as reader:
        assert reader.sql("SELECT count(*) FROM known").scalar() == 3
        with pytest.raises(errors.PermissionDeniedError):
            reader.action("user.create", {"name": "mallory", "password": "a long enough password", "admin": True})
        with pytest.raises(errors.PermissionDeniedError):
            reader.action("user.set_password", {"name": ADMIN["user"], "password": "a long enough password"})


def test_passwords_are_nowhere_in_the_open(guarded: Server) -> None:
    stored = b"".join(path.read_bytes() for path in guarded.data.rglob("*") if path.is_file())
    log = guarded.log()
    for login in (ADMIN, READER):
        assert login["password"].encode() not in stored
        assert login["password"] not in log


def test_health_and_metrics_need_no_login(guarded: Server) -> None:
    assert guarded.http_status("/healthz") == 200 and guarded.http_status("/readyz") == 200


# ---- every client logs in --------------------------------------------------------------------------------------------


def test_pyarrow_basic(guarded: Server) -> None:
    with fl.FlightClient(guarded.url) as client:
        bearer = client.authenticate_basic_token(ADMIN["user"], ADMIN["password"])
        assert bearer[0] == b"authorization" and bearer[1].startswith(b"Bearer ")
        options = fl.FlightCallOptions(headers=[bearer])
        assert client.do_get(fl.Ticket(b"SELECT 1 AS a"), options).read_all().num_rows == 1


def test_pyarrow_basic_with_a_wrong_password(guarded: Server) -> None:
    with fl.FlightClient(guarded.url) as client, pytest.raises(fl.FlightUnauthenticatedError):
        client.authenticate_basic_token(ADMIN["user"], "wrong")


def test_adbc_basic(guarded: Server) -> None:
    options = {"username": ADMIN["user"], "password": ADMIN["password"]}
    with adbc_driver_flightsql.dbapi.connect(guarded.url, db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


def test_adbc_without_a_login(guarded: Server) -> None:
    with pytest.raises(adbc_driver_manager.Error) as caught:
        with adbc_driver_flightsql.dbapi.connect(guarded.url, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    assert "Unauthenticated" in str(caught.value)


def test_polars_uri_with_a_login(guarded: Server) -> None:
    uri = f"flightsql://127.0.0.1:{guarded.port}?transport=tcp"
    with pytest.raises(Exception, match="(?i)unauthenticated"):
        pl.read_database_uri("SELECT 1 AS a", uri, engine="adbc")
    options = {"username": ADMIN["user"], "password": ADMIN["password"]}
    with adbc_driver_flightsql.dbapi.connect(guarded.url, db_kwargs=options, autocommit=True) as connection:
        assert pl.read_database("SELECT 1 AS a", connection).item() == 1


def test_sqlalchemy_with_a_login(guarded: Server) -> None:
    engine = sa.create_engine(
        sa.engine.URL.create(
            "datafusion+flightsql",
            username=ADMIN["user"],
            password=ADMIN["password"],
            host="127.0.0.1",
            port=guarded.port,
            query={"insecure": "True"},
        )
    )
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) AS n FROM known")).fetchall() == [(3,)]


# ---- TLS -------------------------------------------------------------------------------------------------------------


@dataclass
class Certificates:
    """PEM files made for one test run."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    client = authority.issue_cert("client@example.org", common_name="client")
    files = Certificates(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")))
    authority.cert_pem.write_to_path(str(files.ca))
    for certificate, chain, key in ((server, files.server_cert, files.server_key), (client, files.client_cert, files.client_key)):
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(str(chain), append=True)
        certificate.private_key_pem.write_to_path(str(key))
    return files


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Server]:
    env = {"SKEIN__TLS__CERT": str(certificates.server_cert), "SKEIN__TLS__KEY": str(certificates.server_key)}
    with Server(tmp_path_factory.mktemp("encrypted"), env, tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Server]:
    env = {
        "SKEIN__TLS__CERT": str(certificates.server_cert),
        "SKEIN__TLS__KEY": str(certificates.server_key),
        "SKEIN__TLS__CLIENT_CA": str(certificates.ca),
        "SKEIN__TLS__REQUIRE_CLIENT_CERT": "true",
    }
    with Server(tmp_path_factory.mktemp("mutual"), env, tls=True) as server:
        yield server


def test_tls(encrypted: Server, certificates: Certificates) -> None:
    with skein_flight.connect(encrypted.url, tls_ca=certificates.ca) as connection:
        assert connection.ingest("t", data.small(3)) == 3
        assert connection.sql("SELECT count(*) FROM t").scalar() == 3
        assert connection.actions()
    with skein_flight.connect(encrypted.url, tls_skip_verify=True) as connection:
        assert connection.sql("SELECT 1").scalar() == 1


def test_tls_with_pyarrow(encrypted: Server, certificates: Certificates) -> None:
    with fl.FlightClient(encrypted.url, tls_root_certs=certificates.ca.read_bytes()) as client:
        assert client.do_get(fl.Ticket(b"SELECT 1 AS a")).read_all().num_rows == 1


def test_an_unknown_authority_is_refused(encrypted: Server) -> None:
    with pytest.raises(errors.UnavailableError):
        skein_flight.connect(encrypted.url)


def test_plain_text_to_a_tls_port_is_refused(encrypted: Server) -> None:
    with pytest.raises(errors.SkeinError):
        skein_flight.connect(encrypted.url.replace("grpc+tls", "grpc"))


def test_mutual_tls(mutual: Server, certificates: Certificates) -> None:
    login = {"tls_ca": certificates.ca, "tls_cert": certificates.client_cert, "tls_key": certificates.client_key}
    with skein_flight.connect(mutual.url, **login) as connection:
        assert connection.sql("SELECT 1").scalar() == 1
        assert connection.actions()


def test_mutual_tls_without_a_certificate(mutual: Server, certificates: Certificates) -> None:
    with pytest.raises(errors.SkeinError):
        skein_flight.connect(mutual.url, tls_ca=certificates.ca)


def test_mutual_tls_with_a_stranger(mutual: Server, certificates: Certificates, tmp_path: Path) -> None:
    stranger = trustme.CA().issue_cert("mallory@example.org")
    with pytest.raises(errors.SkeinError):
        skein_flight.connect(
            mutual.url,
            tls_ca=certificates.ca,
            tls_cert=stranger.cert_chain_pems[0].bytes(),
            tls_key=stranger.private_key_pem.bytes(),
        )


def test_beyond_loopback_needs_login_and_tls(tmp_path: Path) -> None:
    import os
    import subprocess

    from support.server import binary, free_port

    clean = {k: v for k, v in os.environ.items() if not k.startswith("SKEIN")}
    command = [str(binary()), "serve", "--data", str(tmp_path / "d"), "--listen", f"0.0.0.0:{free_port()}"]
    run = subprocess.run(
        command, env=clean | {"SKEIN__SERVER__HTTP_LISTEN": "off"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode != 0
    assert "allow_insecure_remote" in run.stderr
