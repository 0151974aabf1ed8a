# SPDX-License-Identifier: Apache-2.0
"""Events: what alarms and probes tell, in the form in which it goes out."""

from __future__ import annotations

from gateway.quality.events import accuracy_event, probe_event


def test_an_alarm_is_an_event() -> None:
    """With its sentence and all that it says."""
    told = accuracy_event("accuracy_alarm", "m", {"sentence": "It fell.", "target": 0.9})

    assert (told.kind, told.name, told.model) == ("accuracy", "accuracy_alarm", "m")
    assert (told.sentence, told.detail["target"]) == ("It fell.", 0.9)


def test_what_probes_find_is_an_event() -> None:
    """Whom they have ejected is in its detail."""
    told = probe_event(
        {"event": "probe", "model": "m", "outcome": "wrong", "message": "One flip.",
         "ejected": ["m-0"]}
    )  # fmt: skip

    assert (told.kind, told.name, told.model, told.sentence) == ("probe", "wrong", "m", "One flip.")
    assert told.detail["ejected"] == ["m-0"]
