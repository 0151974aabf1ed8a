# SPDX-License-Identifier: Apache-2.0
"""The report of a load test in a browser that has no network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, Page, async_playwright

from gateway.lab.report.page import html
from tests.support.reports import whole

CHROMIUM = Path("/usr/bin/chromium")
DRAWN = "document.documentElement.dataset.drawn === '8'"
FLAGS = ["--no-sandbox"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")


async def _written(directory: Path) -> Path:
    path = directory / "report.html"
    path.write_text(html(await whole()), encoding="utf-8")
    return path


async def test_every_chart_is_drawn_without_network(tmp_path: Path) -> None:
    """No error, no request, no horizontal scroll, on a phone and on a desk, by day and by night."""
    path = await _written(tmp_path)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        await _looks_right(browser, path, 375, "light")
        await _looks_right(browser, path, 375, "dark")
        await _looks_right(browser, path, 1280, "dark")
        await browser.close()


async def _looks_right(
    browser: Browser, path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = await context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(path.as_uri())
    # Its scripts have run by now: they stand in the page.
    assert await page.evaluate(DRAWN)
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    await _all_drawn(page, width)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await context.close()


async def _all_drawn(page: Page, width: int) -> None:
    plots = page.locator(".plot")
    assert await plots.count() == 8
    for number in range(8):
        drawn = plots.nth(number)
        name = await drawn.get_attribute("id")
        assert await drawn.locator("svg").count() >= 1, name
        # The paths of its lines, bars or marks, not the empty frame alone.
        assert await drawn.locator(".scatterlayer path, .barlayer path").count() >= 1, name
        box = await drawn.bounding_box()
        assert box is not None
        assert box["width"] <= width


async def test_charts_follow_the_page_onto_paper(tmp_path: Path) -> None:
    """Printed from a dark screen they are dark on white, and no chart is cut in two."""
    path = await _written(tmp_path)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        # The page's policy would forbid to wait for a condition from outside.
        page = await browser.new_page(color_scheme="dark", offline=True, bypass_csp=True)
        await page.goto(path.as_uri())
        fill = "getComputedStyle(document.querySelector('#plot-breakdown .xtick text')).fill"
        by_night = await page.evaluate(fill)
        await page.emulate_media(media="print")
        await page.wait_for_function(f"{fill} !== '{by_night}'")
        style = "getComputedStyle(document.{}).{}"
        paper = await page.evaluate(style.format("body", "backgroundColor"))
        assert paper == "rgb(255, 255, 255)"
        kept = await page.evaluate(style.format("querySelector('figure')", "breakInside"))
        assert kept == "avoid"
        assert (await page.pdf())[:5] == b"%PDF-"
        await browser.close()
