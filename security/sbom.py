"""Writes what the product is made of to build/sbom.json, as CycloneDX 1.6, from requirements.lock. Downloads nothing.

Run by the scanners' Python (`make sbom`). Where packages come from is left out: it differs from machine to machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parent.parent
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def write(target: Path) -> int:
    """Make it; how many packages it names comes back.

    Raises:
        ValueError: it is no such document.
    """
    options = ["--pyproject", "pyproject.toml", "--sv", "1.6", "--output-reproducible", "--no-validate", "-o", "-"]
    made = subprocess.run(  # noqa: S603  a fixed command
        [str(Path(sys.executable).with_name("cyclonedx-py")), "requirements", "requirements.lock", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        check=True,
    )
    document = json.loads(made.stdout)
    for component in document["components"]:
        component.pop("externalReferences", None)
        component.pop("description", None)
    _name_direct_dependencies(document)
    text = json.dumps(document, indent=2) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"not CycloneDX 1.6: {error}")
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    return len(document["components"])


def _name_direct_dependencies(document: dict[str, object]) -> None:
    """Say which packages the product itself needs; what those need is not known from a list of versions."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {_normal(_NAME.match(text)[0]) for text in wanted}
    root = document["metadata"]["component"]["bom-ref"]
    refs = [part["bom-ref"] for part in document["components"] if _normal(part["name"]) in names]
    others = [entry for entry in document["dependencies"] if entry["ref"] != root]
    document["dependencies"] = [{"ref": root, "dependsOn": sorted(refs)}, *others]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    target = ROOT / "build" / "sbom.json"
    print(f"{write(target)} packages are named in {target.relative_to(ROOT)}")
