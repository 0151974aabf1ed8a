# SPDX-License-Identifier: Apache-2.0
"""The reference pages and the code say the same, in both directions."""

import inspect
import re

from gateway import errors
from gateway.errors import ClientError, GatewayError
from gateway.telemetry import Telemetry
from tests.support.tree import ROOT, python_files

REFERENCE = ROOT / "docs" / "reference"


def rows(page: str) -> list[list[str]]:
    """The cells of every table row of *page* that begins with code, the code marks taken off."""
    text = (REFERENCE / page).read_text()
    found = re.findall(r"^\| (`.*) \|$", text, re.MULTILINE)
    return [[cell.replace("`", "").strip() for cell in row.split(" | ")] for row in found]


def test_every_metric_is_documented_as_it_is() -> None:
    """Name, type and labels in the page are those of the code, and no other metric is in it."""
    documented = {
        (name, kind, tuple(labels.split(", ")) if labels != "none" else ())
        for name, kind, labels, *_ in rows("metrics.md")
    }
    families = Telemetry().families

    assert documented == {(family.name, family.kind, family.labels) for family in families.values()}
    assert len(rows("metrics.md")) == len(families)


def test_every_metric_says_what_it_means_and_what_to_do() -> None:
    """A number that nobody can act on is noise."""
    for name, *_, meaning, action in rows("metrics.md"):
        assert meaning.endswith("."), name
        assert action.endswith("."), name


def test_every_error_is_documented_as_it_is() -> None:
    """Class, status, code and retryability in the page are those of the tree, and no other."""
    tree = {
        (kind.__name__, str(kind.status), kind.code, "yes" if kind.retryable else "no")
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        # The class for what the caller can mend is never raised itself.
        if issubclass(kind, GatewayError) and kind is not ClientError
    }

    assert {tuple(row[:4]) for row in rows("errors.md")} == tree
    assert len(rows("errors.md")) == len(tree)


def test_metric_names_are_written_in_one_place() -> None:
    """Only `families.py` and its parts write a metric's name; a comment may mention it."""
    writers = {
        path.relative_to(ROOT).as_posix()
        for path in python_files()
        if path.is_relative_to(ROOT / "gateway")
        and re.search(r"[\"']infergate_\w+[\"']", path.read_text())
    }

    assert {path.rpartition("/")[0] for path in writers} == {"gateway/telemetry"}


def test_every_metric_is_filled_by_somebody() -> None:
    """A family that nothing fills would show an empty graph for ever."""
    names_of_parts = ("families.py", "candidates.py", "figures.py", "probes.py", "quality.py")
    declaring = {ROOT / "gateway" / "telemetry" / name for name in names_of_parts}
    sources = "".join(
        path.read_text()
        for path in python_files()
        if path.is_relative_to(ROOT / "gateway") and path not in declaring
    )
    telemetry = Telemetry()
    families = list(telemetry.families.values())
    # Some are grouped: those of probes are attributes of `telemetry.probes`.
    parts = {"": telemetry} | {
        f"{attribute}.": part
        for attribute, part in vars(telemetry).items()
        if type(part).__module__.startswith("gateway.telemetry.") and part not in families
    }
    names = {
        f"{prefix}{attribute}"
        for prefix, part in parts.items()
        for attribute, value in vars(part).items()
        if any(value is family for family in families)
    }

    assert len(names) == len(telemetry.families)
    assert {name for name in names if not re.search(rf"telemetry\.{name}\b", sources)} == set()
