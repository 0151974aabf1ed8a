# SPDX-License-Identifier: Apache-2.0
"""The repository speaks of the software alone and works wherever it is checked out."""

import ast
import re

import pytest

from tests.support.tree import ROOT, python_files, text_files

HEADER = "# SPDX-License-Identifier: Apache-2.0"

# A path that exists on one machine only; what a path like /srv in an image means is fixed.
MACHINE_PATH = re.compile(r"(?<![\w.$})*-])/(?:home|root|work|Users|mnt)/\w")
PACKAGE_HOST = re.compile(r"://[^/\s]*(?:pyp|npm|deb)[^/\s]*\.(?:org|com|io)")


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_HOST], ids=["path", "host"])
def test_no_file_names_one_machine_or_a_package_host(pattern: re.Pattern[str]) -> None:
    """Nothing in the repository depends on where it was written."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "see " + "/" + "home/someone/project"),
        (MACHINE_PATH, "path: " + "/" + "root/models"),
        (PACKAGE_HOST, "https:" + "//files.pyp" + "ihosted.org/packages"),
    ],
)
def test_the_patterns_find_what_they_look_for(pattern: re.Pattern[str], text: str) -> None:
    """A clean result means that nothing is there, not that nothing was looked for."""
    assert pattern.search(text)


def test_every_python_file_states_its_licence_and_its_purpose() -> None:
    """The first line is the licence, then comes a module docstring."""
    files = python_files()
    assert files
    lacking = [
        path.relative_to(ROOT).as_posix()
        for path in files
        if not path.read_text().startswith(HEADER + "\n")
        or ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert lacking == []


@pytest.mark.parametrize("name", ["build", "runtime", "dev", "bench"])
def test_a_lock_file_pins_and_hashes_all_it_names(name: str) -> None:
    """An installation gets the reviewed bytes or fails, and names no place to get them from."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[a-z0-9][a-z0-9._-]*==[^ ]+ ", line), line
        assert "--hash=sha256:" in line, line
