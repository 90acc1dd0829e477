"""What the wheel puts into an environment: the names the owner fixed, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLAT_NAMES = {"dashboard", "dispatchlog", "migrations", "models", "scheduler", "tasks"}


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files of a wheel built from a copy of what git tracks, so that no build leaves traces in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    (wheel,) = target.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_has_exactly_the_fixed_top_level_names(wheel_files: list[str]) -> None:
    top = {name.split("/")[0].removesuffix(".py") for name in wheel_files if ".dist-info/" not in name}
    assert top == FLAT_NAMES


def test_the_wheel_has_every_module_template_and_static_file_of_the_checkout(wheel_files: list[str]) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for name in FLAT_NAMES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= set(wheel_files)


def test_no_tests_are_shipped(wheel_files: list[str]) -> None:
    assert not [name for name in wheel_files if name.startswith("tests")]
