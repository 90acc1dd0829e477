"""What needs no sign-in or no database: the form page, the probes, and the answers when something is down."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from dashboard import create_app
from dispatchlog.engine.database import configure
from dispatchlog.settings import Settings
from dispatchlog.systems.form_links import sign_form_token
from tests.alteration import altered
from tests.dashboard.browsing import Dashboard, Visitor

SECRET = "a secret for tests only"


@pytest.mark.parametrize(
    ("age", "status", "words"), [(-1, 200, "This link is valid"), (1, 410, "This link has expired")]
)
def test_a_form_link_says_whether_it_is_valid(dash: Dashboard, age: int, status: int, words: str) -> None:
    token = sign_form_token(SECRET, dispatch_id=uuid4(), expires_at=datetime.now(UTC) - timedelta(days=age))
    answer = dash.visitor().get(f"/form/{token}")
    assert answer.status_code == status
    assert words in answer.text


def test_a_form_link_that_was_changed_is_not_valid(dash: Dashboard) -> None:
    token = sign_form_token(SECRET, dispatch_id=uuid4(), expires_at=datetime.now(UTC) + timedelta(days=1))
    content, _, signature = token.rpartition(".")
    for changed in (f"{content}.{altered(signature)}", altered(token)):
        assert dash.visitor().get(f"/form/{changed}").status_code == 404


def test_with_a_form_service_there_is_no_form_page(settings_env: Settings) -> None:
    app = create_app(settings_env.model_copy(update={"form_url": "https://forms.example.org"}))
    assert app.test_client().get("/form/x").status_code == 404


def test_production_has_no_mailbox(settings_env: Settings) -> None:
    app = create_app(settings_env.model_copy(update={"environment": "production"}))
    assert app.test_client().get("/mailbox").status_code == 404


def test_the_probes_answer(dash: Dashboard) -> None:
    assert dash.visitor().get("/healthz").json == {"status": "ok"}
    assert dash.visitor().get("/readyz").json["status"] == "ok"  # type: ignore[index]


@pytest.mark.parametrize("path", ["/sign-in", "/api/docs", "/form/none"])
def test_every_page_has_an_icon(dash: Dashboard, path: str) -> None:
    page = dash.visitor().get(path).text
    address = re.search(r'<link rel="icon" href="([^"]+)"', page).group(1)  # type: ignore[union-attr]
    assert dash.visitor().get(address).mimetype == "image/svg+xml"


@pytest.fixture
def without_database(dash: Dashboard, settings_env: Settings) -> Visitor:
    """A visitor while nothing listens where PostgreSQL should."""
    configure("postgresql://nobody@127.0.0.1:1/nowhere?connect_timeout=1", role="")
    return dash.visitor()


def test_without_a_database_a_page_says_so_plainly(without_database: Visitor) -> None:
    without_database.client.set_cookie("dispatchlog", "x")
    answer = without_database.get("/")
    assert answer.status_code == 503
    assert "The dispatch log is out of reach" in answer.text
    assert "Traceback" not in answer.text
    assert "127.0.0.1" not in answer.text
    assert answer.headers["Retry-After"] == "5"
    assert '<a class="button primary" href="">Try again</a>' in answer.text


def test_without_a_database_programs_get_a_code(without_database: Visitor) -> None:
    answer = without_database.get("/", headers={"Accept": "application/json"})
    assert answer.status_code == 503
    assert answer.json["code"] == "DATABASE_UNAVAILABLE"  # type: ignore[index]
    assert answer.headers["Retry-After"] == "5"


def test_without_a_database_a_session_that_calls_the_api_is_told_so(without_database: Visitor) -> None:
    without_database.client.set_cookie("dispatchlog", "x")
    answer = without_database.client.post("/api/hl7/retry", json={"retryAll": "FAILED"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.get_json()["error"]["code"] == "DATABASE_UNAVAILABLE"


def test_without_a_database_the_process_lives_but_is_not_ready(without_database: Visitor) -> None:
    assert without_database.get("/healthz").status_code == 200
    answer = without_database.get("/readyz")
    assert answer.status_code == 503
    assert answer.json["database"] == "unavailable"  # type: ignore[index]


def test_after_a_restart_of_the_database_the_next_request_is_answered(dash: Dashboard, database_url: str) -> None:
    viewer = dash.as_("viewer")
    with closing(psycopg2.connect(database_url)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchone()[0] > 0
    assert viewer.get("/").status_code == 200


def test_a_database_that_fails_within_a_page_says_when_to_come_back(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard import overview

    def gone(*_: object, **__: object) -> None:
        raise psycopg2.OperationalError("server closed the connection")

    viewer = dash.as_("viewer")
    monkeypatch.setattr(overview, "processes", gone)
    answer = viewer.get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "server closed" not in answer.text


def test_without_a_broker_pages_still_work(settings_env: Settings, dash: Dashboard) -> None:
    from dispatchlog.broker import get_broker, get_waker

    get_waker.cache_clear()
    get_broker.cache_clear()
    app = create_app(settings_env.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    visitor = Dashboard(app).as_("viewer")
    assert "Provider state unknown" in visitor.get("/").text
    assert visitor.get("/readyz").status_code == 503


def test_the_mailbox_shows_a_mail_without_running_it(settings_env: Settings, dash: Dashboard, tmp_path: Path) -> None:
    import mailbox

    mail = EmailMessage()
    mail["Subject"] = "<b>Your form</b>"
    mail["To"] = "ada@example.org"
    mail.set_content("plain words")
    mail.add_alternative("<p>Hello</p><script>alert(1)</script>", subtype="html")
    key = mailbox.Maildir(tmp_path / "mail").add(mail)
    app = create_app(settings_env.model_copy(update={"mailbox_dir": tmp_path / "mail"}))
    visitor = Dashboard(app).as_("admin")
    assert "&lt;b&gt;Your form&lt;/b&gt;" in visitor.get("/mailbox").text
    assert 'sandbox="allow-popups' in visitor.get(f"/mailbox/{key}").text
    assert "plain words" in visitor.get(f"/mailbox/{key}?part=text").text
    framed = visitor.get(f"/mailbox/{key}/html")
    assert framed.headers["Content-Security-Policy"].startswith("sandbox allow-popups")
    assert "allow-scripts" not in framed.headers["Content-Security-Policy"]
    assert "default-src 'none'" in framed.headers["Content-Security-Policy"]


def test_an_unexpected_fault_shows_no_trace(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import overview

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    viewer = dash.as_("viewer")
    monkeypatch.setattr(overview, "processes", broken)
    answer = viewer.get("/")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "Something went wrong on our side" in answer.text
