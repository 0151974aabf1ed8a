# SPDX-License-Identifier: Apache-2.0
"""QuestionKey: equal questions have equal places."""

from __future__ import annotations

from gateway.stages.question_key import QuestionKey
from gateway.wire.message import RequestedOutput
from tests.support.service import PromptService
from tests.support.upstream import request


async def test_equal_questions_have_equal_keys_in_every_process() -> None:
    """Whatever their ids; other inputs or outputs make another question."""
    keys = []
    for _ in range(2):
        below = PromptService()
        stage = QuestionKey(below, model="m")
        same = request(1.0)
        same.id = "another"
        for asked in (
            request(1.0), same, request(2.0), request(1.0, outputs=(RequestedOutput("y"),)),
        ):  # fmt: skip
            await stage(asked)
        keys.append([asked.trace.affinity for asked in below.asked])
    assert keys[0] == keys[1]
    one, again, *others = keys[0]
    assert one == again
    assert len({one, *others}) == 3


async def test_does_not_take_the_key_of_the_cache() -> None:
    """That one hangs on a secret of the process, so that each would place it elsewhere."""
    below = PromptService()
    stage = QuestionKey(below, model="m")
    cached = request(1.0)
    cached.key = b"of this process"
    await stage(cached)
    await stage(request(1.0))
    assert below.asked[0].trace.affinity == below.asked[1].trace.affinity
    assert cached.key == b"of this process"
