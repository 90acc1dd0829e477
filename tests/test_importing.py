"""Importing files of orders: good orders are stored, bad ones not at all, and every refusal names its line and field."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.import_files import COLUMNS
from dispatchlog.importing import ImportRefused, ImportReport, import_orders
from dispatchlog.sample import sample_orders, write_sample
from dispatchlog.settings import Settings
from tests.dashboard.api_support import Api, order, row_counts, rows, running_api


@pytest.fixture(autouse=True)
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


def numbered(number: int, **changes: Any) -> dict[str, Any]:
    kits = [{"kitId": f"KIT-{number}-{n}"} for n in range(2)]
    return {"orderId": str(uuid4()), **order(orderNumber=f"VT-{number}", kits=kits), **changes}


def imported(path: Path, content: str | bytes, **options: Any) -> ImportReport:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return import_orders(path, source="vitract-orders", **options)


def csv_text(*lines: dict[str, str], columns: tuple[str, ...] = COLUMNS, ending: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator=ending)
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def csv_line(order_id: str, kit_id: str, **changes: str) -> dict[str, str]:
    return {
        "order_id": order_id,
        "order_number": "VT-1",
        "practitioner_id": "2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a11",
        "practitioner_name": "Dr. Ada Example",
        "practitioner_email": "ada@example.org",
        "status": "shipped",
        "shipping_date": "2026-03-01T09:30:00Z",
        "kit_id": kit_id,
        "recipient_email": f"{kit_id.lower()}@example.org",
        **changes,
    }


def found(report: ImportReport) -> list[tuple[int, str, str]]:
    return [(error.line, error.field, error.code) for error in report.errors]


def stored_numbers() -> set[str]:
    return {row[0] for row in rows("SELECT order_number FROM orders")}


@pytest.mark.parametrize("layout", ["one line", "a line each", "indented", "json lines", "json lines in .json"])
def test_every_layout_of_json_is_read(tmp_path: Path, layout: str) -> None:
    orders = [numbered(n) for n in range(3)]
    content = {
        "one line": json.dumps(orders),
        "a line each": "[\n" + ",\n".join(map(json.dumps, orders)) + "\n]\n",
        "indented": json.dumps(orders, indent=4),
        "json lines": "\n".join(map(json.dumps, orders)) + "\n\n",
        "json lines in .json": "\r\n".join(map(json.dumps, orders)),
    }[layout]
    report = imported(tmp_path / ("x.jsonl" if layout == "json lines" else "x.json"), content)
    assert report == ImportReport(stored=3)
    assert row_counts()["kit_registrations"] == 6


def test_a_csv_file_has_a_line_per_kit(tmp_path: Path) -> None:
    first, second = str(uuid4()), str(uuid4())
    text = csv_text(csv_line(first, "A"), csv_line(first, "B"), csv_line(second, "", recipient_email=""))
    assert imported(tmp_path / "x.csv", text) == ImportReport(stored=2)
    assert rows("SELECT kit_id, recipient_email FROM order_kits ORDER BY 1") == [
        ("A", "a@example.org"),
        ("B", "b@example.org"),
    ]


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    write_sample(tmp_path / "x.json", orders=40, seed=1)
    first = import_orders(tmp_path / "x.json", source="vitract-orders")
    before = row_counts()
    assert import_orders(tmp_path / "x.json", source="vitract-orders") == first
    assert row_counts() == before


def test_the_same_sample_as_json_lines_and_csv_is_the_same_orders(tmp_path: Path) -> None:
    for name in ("x.json", "x.jsonl", "x.csv"):
        write_sample(tmp_path / name, orders=60, seed=2)
    import_orders(tmp_path / "x.json", source="vitract-orders")
    before = row_counts()
    for name in ("x.jsonl", "x.csv"):
        assert import_orders(tmp_path / name, source="vitract-orders") == ImportReport(stored=60)
    assert row_counts() == before


def test_good_orders_are_stored_and_bad_ones_not_at_all(tmp_path: Path) -> None:
    kit = {"kitId": "K"}
    lines = [
        json.dumps(numbered(1)),
        json.dumps(numbered(2, orderId="7")),
        json.dumps(numbered(3, kits=[kit, kit])),
        json.dumps(numbered(4, shippingDate="2026-02-30T00:00:00Z")),
        json.dumps(numbered(5, colour="blue")),
        "{not json",
        json.dumps({**numbered(6), "orderId": None}),
        json.dumps(numbered(7, kits=[{"kitId": "K", "recipientEmail": "nobody"}])),
        json.dumps(numbered(8)).ljust(300_000),
        "[]",
        json.dumps(numbered(9)),
        json.dumps(numbered(10)).replace('"status"', '"status": "lost", "status"'),
        json.dumps(numbered(11, kits=[{"kitId": "K-1"}, {"kitId": "k-1"}])),
    ]
    report = imported(tmp_path / "x.jsonl", "\n".join(lines))
    assert found(report) == [
        (2, "orderId", "INVALID_UUID"),
        (3, "kits[1].kitId", "DUPLICATE_KIT"),
        (4, "shippingDate", "INVALID_DATE"),
        (5, "colour", "UNKNOWN_FIELD"),
        (6, "", "INVALID_JSON"),
        (7, "orderId", "MISSING_FIELD"),
        (8, "kits[0].recipientEmail", "INVALID_EMAIL"),
        (9, "", "RECORD_TOO_LARGE"),
        (10, "", "WRONG_TYPE"),
        (12, "status", "REPEATED_FIELD"),
        (13, "kits[1].kitId", "DUPLICATE_KIT"),
    ]
    assert (report.stored, report.refused, report.complete) == (2, 11, True)
    assert stored_numbers() == {"VT-1", "VT-9"}
    assert {row[0] for row in rows("SELECT kit_id FROM order_kits")} == {"KIT-1-0", "KIT-1-1", "KIT-9-0", "KIT-9-1"}


def test_the_line_of_an_order_in_a_list_is_where_it_begins(tmp_path: Path) -> None:
    orders = [numbered(1), numbered(2, status="lost"), numbered(3)]
    text = json.dumps(orders, indent=2)
    report = imported(tmp_path / "x.json", text)
    begins = text[: text.index(orders[1]["orderId"])].count("\n")  # its first field is on the line after its brace
    assert found(report) == [(begins, "status", "UNKNOWN_STATUS")]


@pytest.mark.parametrize("tail", [", {broken}]", ", ", " {}]", "] x", "", ", [" * 5000])
def test_a_list_that_breaks_off_keeps_what_came_before(tmp_path: Path, tail: str) -> None:
    report = imported(tmp_path / "x.json", "[\n" + json.dumps(numbered(1)) + tail)
    assert report.stored == 1
    assert not report.complete
    assert [error.code for error in report.errors] == ["INVALID_JSON"]


def test_an_empty_list_is_no_error(tmp_path: Path) -> None:
    assert imported(tmp_path / "x.json", " [ ] \n") == ImportReport()


def test_csv_errors_name_the_line_and_the_column(tmp_path: Path) -> None:
    ids = [str(uuid4()) for _ in range(6)]
    text = csv_text(
        csv_line(ids[0], "A", order_number="VT-good"),
        csv_line(ids[1], "A"),
        csv_line(ids[1], "B", recipient_email="nobody"),
        csv_line(ids[2], "A"),
        csv_line(ids[2], "A"),
        csv_line(ids[3], "A", practitioner_id=""),
        csv_line(ids[4], "A", tracking_number="1"),
        csv_line(ids[4], "B", tracking_number="2"),
        csv_line("", "A"),
        csv_line(ids[5], "", recipient_email="x@example.org"),
    )
    report = imported(tmp_path / "x.csv", text)
    assert found(report) == [
        (4, "recipient_email", "INVALID_EMAIL"),
        (6, "kit_id", "DUPLICATE_KIT"),
        (7, "practitioner_id", "MISSING_FIELD"),
        (9, "tracking_number", "CONFLICTING_LINES"),
        (10, "order_id", "MISSING_FIELD"),
        (11, "kit_id", "MISSING_FIELD"),
    ]
    assert stored_numbers() == {"VT-good"}


def test_a_line_with_too_many_or_too_few_columns_refuses_its_order(tmp_path: Path) -> None:
    first, second = str(uuid4()), str(uuid4())
    text = f"order_id,order_number,kit_id\n{first},VT-1,A\n{first},VT-1,B,C\n{second},VT-2\n"
    report = imported(tmp_path / "x.csv", text)
    assert found(report) == [(3, "", "WRONG_COLUMN_COUNT"), (4, "", "WRONG_COLUMN_COUNT")]
    assert row_counts()["orders"] == 0


def test_lines_are_counted_right_after_quoted_line_breaks(tmp_path: Path) -> None:
    text = csv_text(
        csv_line(str(uuid4()), "A", practitioner_name="Dr. Ada\nExample"),
        csv_line(str(uuid4()), "B", status="lost"),
    )
    assert found(imported(tmp_path / "x.csv", text)) == [
        (2, "practitioner_name", "INVALID_VALUE"),
        (4, "status", "UNKNOWN_STATUS"),
    ]


def test_a_quotation_that_never_ends_does_not_store_half_an_order(tmp_path: Path) -> None:
    good, half = str(uuid4()), str(uuid4())
    text = csv_text(csv_line(good, "A", order_number="VT-good"), csv_line(half, "A"))
    report = imported(tmp_path / "x.csv", f'{text}{half},"VT-1,B\n')
    assert report.stored == 1
    assert [(error.line, error.code) for error in report.errors] == [(4, "INVALID_CSV")]
    assert not report.complete
    assert stored_numbers() == {"VT-good"}


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_byte_order_marks_and_line_endings_of_windows_are_read(
    tmp_path: Path, suffix: str, bom: bytes, ending: str
) -> None:
    if suffix == ".csv":
        text = csv_text(csv_line(str(uuid4()), "A"), ending=ending)
    else:
        text = json.dumps(numbered(1), indent=None if suffix == ".jsonl" else 1).replace("\n", ending) + ending
        text = text if suffix == ".jsonl" else f"[{ending}{text}]{ending}"
    assert imported(tmp_path / f"x{suffix}", bom + text.encode()) == ImportReport(stored=1)


@pytest.mark.parametrize(
    ("name", "content", "code", "line"),
    [
        ("x.csv", b"order_id,order_number,colour\n", "UNKNOWN_COLUMN", 1),
        ("x.csv", b"order_id;order_number;kit_id\n", "UNKNOWN_COLUMN", 1),
        ("x.csv", b"order_id,kit_id\n", "MISSING_COLUMN", 1),
        ("x.csv", b"order_id,order_number,order_id\n", "DUPLICATE_COLUMN", 1),
        ("x.csv", b"", "EMPTY_FILE", 0),
        ("x.json", '[\n{"orderNumber": "Größe"}]'.encode("latin-1"), "NOT_UTF8", 2),
        ("x.json", "[]".encode("utf-16"), "NOT_UTF8", 1),
        ("x.json", b"[]" + b"\n" * 70_000 + b"\xc3", "NOT_UTF8", 70_001),
        ("x.xlsx", b"PK", "UNKNOWN_FORMAT", 0),
    ],
)
def test_a_file_that_cannot_be_read_at_all_stores_nothing(
    tmp_path: Path, name: str, content: bytes, code: str, line: int
) -> None:
    with pytest.raises(ImportRefused) as refused:
        imported(tmp_path / name, content)
    assert (refused.value.code, refused.value.line) == (code, line)


def test_the_unknown_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="'colour'"):
        imported(tmp_path / "x.csv", "order_id,order_number,colour\n")


def test_no_error_repeats_the_value(tmp_path: Path) -> None:
    canary = "canary-7f3a"
    bad = numbered(1, status=canary, kits=[{"kitId": "K", "recipientEmail": f"{canary} x"}], shippingDate=canary)
    report = imported(tmp_path / "x.jsonl", json.dumps(bad))
    assert report.refused == 1
    assert canary not in repr(report)


def test_later_reports_of_an_order_in_one_file_come_later(tmp_path: Path) -> None:
    one = numbered(1)
    lines = [json.dumps({**one, "trackingNumber": f"T{n}"}) for n in range(30)]
    imported(tmp_path / "x.jsonl", "\n".join(lines))
    assert rows("SELECT tracking_number FROM orders") == [("T29",)]


def test_progress_goes_from_nothing_to_all_lines(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_sample(tmp_path / "x.jsonl", orders=120, seed=3)
    import_orders(tmp_path / "x.jsonl", source="sample", progress=lambda *step: seen.append(step))
    assert seen == [(0, 120), (50, 120), (100, 120), (120, 120)]


@pytest.mark.parametrize("entry", ["[]", "7", '"VT-1"', "null"])
def test_an_entry_that_is_no_object_is_said_to_be_no_order(tmp_path: Path, entry: str) -> None:
    [error] = imported(tmp_path / "x.json", f"[{entry}]").errors
    assert (error.line, error.code) == (1, "WRONG_TYPE")
    assert error.message == "an order must be a JSON object: { ... }"


@pytest.mark.parametrize(
    ("report", "summary"),
    [
        (ImportReport(stored=1), "1 order stored, 0 refused"),
        (ImportReport(stored=2, refused=1), "2 orders stored, 1 refused"),
        (ImportReport(refused=1100, errors_left_out=1), "0 orders stored, 1100 refused; 1 more error not listed"),
        (ImportReport(errors_left_out=2), "0 orders stored, 0 refused; 2 more errors not listed"),
        (
            ImportReport(stored=3, refused=1, complete=False),
            "3 orders stored, 1 refused; the rest of the file was not read",
        ),
    ],
)
def test_a_report_says_in_one_line_what_became_of_the_file(report: ImportReport, summary: str) -> None:
    assert report.summary == summary


def test_a_source_is_a_plain_name(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(ImportRefused) as refused:
        import_orders(tmp_path / "x.json", source="Two Words")
    assert refused.value.code == "INVALID_SOURCE"


def test_a_sample_is_repeatable_and_has_every_sort_of_order() -> None:
    orders = list(sample_orders(400, seed=5))
    assert orders == list(sample_orders(400, seed=5))
    assert orders != list(sample_orders(400, seed=6))
    assert len({one["orderId"] for one in orders}) == 400
    kits = [kit for one in orders for kit in one["kits"]]
    assert len({kit["kitId"] for kit in kits}) == len(kits)
    practitioners = [one["practitioner"] for one in orders if "practitioner" in one]
    assert {len(one["kits"]) for one in orders} == {0, 1, 2, 3, 4}
    assert any("practitioner" not in one for one in orders)
    assert any("shippingDate" not in one for one in orders)
    assert any("recipientEmail" not in kit for kit in kits)
    assert any("email" not in who for who in practitioners)
    assert {one["status"] for one in orders} >= {"cancelled", "shipped", "delivered"}
    addresses = [kit["recipientEmail"] for kit in kits if "recipientEmail" in kit]
    addresses += [who["email"] for who in practitioners if "email" in who]
    assert all(address.endswith(("@example.org", "@example.com")) for address in addresses)
