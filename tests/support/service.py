# SPDX-License-Identifier: Apache-2.0
"""A scripted service: what a stage calls, answered by the test or at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.upstream import Sent, echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.wire.message import InferRequest, InferResponse


class ScriptedService:
    """Keeps each request until the test answers it."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Wait for the test."""
        sent = Sent(request)
        self.sent.append(sent)
        return await sent.answer


class PromptService:
    """Answers each request at once, without waiting; *respond* makes the answer."""

    def __init__(self, respond: Callable[[InferRequest], InferResponse] = echo) -> None:
        self.asked: list[InferRequest] = []
        self.respond = respond

    async def __call__(self, request: InferRequest) -> InferResponse:
        """Answer *request*."""
        self.asked.append(request)
        return self.respond(request)
