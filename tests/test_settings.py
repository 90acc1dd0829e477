"""Settings say what they are: a misspelt one stops the start, secrets are not shown, and the guide has each of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dispatchlog.setting_names import UnknownSetting, env_name, refuse_unknown, shown
from dispatchlog.settings import Settings
from tests.settings_guide import GUIDE, whole_guide
from tests.test_cli import dispatchlog

SECRET = "not-to-be-shown-anywhere"


def names() -> list[str]:
    return [env_name(field, info) for field, info in Settings.model_fields.items()]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("DISPATCHLOG_SMTP_ULR", "DISPATCHLOG_SMTP_ULR: did you mean DISPATCHLOG_SMTP_URL?"),
        ("DISPATCHLOG_SWEEP_SECOND", "did you mean DISPATCHLOG_SWEEP_SECONDS?"),
        ("DISPATCHLOG_DATABASE_URL", "did you mean DATABASE_URL?"),
        ("dispatchlog_smtp_ulr", "did you mean DISPATCHLOG_SMTP_URL?"),
        ("DISPATCHLOG_PORT", "did you mean PORT?"),
        ("DISPATCHLOG_ZZZZZZZZZZ", "there is no such setting; see: dispatchlog settings"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_name_that_was_meant(given: str, told: str) -> None:
    with pytest.raises(UnknownSetting, match=re.escape(told)) as refused:
        refuse_unknown(Settings.model_fields, {given: "x"})
    assert refused.value.code == "UNKNOWN_SETTING"
    assert SECRET not in refused.value.message


def test_all_unknown_settings_are_named_at_once() -> None:
    with pytest.raises(UnknownSetting) as refused:
        refuse_unknown(Settings.model_fields, {"DISPATCHLOG_SMTP_ULR": SECRET, "DISPATCHLOG_SECRET_KYE": SECRET})
    assert refused.value.message.count("did you mean") == 2
    assert SECRET not in refused.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in ("DISPATCHLOG_SMTP_URL", "DATABASE_URL", "dispatchlog_log_level", "PATH")),
        ("DISPATCHLOG_DEPLOY_COLOUR", "blue"),
        ("DISPATCHLOG_CRASH_AT", "sent"),
        ("DISPATCHLOG_SERVICE_HOST", "10.0.0.1"),
        ("DISPATCHLOG_SERVICE_PORT_HTTP", "8000"),
        ("DISPATCHLOG_PORT", "tcp://10.0.0.1:8000"),
        ("DISPATCHLOG_PORT_8000_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_settings_the_deployments_own_and_a_clusters_names_are_taken(name: str, value: str) -> None:
    refuse_unknown(Settings.model_fields, {name: value})


def test_a_misspelt_setting_stops_every_command(tmp_path: Path) -> None:
    run = dispatchlog("users", "list", cwd=tmp_path, DISPATCHLOG_SMTP_ULR=f"smtp://a:{SECRET}@b")
    assert run.returncode == 1
    assert "UNKNOWN_SETTING: DISPATCHLOG_SMTP_ULR: did you mean DISPATCHLOG_SMTP_URL?" in run.stderr
    assert SECRET not in run.stderr
    assert "Traceback" not in run.stderr


def test_the_command_shows_each_setting_with_its_source_and_no_secret(tmp_path: Path) -> None:
    run = dispatchlog(
        "settings",
        "--json",
        cwd=tmp_path,
        DISPATCHLOG_SECRET_KEY=SECRET,
        DISPATCHLOG_SMTP_URL=f"smtp://desk:{SECRET}@mail.example.org:587",
        DATABASE_URL=f"postgresql://app:{SECRET}@db.example.org/desk",
        DISPATCHLOG_SWEEP_SECONDS="60",
    )
    assert run.returncode == 0, run.stderr
    assert SECRET not in run.stdout
    found = {row["name"]: (row["value"], row["source"]) for row in json.loads(run.stdout)}
    assert list(found) == names()
    assert found["DISPATCHLOG_SECRET_KEY"] == ("••••", "environment")
    assert found["DISPATCHLOG_SMTP_URL"] == ("smtp://desk:••••@mail.example.org:587", "environment")
    assert found["DATABASE_URL"] == ("postgresql://app:••••@db.example.org/desk", "environment")
    assert found["DISPATCHLOG_SWEEP_SECONDS"] == ("60", "environment")
    assert found["DISPATCHLOG_LOG_LEVEL"] == ("info", "default")
    assert found["DISPATCHLOG_METRICS_TOKEN"] == ("none", "default")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"postgresql://db/desk?user=app&password={SECRET}", "postgresql://db/desk?user=app&password=••••"),
        (
            f"postgresql://db/desk?sslpassword={SECRET}&sslmode=require",
            "postgresql://db/desk?sslpassword=••••&sslmode=require",
        ),
        (f"postgresql://app:at@{SECRET}@db/desk", "postgresql://app:••••@db/desk"),
        (
            f"https://hooks.example.org/desk?room=7&access_token={SECRET}",
            "https://hooks.example.org/desk?room=7&access_token=••••",
        ),
        ("smtp://127.0.0.1:2525?tls=none", "smtp://127.0.0.1:2525?tls=none"),
    ],
)
def test_no_part_of_a_url_that_is_a_secret_is_shown(url: str, said: str) -> None:
    fields = {"database_url": Settings.model_fields["database_url"]}
    [row] = shown(fields, {"database_url": url}, environment={})
    assert row.value == said


def test_what_a_running_up_told_is_named_as_its_source() -> None:
    fields = {"log_level": Settings.model_fields["log_level"]}
    [row] = shown(fields, {"log_level": "debug"}, adopted={"DISPATCHLOG_LOG_LEVEL"}, environment={})
    assert (row.source, row.value) == ("dispatchlog up", "debug")


def test_the_guide_has_every_setting_with_its_kind_default_and_meaning() -> None:
    assert GUIDE.read_text() == whole_guide(), "write it anew with: python -m tests.settings_guide"
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == names()
