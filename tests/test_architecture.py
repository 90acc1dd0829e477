"""Who may import whom and who may write a status: what import-linter cannot see, and the lists that must be complete.

`.importlinter` holds the contracts between packages; it refuses single files (models.py, scheduler.py) as roots.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from dispatchlog.engine.errors import UnknownLane
from dispatchlog.row_content import SEALED
from dispatchlog.systems import registry
from dispatchlog.worker import queues_of

ROOT = Path(__file__).parent.parent
PRODUCT = ("dispatchlog", "dashboard", "tasks", "models.py", "scheduler.py")
STATUS_WRITERS = {
    f"dispatchlog/engine/{name}.py" for name in ("ledger", "claims", "rescue", "restored", "lookup", "operator")
}
# Modules of one system; everything else in dispatchlog/systems is a system of its own.
ONE_SYSTEM = {"form_links"}
KITS = re.compile(r"kits?(_|$)")
SHARED = {"registry", "mail", "mail_letter", ""}


def files(*parts: str) -> list[Path]:
    found: list[Path] = []
    for part in parts:
        path = ROOT / part
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert found
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, wherever in it, as full dotted names; `from a import b` counts as a.b too."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            module = base if node.level else str(node.module)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def offences(paths: list[Path], *forbidden: str) -> list[str]:
    return [f"{name_of(path)}: {module}" for path in paths for module in imports(path) if is_within(module, *forbidden)]


# --- who writes a status


def strings(path: Path) -> Iterator[str]:
    """The literal texts of a file; placeholders of f-strings stay as {expression}."""
    nodes = list(ast.walk(tree_of(path)))
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(value.value) if isinstance(value, ast.Constant) else "{" + ast.unparse(value)[2:-1] + "}"
                for value in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


SET_CLAUSE = re.compile(r"\bSET\b(?P<clause>.*?)(?:\bWHERE\b|\bRETURNING\b|$)", re.DOTALL | re.IGNORECASE)
ASSIGNS_STATUS = re.compile(r"(?<![\w.])status\s*=")


def sql_writes_status(text: str) -> bool:
    # An order's or appointment's status is the upstream service's word, a ticket's is its parties' and a campaign's that of
    # whoever runs it: none is a dispatch's.
    others = ("orders_table", "healthcare_tickets", "comm_appointments", "comm_reschedule_requests", "comm_campaigns")
    return not any(other in text for other in others) and any(
        ASSIGNS_STATUS.search(found["clause"]) for found in SET_CLAUSE.finditer(text)
    )


def peewee_writes_status(path: Path) -> bool:
    for node in ast.walk(tree_of(path)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"update", "insert", "create", "replace", "set_by_id"}
            and any(keyword.arg == "status" for keyword in node.keywords)
        ):
            return True
    return False


def test_a_status_is_written_in_six_files_of_the_engine_and_nowhere_else() -> None:
    writers = {
        name_of(path)
        for path in files(*PRODUCT)
        if any(sql_writes_status(text) for text in strings(path)) or peewee_writes_status(path)
    }
    assert writers == STATUS_WRITERS


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("UPDATE x SET status = 'SENT' WHERE id = 1", True),
        ("UPDATE x SET a = 1,\n  status='SENT'", True),
        ("update x set a = 1, status = %s", True),
        ("INSERT INTO x (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status", True),
        ("SELECT * FROM x WHERE status = 'SENT'", False),
        ("UPDATE x SET a = 1 WHERE status = 'SENT'", False),
        ("UPDATE x SET registration_status = 'a'", False),
    ],
)
def test_the_search_for_status_writers_sees_what_it_should(sql: str, writes: bool) -> None:
    assert sql_writes_status(sql) == writes


# --- who imports whom


def test_gateways_know_only_the_contract_the_errors_and_the_deadline() -> None:
    allowed = ("dispatchlog.engine.errors", "dispatchlog.engine.gateway", "dispatchlog.engine.deadline")
    paths = files("dispatchlog/gateways")
    for path in paths:
        for module in imports(path):
            if is_within(module, "dispatchlog.engine") and module != "dispatchlog.engine":
                assert is_within(module, *allowed), f"{name_of(path)} imports {module}"
    assert offences(paths, "dispatchlog.systems", "dispatchlog.settings", "models", "dashboard", "tasks") == []


def test_the_engine_knows_neither_systems_nor_gateways_nor_doors() -> None:
    forbidden = (
        "dispatchlog.systems",
        "dispatchlog.gateways",
        "models",
        "dashboard",
        "tasks",
        "scheduler",
        "migrations",
    )
    assert offences(files("dispatchlog/engine"), *forbidden) == []


def test_systems_do_not_import_each_other() -> None:
    def system_of(module: str) -> str:
        name = module.removeprefix("dispatchlog.systems").removeprefix(".").partition(".")[0]
        return "kits" if name in ONE_SYSTEM or KITS.match(name) else name

    for path in files("dispatchlog/systems"):
        own = system_of(name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        if own == "registry":
            continue
        for module in imports(path):
            if is_within(module, "dispatchlog.systems"):
                assert system_of(module) in {own, *SHARED}, f"{name_of(path)} imports {module}"


def test_systems_do_not_import_doors() -> None:
    assert offences(files("dispatchlog/systems"), "dashboard", "tasks", "scheduler", "dispatchlog.cli") == []


def test_models_know_only_the_engines_tables_and_the_settings() -> None:
    own = [module for module in imports(ROOT / "models.py") if is_within(module, "dispatchlog", "dashboard", "tasks")]
    assert own
    assert all(is_within(module, "dispatchlog.engine.tables", "dispatchlog.settings") for module in own)


def test_migrations_never_import_models_or_rules() -> None:
    forbidden = ("models", "dispatchlog.systems", "dispatchlog.engine", "dispatchlog.gateways", "dashboard", "tasks")
    assert offences(files("migrations"), *forbidden) == []


@pytest.mark.parametrize(
    ("door", "others"),
    [
        ("dashboard", ("tasks", "scheduler", "dispatchlog.cli")),
        ("tasks", ("dashboard", "scheduler", "dispatchlog.cli")),
        ("scheduler.py", ("dashboard", "tasks", "dispatchlog.cli")),
    ],
)
def test_doors_do_not_import_each_other(door: str, others: tuple[str, ...]) -> None:
    assert offences(files(door), *others) == []


def test_the_product_never_imports_its_tests() -> None:
    assert offences(files(*PRODUCT, "migrations"), "tests", "bench") == []


def test_the_contracts_of_import_linter_are_kept() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


# --- the lists are complete


@pytest.fixture(scope="module")
def actors() -> dict[str, Any]:
    """What `dramatiq tasks` declares: asked in a process of its own, as the worker is one."""
    program = (
        "import json, dramatiq, tasks; b = dramatiq.get_broker();"
        "print(json.dumps({'same': b is tasks.broker, 'queues': sorted(b.get_declared_queues()),"
        " 'actors': {n: b.get_actor(n).queue_name for n in b.get_declared_actors()},"
        " 'options': {n: b.get_actor(n).options for n in b.get_declared_actors()},"
        " 'middleware': [type(m).__name__ for m in b.middleware]}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=120
    ).stdout
    answer: dict[str, Any] = json.loads(output)
    return answer


def test_dramatiq_tasks_consumes_the_queue_of_every_actor(actors: dict[str, Any]) -> None:
    assert actors["same"]
    assert set(actors["actors"].values()) <= set(actors["queues"])
    for path in files("dispatchlog"):
        if name_of(path) != "dispatchlog/worker.py":  # which asks for the queues of single lanes, below
            assert not any(text in {"-Q", "--queues"} for text in strings(path)), f"{name_of(path)} leaves queues out"


def test_a_worker_leaves_queues_out_only_where_it_is_told_its_lanes_and_their_workers_together_leave_none(
    actors: dict[str, Any],
) -> None:
    assert queues_of("") == []
    alone = [queues_of(lane.name)[1:] for lane in registry.lanes()]
    assert {queue for queues in alone for queue in queues} == set(actors["actors"].values())
    with pytest.raises(UnknownLane):
        queues_of("hl7,lost")


def test_every_lane_s_wake_up_goes_to_an_actor_that_is_there(actors: dict[str, Any]) -> None:
    for lane in registry.lanes():
        assert actors["actors"].get(lane.actor) == lane.queue, lane.name


def test_a_message_is_never_retried_or_delayed_by_the_broker(actors: dict[str, Any]) -> None:
    assert "Retries" not in actors["middleware"]
    for path in files("dispatchlog", "dashboard", "tasks", "scheduler.py"):
        if name_of(path) == "tasks/reports.py":
            continue  # reports, not hints: until one is stored it is nowhere else
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                late = node.func.attr in {"send_with_options", "enqueue"} and any(
                    k.arg == "delay" for k in node.keywords
                )
                assert not late, name_of(path)


def test_lanes_have_names_and_tables_of_their_own() -> None:
    lanes = registry.lanes()
    assert len({lane.name for lane in lanes}) == len({lane.table for lane in lanes}) == len(lanes)


def test_every_lane_of_the_registry_is_installed_in_the_database(database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT lane FROM dispatch_lanes")
        assert {row[0] for row in cursor.fetchall()} == {lane.name for lane in registry.lanes()}
        for lane in registry.lanes():
            cursor.execute(
                "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
                (lane.table,),
            )
            own = {("count_changes", "A")} if lane.table == "comm_jobs" else set()
            assert set(cursor.fetchall()) == {("log_insert", "A"), ("log_update", "A"), ("keep_rows", "A"), *own}
            cursor.execute(
                "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND %(table)s::regclass IN (confrelid, conrelid)"
                " AND NOT (confdeltype = 'r' AND confupdtype = 'a')",
                {"table": lane.table},
            )
            assert cursor.fetchone() == (0,)  # nothing cascades into a lane or out of it


def test_no_lane_calls_its_slots_more_than_it_needs() -> None:
    """All hung lanes together leave threads free: a worker process has a thread for every slot of every lane, and more."""
    for lane in registry.lanes():
        assert 1 <= lane.slots <= 8
        assert 1 <= lane.batch <= 1000


def test_every_lane_seals_what_it_sends() -> None:
    assert [lane.name for lane in registry.lanes() if lane.seal is None] == []


def test_every_sealed_column_is_in_the_list_of_them(database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'sealed'"
        )
        assert {row[0] for row in cursor.fetchall()} == {column.table for column in SEALED}
        for column in SEALED:
            cursor.execute(
                "SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_index i JOIN pg_attribute a"
                " ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) WHERE i.indisprimary"
                " AND i.indrelid = %s::regclass",
                (column.table,),
            )
            assert cursor.fetchone() == (list(column.key),)
    assert len({column.purpose for column in SEALED}) == len(SEALED), "a value of one table opens in no other"


def test_the_application_cannot_change_what_was_sent_or_reported(database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE dispatchlog_app")
        for table in ("dispatch_payloads", "hl7_messages", "visits", "comm_inbound", "courier_events"):
            cursor.execute("SELECT has_column_privilege(%s, 'sealed', 'UPDATE')", (table,))
            assert cursor.fetchone() == (False,), table
