# SPDX-License-Identifier: Apache-2.0
"""Rescue turns every error into an answer, and tells nothing of ours."""

import asyncio
import inspect
import logging

import pytest

from gateway import errors
from gateway.errors import GatewayError, MethodNotAllowed, Shed
from gateway.stages.rescue import Rescue
from tests.support.exchanges import Scripted, make_exchange

OWN = [
    one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, GatewayError)
]


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
async def test_each_error_of_the_tree_becomes_its_status(kind: type[GatewayError]) -> None:
    """Status, code and message come from the error alone."""
    error = kind("why", allow="GET") if kind is MethodNotAllowed else kind("why")

    answer = await Rescue(Scripted(error=error))(make_exchange())

    assert (answer.status, answer.error, answer.body) == (kind.status, kind.code, b"why")


async def test_an_answer_passes_unchanged() -> None:
    """Without an error there is nothing to rescue."""
    answer = await Rescue(Scripted())(make_exchange())

    assert (answer.status, answer.body) == (200, b"answer")


async def test_a_fault_of_ours_is_logged_and_leaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client gets an id to ask for; the traceback is in the log under that id."""
    secret = ZeroDivisionError("password=sesame")

    answer = await Rescue(Scripted(error=secret))(make_exchange())

    assert (answer.status, answer.error) == (500, "internal")
    assert answer.body == b"internal error, see the log for req-1"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert vars(record)["request_id"] == "req-1"
    assert record.exc_info is not None
    assert record.exc_info[1] is secret


async def test_an_expected_error_is_not_logged_as_a_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Overload must not fill the log as well."""
    await Rescue(Scripted(error=Shed("full")))(make_exchange())

    assert caplog.records == []


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
async def test_what_ends_a_task_or_the_process_passes(error: BaseException) -> None:
    """A client that left gets no answer, and a signal is not one."""
    with pytest.raises(type(error)):
        await Rescue(Scripted(error=error))(make_exchange())
