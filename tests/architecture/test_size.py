# SPDX-License-Identifier: Apache-2.0
"""A module stays small enough to be read in one sitting."""

from tests.support.tree import ROOT, python_files

LIMIT = 400


def test_no_python_file_grows_past_the_limit() -> None:
    """A file of more than 400 lines is split along an idea."""
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in python_files()
    }
    assert "gateway/errors.py" in lengths, "the search looks in the wrong place"
    assert {name: lines for name, lines in lengths.items() if lines > LIMIT} == {}
