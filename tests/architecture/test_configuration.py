# SPDX-License-Identifier: Apache-2.0
"""What is written about the configuration is what the code does."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from msgspec import Struct

from gateway.config import load
from gateway.config.annotation import Annotation, fields, is_section
from gateway.config.root import Config
from tests.support.tree import ROOT

# What the annotated file sets although there is a default, and says so.
SET_HERE = {
    "models.digits.preprocess",
    "models.digits.cache",
    "models.digits.quality",
    "models.digits.quality.classes",
}


def leaves(path: str, section: type[Struct], values: object) -> list[tuple[str, Any, Any]]:
    """Path, default and value of every key of *section* that is not itself a section."""
    found: list[tuple[str, Any, Any]] = []
    for field in fields(section).values():
        value = getattr(values, field.attribute)
        here = f"{path}.{field.name}" if path else field.name
        if field.required or isinstance(value, Struct):
            continue
        found.append((here, field.default, value))
    return found


def below(path: str, values: object) -> list[tuple[str, Any, Any]]:
    """The same for *values* and every section in it."""
    found = leaves(path, type(values), values) if isinstance(values, Struct) else []
    items: list[tuple[str, Any]] = []
    if isinstance(values, Struct):
        items = [(name, getattr(values, name)) for name in values.__struct_fields__]
    elif isinstance(values, dict):
        items = list(values.items())
    for name, value in items:
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, Struct | dict):
            found += below(here, value)
        elif isinstance(value, tuple) and here not in SET_HERE:
            for index, item in enumerate(value):
                found += below(f"{here}[{index}]", item)
    return found


def missing(path: str, annotation: object, written: object) -> list[str]:
    """The keys that *annotation* allows and *written* does not have."""
    absent: list[str] = []
    for member in Annotation(annotation).members:
        base = Annotation(member).base
        if is_section(base) and isinstance(written, dict):
            for name, field in fields(base).items():
                if name not in written:
                    absent.append(f"{path}.{name}")
                else:
                    absent += missing(f"{path}.{name}", field.annotation, written[name])
        elif get_origin(base) is dict and isinstance(written, dict):
            for name, value in written.items():
                absent += missing(f"{path}.{name}", get_args(base)[1], value)
        elif get_origin(base) is tuple and isinstance(written, list):
            for index, value in enumerate(written):
                absent += missing(f"{path}[{index}]", get_args(base)[0], value)
    return absent


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in the shipped files are seen from the root of the repository."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name
)
def test_shipped_file_is_good(path: Path) -> None:
    """It can be served as it is."""
    assert load(str(path)).models


def test_annotated_file_has_every_key() -> None:
    """Who looks for a key finds it there."""
    written = yaml.safe_load((ROOT / "config" / "production.yaml").read_text("utf-8"))
    assert missing("", Config, written) == []


def test_annotated_file_has_the_real_defaults() -> None:
    """What it shows as a default is one."""
    config = load("config/production.yaml")
    wrong = [
        f"{path}: is {value!r}, the default is {default!r}"
        for path, default, value in below("", config)
        if value != default and path not in SET_HERE
    ]
    assert wrong == []


def test_reference_page_is_up_to_date() -> None:
    """Its tables are those that the script writes: every key, its type and its default."""
    script = runpy.run_path(str(ROOT / "scripts" / "configuration_reference.py"))
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")
    assert script["tables"]() in page, "run scripts/configuration_reference.py"
