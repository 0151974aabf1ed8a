# SPDX-License-Identifier: Apache-2.0
"""The repository as files: its root, and what in it belongs to the project."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Made by tools beside the project's own files, and no part of it.
GENERATED = frozenset({"__pycache__", "build", "dist"})
TEXT = frozenset({"", ".in", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"})


def text_files() -> Iterator[Path]:
    """Every text file of the project, hidden directories but `.ci` left out."""
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and path.suffix in TEXT:
            yield path
        elif path.is_dir() and (path.name == ".ci" or not path.name.startswith(".")):
            yield from _text_below(path)


def python_files() -> list[Path]:
    """Every Python file of the project."""
    return [path for path in text_files() if path.suffix == ".py"]


def _text_below(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        inside = path.relative_to(ROOT)
        if path.is_file() and path.suffix in TEXT and GENERATED.isdisjoint(inside.parts):
            yield path
