# SPDX-License-Identifier: Apache-2.0
"""YAML text as a tree with lines, within bounds."""

from __future__ import annotations

import pytest

from gateway.config.tree import MAX_DEPTH, MAX_NODES, Fault, Mapping, Scalar, join, parse


def mapping(text: str) -> Mapping:
    """The mapping in *text*, which must have no faults."""
    tree, faults = parse(text)
    assert faults == []
    assert isinstance(tree, Mapping)
    return tree


def faults_of(text: str) -> list[tuple[int, str, str]]:
    """Line, path and message of every fault in *text*."""
    return [(fault.line, fault.path, fault.message) for fault in parse(text)[1]]


def test_nodes_know_their_lines() -> None:
    """Lines count from 1, those of keys and of values."""
    tree = mapping("a: 1\n\nb:\n  c: 2\n")
    assert tree.lines == {"a": 1, "b": 3}
    assert tree.entries["b"].line == 4


def test_quoted_text_is_not_plain() -> None:
    """A quoted number is text, and the tree can tell."""
    tree = mapping("a: '1'\nb: 1\n")
    plain = [node.plain for node in tree.entries.values() if isinstance(node, Scalar)]
    assert plain == [False, True]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n"])
def test_empty_file_has_no_tree(text: str) -> None:
    """There is nothing in it, which is for the caller to judge."""
    assert parse(text) == (None, [])


def test_repr_shows_the_tree() -> None:
    """A tree in a failing test can be read."""
    assert repr(mapping("a: [1]")) == "<Mapping {'a': <Sequence [<Scalar '1'>]>}>"


def test_duplicate_key_is_a_fault_with_both_lines() -> None:
    """YAML would take the last one in silence."""
    assert faults_of("a:\n  b: 1\n  b: 2\n") == [(3, "a.b", "is there twice, first in line 2")]


def test_tag_is_a_fault() -> None:
    """No tag makes an object of any kind."""
    ((line, path, message),) = faults_of("a: !!python/object:os.system x\n")
    assert (line, path) == (1, "a")
    assert "is not understood" in message


def test_key_that_is_no_name_is_a_fault() -> None:
    """A list cannot be a key; what comes after it is still read."""
    ((line, _, message),) = faults_of("? [1, 2]\n: 3\nb: 4\n")
    assert line == 1
    assert "expected a name" in message


def test_alias_is_the_anchored_node_itself() -> None:
    """Aliases are shared, not copied."""
    tree = mapping("a: &x {b: 1}\nc: *x\n")
    assert tree.entries["a"] is tree.entries["c"]


def test_merge_key_adds_what_is_not_there() -> None:
    """The mapping's own keys win, then those of the first source."""
    tree = mapping("one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\nx: {<<: [*one, *two], a: 0}\n")
    merged = tree.entries["x"]
    assert isinstance(merged, Mapping)
    texts = {key: node.text for key, node in merged.entries.items() if isinstance(node, Scalar)}
    assert texts == {"a": "0", "b": "1", "c": "2"}


def test_merge_of_anything_but_mappings_is_a_fault() -> None:
    """<< takes mappings."""
    assert faults_of("a: {<<: 1}\n") == [(1, "a", "<< takes a mapping, or a list of them")]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [1,\n", 2, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: \x01\n", 1, "a character that YAML does not allow"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: *nope\n", 1, "is used before"),
        ("&a [*a]\n", 1, "is used before"),
        ("[" * 100_000, 1, f"deeper than {MAX_DEPTH}"),
        ("x: [" + "1," * MAX_NODES + "]", 1, f"more than {MAX_NODES}"),
    ],
)
def test_what_is_no_tree_ends_with_one_fault(text: str, line: int, words: str) -> None:
    """A file that is not YAML, or beyond a bound, has no tree to go on with."""
    with pytest.raises(Fault, match=words) as caught:
        parse(text)
    assert caught.value.line == line


def test_merges_count_towards_the_bound() -> None:
    """A small file cannot stand for a huge one by merging into itself again and again."""
    wide = ", ".join(f"k{number}: 1" for number in range(1000))
    text = f"a: &a {{{wide}}}\nb: [" + "{<<: *a}, " * 200 + "]\n"
    with pytest.raises(Fault, match=f"more than {MAX_NODES}"):
        parse(text)


@pytest.mark.parametrize(
    ("path", "key", "joined"),
    [("", "a", "a"), ("a", "b", "a.b"), ("a", "b-1", "a.b-1"), ("a", "b.c", 'a."b.c"')],
)
def test_path_quotes_keys_that_need_it(path: str, key: str, joined: str) -> None:
    """A dot in a name is not taken for a level."""
    assert join(path, key) == joined
