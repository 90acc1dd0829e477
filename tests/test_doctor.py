"""The thorough examination finds what is really broken, says what to do, and changes and sends nothing."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis

from dispatchlog import doctor_outside, doctor_postgres, second_factor
from dispatchlog.doctor import Check
from dispatchlog.doctor_outside import certificate, examine_outside, examine_schools
from dispatchlog.doctor_postgres import examine_postgres
from dispatchlog.doctor_secrets import examine_secrets
from dispatchlog.engine.database import configure, connected, database, execute, fetch_one
from dispatchlog.keys.columns import SECOND_FACTORS
from dispatchlog.keys.formats import seal_first
from dispatchlog.people import create_user
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import schools
from tests.gateways.hl7_certificates import Authority
from tests.gateways.servers import RawServer, make_certificate, raw_server
from tests.ports import free_port
from tests.test_cli import dispatchlog

ROLE = "dispatchlog_app"


def owner(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def states(checks: Iterator[Check]) -> dict[str, Check]:
    """The worst check of each name."""
    order = ("ok", "warning", "failed")
    worst: dict[str, Check] = {}
    for check in checks:
        if check.name not in worst or order.index(check.state) > order.index(worst[check.name].state):
            worst[check.name] = check
    return worst


# --- PostgreSQL


def test_a_sound_database_passes(settings_env: Settings) -> None:
    found = states(examine_postgres(settings_env))
    about_the_cluster = {"replication slots", "transactions", "login"}
    assert {name: check.what for name, check in found.items() if check.state != "ok"}.keys() <= about_the_cluster
    assert {"privileges", "triggers", "indexes", "dead rows", "prepared transactions", "waiting"} <= set(found)
    assert found["triggers"].what == "8 lanes are guarded, always"


@pytest.mark.parametrize(
    ("broken", "name", "words"),
    [
        (f"GRANT DELETE ON kit_registrations TO {ROLE}", "privileges", f"{ROLE} may DELETE kit_registrations"),
        ("GRANT TRUNCATE ON comm_jobs TO PUBLIC", "privileges", f"{ROLE} may TRUNCATE comm_jobs"),
        (f"GRANT UPDATE ON operator_actions TO {ROLE}", "privileges", f"{ROLE} may UPDATE operator_actions"),
        ("ALTER TABLE hl7_messages DISABLE TRIGGER keep_rows", "triggers", "keep_rows of hl7_messages is switched off"),
        ("ALTER TABLE comm_jobs ENABLE TRIGGER log_update", "triggers", "log_update of comm_jobs is not ALWAYS"),
        ("DROP TRIGGER log_insert ON kit_registrations", "triggers", "kit_registrations has no log_insert"),
        (
            "ALTER TABLE chat_messages DISABLE TRIGGER keep_rows",
            "triggers",
            "keep_rows of chat_messages is switched off",
        ),
    ],
)
def test_a_guard_that_is_gone_fails(settings_env: Settings, broken: str, name: str, words: str) -> None:
    owner(settings_env.database_url, broken)
    check = states(examine_postgres(settings_env))[name]
    assert (check.state, check.what) == ("failed", words)
    assert check.next


def test_an_index_that_could_not_be_built_fails(settings_env: Settings) -> None:
    owner(settings_env.database_url, "CREATE TABLE twice AS SELECT 1 AS n FROM generate_series(1, 2)")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        owner(settings_env.database_url, "CREATE UNIQUE INDEX CONCURRENTLY twice_n ON twice (n)")
    check = states(examine_postgres(settings_env))["indexes"]
    assert (check.state, check.what) == ("failed", "twice_n is not valid")


def test_dead_rows_that_nobody_vacuums_warn(settings_env: Settings) -> None:
    owner(
        settings_env.database_url,
        "CREATE TABLE many AS SELECT n FROM generate_series(1, 20000) n",
        "DELETE FROM many",
        "SELECT pg_stat_force_next_flush()",
        "SELECT 1",
    )
    check = states(examine_postgres(settings_env))["dead rows"]
    assert (check.state, check.what) == ("warning", "many has 20,000 dead rows beside 0")


def test_a_transaction_left_prepared_fails(settings_env: Settings) -> None:
    url = settings_env.database_url
    owner(url, "BEGIN; CREATE TABLE half_made (n int); PREPARE TRANSACTION 'left by somebody'")
    try:
        check = states(examine_postgres(settings_env))["prepared transactions"]
        assert (check.state, check.what) == ("failed", "left by somebody was left prepared")
    finally:
        owner(url, "ROLLBACK PREPARED 'left by somebody'")


def test_a_transaction_open_for_long_warns(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_postgres, "LONG_TRANSACTION_SECONDS", -1)
    with closing(psycopg2.connect(settings_env.database_url, application_name="forgotten")) as connection:
        connection.cursor().execute("SELECT 1")
        check = states(examine_postgres(settings_env))["transactions"]
    assert check.state == "warning"
    assert check.what.startswith("forgotten (pid ")


@pytest.mark.parametrize(("old", "oldest", "state"), [(1, 10**9, "warning"), (1, 2, "failed"), (10**9, 10**9, "ok")])
def test_the_age_of_transaction_ids_is_judged(
    settings_env: Settings, monkeypatch: pytest.MonkeyPatch, old: int, oldest: int, state: str
) -> None:
    monkeypatch.setattr(doctor_postgres, "OLD_AGE", old)
    monkeypatch.setattr(doctor_postgres, "OLDEST_AGE", oldest)
    assert states(examine_postgres(settings_env))["transaction ids"].state == state


def test_a_replication_slot_that_nobody_reads_warns(settings_env: Settings) -> None:
    name = f"left_{urlsplit(settings_env.database_url).path[1:].lower()}"
    owner(settings_env.database_url, f"SELECT pg_create_physical_replication_slot('{name}', true)")
    try:
        check = states(examine_postgres(settings_env))["replication slots"]
        assert check.state == "warning"
        assert f"nobody reads {name}" in check.what
    finally:
        owner(settings_env.database_url, f"SELECT pg_drop_replication_slot('{name}')")


def test_a_login_that_owns_the_tables_warns_and_fails_in_production(settings_env: Settings) -> None:
    check = states(examine_postgres(settings_env))["login"]
    assert (check.state, check.what) == ("warning", "the application signs in as a superuser")
    live = settings_env.model_copy(update={"environment": "production"})
    assert states(examine_postgres(live))["login"].state == "failed"


def test_a_login_of_its_own_passes(settings_env: Settings) -> None:
    url = settings_env.database_url
    login = f"login_{urlsplit(url).path[1:].lower()}"
    owner(url, f"CREATE ROLE {login} LOGIN PASSWORD 'of a test' IN ROLE {ROLE}")
    try:
        parts = urlsplit(url)
        own = parts._replace(netloc=f"{login}:of%20a%20test@{parts.netloc.rpartition('@')[2]}").geturl()
        settings = settings_env.model_copy(update={"database_url": own, "database_owner_url": url})
        assert states(examine_postgres(settings))["login"].state == "ok"
        owner(url, f"ALTER TABLE comm_jobs OWNER TO {login}")
        check = states(examine_postgres(settings))["login"]
        assert check.what == "the application signs in as the owner of the tables"
        owner(url, "ALTER TABLE comm_jobs OWNER TO CURRENT_USER")
    finally:
        owner(url, f"DROP ROLE {login}")


# --- secrets


@pytest.fixture
def opened(settings_env: Settings) -> Iterator[Settings]:
    configure(settings_env.database_url, role=settings_env.application_role, name="doctor test")
    with connected():
        yield settings_env
    database.close_all()


def test_secrets_sealed_under_another_key_fail(opened: Settings) -> None:
    create_user("desk@example.org", roles=["support"])
    [user_id] = fetch_one("SELECT id FROM staff_users WHERE email = 'desk@example.org'")
    execute(
        "INSERT INTO staff_second_factors (user_id, secret, last_counter) VALUES (%s, %s, 0)",
        (user_id, second_factor.seal("JBSWY3DPEHPK3PXP", user_id=user_id)),
    )
    assert states(examine_secrets(opened))["sealed"].state == "ok"
    lost = seal_first(b"JBSWY3DPEHPK3PXP", purpose=SECOND_FACTORS, owner=str(user_id), secret_key="a key lost since")
    execute("UPDATE staff_second_factors SET secret = %s", (lost,))
    check = states(examine_secrets(opened))["sealed"]
    assert check.state == "failed"
    assert check.what == f"staff_second_factors: 1 of 1 cannot be opened, such as that of {user_id}"
    assert "DISPATCHLOG_SECRET_KEY" in check.next


def test_a_schools_key_sealed_for_another_school_fails(opened: Settings) -> None:
    for code in ("SCH-01", "SCH-02"):
        schools.add_school(code, code, actor="test")
        schools.change_endpoint(code, {"api_key": f"of {code}"}, actor="test")
    assert states(examine_secrets(opened))["sealed"].state == "ok"
    execute(
        "UPDATE hl7_endpoints SET api_key_sealed = (SELECT e.api_key_sealed FROM hl7_endpoints e"
        " JOIN schools s ON s.id = e.school_id WHERE s.code = 'SCH-02')"
    )
    check = states(examine_secrets(opened))["sealed"]
    assert check.state == "failed"
    assert check.what.startswith("hl7_endpoints: 1 of 2 cannot be opened")


@pytest.mark.parametrize(
    ("length", "environment", "state"),
    [(31, "development", "warning"), (31, "production", "failed"), (32, "production", "ok")],
)
def test_a_short_key_is_told(opened: Settings, length: int, environment: str, state: str) -> None:
    settings = opened.model_copy(
        update={"secret_key": type(opened.secret_key)("x" * length), "environment": environment}
    )
    assert states(examine_secrets(settings))["secret key"].state == state


# --- others


def mail_server(verdict: bytes, tls: ssl.SSLContext | None = None) -> Any:
    """What talks like one up to the answer to a login."""

    def talk(connection: Any, server: RawServer) -> None:
        connection.sendall(b"220 mail.example.org\r\n")
        while line := server.take(connection, b"\r\n"):
            connection.sendall(b"250-mail.example.org\r\n250 AUTH PLAIN\r\n" if line[:4] == b"EHLO" else verdict)

    return raw_server(talk, tls)


@pytest.mark.parametrize(
    ("verdict", "state", "words"),
    [
        (b"235 welcome\r\n", "ok", "signed in"),
        (b"535 no\r\n", "failed", "SMTP_AUTH: "),
    ],
)
def test_the_doctor_signs_in_to_the_mail_server_and_begins_no_mail(
    settings_env: Settings, verdict: bytes, state: str, words: str
) -> None:
    with mail_server(verdict) as server:
        url = f"smtp://desk:hidden-word@127.0.0.1:{server.port}?tls=none"
        check = states(examine_outside(settings_env.model_copy(update={"smtp_url": url})))["mail login"]
    assert check.state == state
    assert words in check.what
    assert "hidden-word" not in check.what + check.next
    assert b"AUTH" in server.taken
    assert b"MAIL" not in server.taken


@pytest.mark.parametrize(("days", "state"), [(30, "ok"), (10, "warning")])
def test_the_mail_servers_certificate_is_judged_too(
    settings_env: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, state: str
) -> None:
    authority = Authority("an authority")
    (tmp_path / "ca.pem").write_text(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("mail", days=days).write(tmp_path, "mail"))
    with mail_server(b"235 welcome\r\n", context) as server:
        url = f"smtp://desk:word@localhost:{server.port}?tls=implicit"
        found = states(examine_outside(settings_env.model_copy(update={"smtp_url": url})))
    assert (found["mail login"].state, found["certificate"].state) == ("ok", state)


@pytest.mark.parametrize(
    ("days", "state", "words"),
    [(30, "ok", "good for 29 days"), (10, "warning", "good for 9 days"), (-1, "failed", "certificate has expired")],
)
def test_a_certificate_is_judged_by_how_long_it_is_good(tmp_path: Path, days: int, state: str, words: str) -> None:
    authority = Authority("an authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("desk", days=days).write(tmp_path, "desk"))
    with raw_server(lambda connection, _: None, context) as server:
        check = certificate("localhost", server.port, "public_url", ca_pem=authority.certificate)
    assert check.state == state
    assert words in check.what


def test_a_schools_endpoint_is_judged_by_its_own_authority(opened: Settings, tmp_path: Path) -> None:
    authority = Authority("an authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("exchange", days=10).write(tmp_path, "exchange"))
    with raw_server(lambda connection, _: None, context) as server:
        schools.add_school("SCH-01", "A school", actor="test")
        changes = {"host": "127.0.0.1", "port": server.port, "server_name": "exchange.test", "enabled": True}
        schools.change_endpoint("SCH-01", changes, actor="test")
        [unknown] = examine_schools()
        schools.change_endpoint("SCH-01", {"ca_pem": authority.certificate}, actor="test")
        [known] = examine_schools()
        schools.change_endpoint("SCH-01", {"enabled": False}, actor="test")
        assert list(examine_schools()) == []
    assert (unknown.state, known.state) == ("failed", "warning")
    assert known.what == f"hl7:SCH-01: 127.0.0.1:{server.port}: good for 9 days"


def test_a_certificate_that_nobody_signed_and_a_port_without_tls_fail(tmp_path: Path, settings_env: Settings) -> None:
    with raw_server(lambda connection, _: None, make_certificate(tmp_path).server_context()) as server:
        url = f"https://localhost:{server.port}"
        check = states(examine_outside(settings_env.model_copy(update={"public_url": url})))["certificate"]
    assert (check.state, check.what.split(": ")[-1]) == ("failed", "self-signed certificate")
    silent = certificate("127.0.0.1", free_port(), "public_url")
    assert (silent.state, silent.what.split(": ")[-1]) == ("failed", "ConnectionRefusedError")


@contextmanager
def provider(status: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The address of one that answers so, and what it was asked with which login."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "state"), [(200, "ok"), (401, "failed"), (403, "failed"), (500, "warning")])
@pytest.mark.parametrize(
    ("chosen", "address", "key", "path"),
    [
        ({"outreach_sms": "twilio"}, "twilio_url", "twilio_auth_token", "/2010-04-01/Accounts/AC1.json"),
        ({"outreach_email": "sendgrid"}, "sendgrid_url", "sendgrid_api_key", "/v3/scopes"),
        ({"outreach_whatsapp": "cloud"}, "whatsapp_url", "whatsapp_token", "/77?fields=id"),
    ],
)
def test_a_provider_that_is_used_is_asked_whether_it_knows_our_key(
    settings_env: Settings, chosen: dict[str, str], address: str, key: str, path: str, status: int, state: str
) -> None:
    secret = type(settings_env.secret_key)("hidden-word")
    with provider(status) as (url, asked):
        ours = {"twilio_account_sid": "AC1", "whatsapp_phone_number_id": "77", address: url, key: secret, **chosen}
        check = states(examine_outside(settings_env.model_copy(update=ours)))["provider"]
    assert check.state == state
    assert "hidden-word" not in check.what + check.next
    [(where, login)] = asked
    assert where == path
    assert login.startswith(("Basic ", "Bearer "))


def test_a_provider_that_is_not_used_is_not_asked(settings_env: Settings) -> None:
    assert "provider" not in states(examine_outside(settings_env))


def test_a_valkey_that_throws_away_what_it_holds_is_told(settings_env: Settings) -> None:
    with redis.Redis.from_url(settings_env.effective_redis_url) as client:
        was = client.config_get("maxmemory-policy")["maxmemory-policy"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            check = states(examine_outside(settings_env))["valkey memory"]
        finally:
            client.config_set("maxmemory-policy", was)
    assert (check.state, check.what) == ("warning", "maxmemory unlimited, allkeys-lru")
    assert states(examine_outside(settings_env))["valkey memory"].state == "ok"


def test_wake_ups_that_nobody_takes_warn(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_outside, "MANY_WAKE_UPS", 2)
    with redis.Redis.from_url(settings_env.effective_redis_url) as client:
        client.rpush("dramatiq:deliver", "a", "b", "c")
    check = states(examine_outside(settings_env))["wake-ups"]
    assert (check.state, check.what) == ("warning", "deliver 3")


def test_a_valkey_that_does_not_answer_fails(settings_env: Settings) -> None:
    gone = settings_env.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    assert states(examine_outside(gone))["valkey"].state == "failed"


def test_a_disk_that_is_nearly_full_warns(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(examine_outside(settings_env))["disk"].what.endswith(f"free at {Path.cwd()}")
    monkeypatch.setattr(doctor_outside, "LITTLE_SHARE", 1.1)
    assert states(examine_outside(settings_env))["disk"].state == "warning"


# --- the command


def test_the_command_says_each_check_as_json_and_fails_with_them(tmp_path: Path, settings_env: Settings) -> None:
    urls = {"DATABASE_URL": settings_env.database_url, "REDIS_URL": settings_env.effective_redis_url}
    owner(settings_env.database_url, f"GRANT DELETE ON comm_jobs TO {ROLE}")
    with mail_server(b"235 welcome\r\n") as server:
        env = {**urls, "DISPATCHLOG_SMTP_URL": f"smtp://127.0.0.1:{server.port}?tls=none"}
        deep = dispatchlog("doctor", "--deep", "--json", cwd=tmp_path, **env)
        plain = dispatchlog("doctor", "--json", cwd=tmp_path, **env)
    checks = {check["name"]: check for check in json.loads(deep.stdout)}
    assert checks["privileges"]["state"] == "failed"
    assert checks["mail login"]["state"] == "ok"
    assert deep.returncode == 1
    assert plain.returncode == 0, plain.stdout
    assert "privileges" not in plain.stdout


def test_without_a_database_the_rest_is_examined(tmp_path: Path) -> None:
    run = dispatchlog("doctor", "--deep", cwd=tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert run.returncode == 1
    assert "check DATABASE_URL" in run.stdout
    assert "disk" in run.stdout
    assert "Traceback" not in run.stderr
