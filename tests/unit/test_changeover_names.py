# SPDX-License-Identifier: Apache-2.0
"""Changeover: names that are resolved come, go and change, and what stays is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.load import read
from gateway.wire.generation import Setting
from tests.support.generations import Stage, stage
from tests.support.upstream import settle

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.upstream.pool import Pool

WORKER = "{worker: {path: m}}"


def config(*backends: str) -> Config:
    """A model ``m`` with *backends*."""
    text = f"models: {{m: {{backends: [{', '.join(backends)}]}}}}"
    return read(text, name="test", environment={}, files=False)


def far(more: str = "", *, host: str = "far") -> str:
    """A backend by a name."""
    return f"{{url: 'http://{host}', resolve: 10s{more}}}"


def pool(here: Stage) -> Pool:
    """That of the model."""
    return here.gateway.models["m"].pool


def taking(here: Stage) -> list[str]:
    """The endpoints that take requests."""
    return sorted(endpoint.name for endpoint in pool(here).endpoints)


async def test_a_name_that_is_added_takes_part_with_the_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its addresses are connected before, and sent nothing."""
    async with stage(monkeypatch, config(WORKER)) as here:
        here.addresses = ["10.0.0.1", "10.0.0.2"]
        before = pool(here)
        change = here.to(config(WORKER, far()))
        assert await change.prepare() == []
        await settle()
        assert taking(here) == ["m-0"]
        assert len(before.held) == 2
        change.commit()
        assert pool(here) is before
        assert taking(here) == ["m-0", "m@far:80#10.0.0.1", "m@far:80#10.0.0.2"]


async def test_a_name_that_is_removed_takes_its_endpoints_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker stays the very same."""
    async with stage(monkeypatch, config(WORKER, far())) as here:
        here.addresses = ["10.0.0.1"]
        worker = next(each for each in pool(here).endpoints if each.name == "m-0")
        await here.change(config(WORKER))
        assert pool(here).endpoints == [worker]
        assert pool(here).followed == ()


async def test_a_change_that_is_given_up_leaves_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the endpoints that it had found already."""
    async with stage(monkeypatch, config(WORKER)) as here:
        here.addresses = ["10.0.0.1"]
        change = here.to(config(WORKER, far()))
        await change.prepare()
        await settle()
        change.abort()
        assert taking(here) == ["m-0"]
        assert pool(here).held == []
        assert pool(here).followed == ()


async def test_another_weight_changes_no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put on those that there are, and on those to come."""
    async with stage(monkeypatch, config(WORKER)) as here:
        here.addresses = ["10.0.0.1"]
        await here.change(config(WORKER, far()))
        await settle()
        before = {each.name: each for each in pool(here).endpoints}
        await here.change(config(WORKER, far(", weight: 3")))
        assert {each.name: each for each in pool(here).endpoints} == before
        assert before["m@far:80#10.0.0.1"].weight == 3
        (name,) = pool(here).followed
        name.found(["10.0.0.1", "10.0.0.2"])
        assert {each.weight for each in pool(here).endpoints if "#" in each.name} == {3}


async def test_another_way_of_asking_makes_other_endpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The old ones finish what they have."""
    async with stage(monkeypatch, config(WORKER)) as here:
        here.addresses = ["10.0.0.1"]
        await here.change(config(WORKER, far()))
        await settle()
        (old,) = [each for each in pool(here).endpoints if "#" in each.name]
        await here.change(config(WORKER, far(", remote: {model: other}")))
        await settle()
        (new,) = [each for each in pool(here).endpoints if "#" in each.name]
        assert new is not old
        assert new.name == old.name


async def test_what_operators_say_reaches_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """To drain one, and to let it in again."""
    async with stage(monkeypatch, config(WORKER)) as here:
        here.addresses = ["10.0.0.1", "10.0.0.2"]
        wanted = config(WORKER, far())
        await here.change(wanted)
        await settle()
        drained = {"m@far:80#10.0.0.1": Setting(drained=True)}
        await here.change(wanted, settings=drained)
        assert taking(here) == ["m-0", "m@far:80#10.0.0.2"]
        await here.change(wanted, settings={})
        assert taking(here) == ["m-0", "m@far:80#10.0.0.1", "m@far:80#10.0.0.2"]


async def test_another_way_of_asking_a_server_makes_another_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An endpoint is made for one way, and its name is the same for both."""
    async with stage(monkeypatch, config("{url: 'http://far'}")) as here:
        before = pool(here)
        await here.change(config("{url: 'http://far', weight: 2}"))
        assert pool(here) is before
        await here.change(config("{url: 'http://far', remote: {model: other}}"))
        assert pool(here) is not before


async def test_a_pool_of_names_alone_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until one of the addresses answers."""
    async with stage(monkeypatch, config(WORKER)) as here:
        text = f"models: {{m: {{backends: [{WORKER}]}}, n: {{backends: [{far()}]}}}}"
        wanted = read(text, name="test", environment={}, files=False)
        faults = await here.to(wanted).prepare(patience=0.01)
        assert faults == ["models.n: no answer from any of <Discovery far:80 nothing> after 0.01 s"]
        here.addresses = ["10.0.0.1"]
        await here.change(wanted)
        assert here.gateway.models["n"].ready
