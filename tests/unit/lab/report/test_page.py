# SPDX-License-Identifier: Apache-2.0
"""The report as a page, and in a terminal."""

from __future__ import annotations

import io
import json
import re

import msgspec
from rich.console import Console

from gateway.lab.report.document import Report
from gateway.lab.report.figures import encode, figures_of
from gateway.lab.report.front import Front
from gateway.lab.report.page import html
from gateway.lab.report.terminal import show
from tests.support.reports import front, loaded, whole
from tests.support.runs import run_of

NASTY = "</script><script>alert(1)</script>&<b>"


async def test_every_part_has_its_chart() -> None:
    """Each once, and none without data."""
    figures = figures_of(await whole())
    assert [one.id for one in figures] == [
        "load", "sweep", "ratios", "percentiles", "histogram", "timeline", "breakdown", "front",
    ]  # fmt: skip
    for one in figures:
        assert any(len(trace["x"]) for trace in one.data), one.id


def test_a_report_of_nothing_has_no_chart() -> None:
    """Nor one whose server never answered."""
    assert figures_of(Report()) == []
    assert [one.id for one in figures_of(Report(runs=[run_of([[]], errors=[3])]))] == ["timeline"]


async def test_colours_are_those_of_the_style_sheet() -> None:
    """A name that it does not have would be drawn black."""
    report = await whole()
    sheet = html(report).partition("<style>")[2].partition("</style>")[0]
    names = set(re.findall(r"(--[a-z]+(?:-2)?):", sheet))
    used = set(re.findall(r'"(--[a-z0-9-]+)"', encode(figures_of(report)).decode()))
    assert used
    assert used <= names


async def test_nothing_from_outside_is_asked_for() -> None:
    """No address in an attribute, and a policy that would forbid it."""
    page = html(await whole())
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "default-src 'none'" in markup
    assert re.findall(r"(?:src|href)=\"(?!data:)[^\"]*\"", markup) == []


async def test_names_cannot_become_markup() -> None:
    """Of a model, a server or a candidate, in the page and in its data."""
    run = await loaded(seconds=5)
    run.plan = msgspec.structs.replace(run.plan, model=NASTY)
    candidates = tuple(msgspec.structs.replace(one, label=NASTY) for one in front().candidates)
    page = html(Report(runs=[run], name=NASTY, front=Front(candidates=candidates, reason=NASTY)))
    assert NASTY not in page
    assert "<script>alert" not in page
    data = page.partition('id="figures">')[2].partition("</script>")[0]
    (chosen,) = (
        note["text"]
        for figure in json.loads(data)
        for note in figure["layout"].get("annotations", ())
        if note["text"].startswith("chosen")
    )
    assert chosen == "chosen: &lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&lt;b&gt;"


async def test_the_terminal_says_it_all_in_eighty_columns() -> None:
    """Answers, the split, the processes and the verdict, and no line is longer."""
    out = io.StringIO()
    show(await whole(), Console(file=out, width=80))
    text = out.getvalue()
    assert max(len(line) for line in text.splitlines()) <= 80
    for words in ("requests/s keep p99 <= 20ms", "plan with", "queue", "worker digits-0", "VALID"):
        assert words in text


async def test_the_terminal_says_why_a_result_is_not_valid() -> None:
    """Below the verdict, and markup in a name is text."""
    run = await loaded(seconds=5)
    run.valid, run.reasons = False, ["the [bold]generator[/bold] was late"]
    out = io.StringIO()
    show(Report(runs=[run]), Console(file=out, width=120))
    assert "INVALID\n    the [bold]generator[/bold] was late" in out.getvalue()
