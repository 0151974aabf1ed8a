# SPDX-License-Identifier: Apache-2.0
"""Routes: which targets are inference calls, of which protocol and model.

Both ways into the process look a target up here, byte for byte as it came, so that they cannot
disagree on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from gateway.edge.embeddings import EmbeddingsCodec
from gateway.edge.v1 import V1Codec
from gateway.edge.v2 import PreviewCodec, V2Codec

if TYPE_CHECKING:
    from gateway.exchange import Codec

V2: Final = V2Codec()
V1: Final = V1Codec()
EMBEDDINGS: Final = EmbeddingsCodec()
PREVIEW: Final = PreviewCodec()

_MAX_KNOWN: Final = 4096
_V2_INFER: Final = re.compile(rb"/v2/models/([^/?#]+)(?:/versions/([0-9]{1,19}))?/infer(?:\?.*)?")
_V2_PREVIEW: Final = re.compile(
    rb"/v2/models/([^/?#]+)(?:/versions/([0-9]{1,19}))?/preprocess(?:\?.*)?"
)
_V1_PREDICT: Final = re.compile(
    rb"/v1/models/([^/?#]+?)(?:/versions/([0-9]{1,19}))?:predict(?:\?.*)?"
)
_V1_EMBEDDINGS: Final = re.compile(rb"/v1/embeddings(?:\?.*)?")
_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MAX_NAME: Final = 256


class Route:
    """An inference target: *target* as it came, *version* "" for whichever is served.

    *model* is "" where the body names it.
    """

    __slots__ = ("codec", "model", "target", "version")

    def __init__(self, codec: Codec, model: str, version: str, target: str) -> None:
        self.codec = codec
        self.model = model
        self.version = version
        self.target = target

    def __repr__(self) -> str:
        return f"<Route {self.codec.protocol} {self.model!r} version={self.version!r}>"


_known: dict[bytes, Route] = {}


def match(method: str, target: bytes) -> Route | None:
    """The inference call that *method* and *target* ask for; None for anything else."""
    if method != "POST":
        return None
    return _known.get(target) or _find(target)


def inference(target: bytes) -> Route | None:
    """The inference call behind *target*, whatever the method."""
    return _known.get(target) or _find(target)


def preview(target: bytes) -> Route | None:
    """The call behind *target* for the tensors that would reach a model."""
    found = _V2_PREVIEW.fullmatch(target)
    if found is None or (name := model_name(found[1])) is None:
        return None
    version = (found[2] or b"").decode()
    return Route(PREVIEW, name, version, target.decode("ascii", "replace"))


def model_name(raw: bytes) -> str | None:
    """The model that a path segment names, percent-decoded; None where it names none.

    Refused are separators and control characters that an escape would smuggle in, ``.`` and
    ``..``, and what is not UTF-8.
    """
    if _ESCAPE.search(raw):
        return None
    try:
        name = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return None
    if name in {"", ".", ".."} or len(name) > _MAX_NAME:
        return None
    if "/" in name or "\\" in name or not name.isprintable():
        return None
    return name


def _find(target: bytes) -> Route | None:
    codec: Codec = V2
    found = _V2_INFER.fullmatch(target)
    if found is None:
        codec = V1
        found = _V1_PREDICT.fullmatch(target)
    if found is None and _V1_EMBEDDINGS.fullmatch(target):
        # Its body names the model.
        route = Route(EMBEDDINGS, "", "", target.decode("ascii", "replace"))
    elif found is None or (name := model_name(found[1])) is None:
        return None
    else:
        version = (found[2] or b"").decode()
        route = Route(codec, name, version, target.decode("ascii", "replace"))
    if len(_known) >= _MAX_KNOWN:
        # Whoever asks for ever new names may empty this, but never make it grow.
        _known.clear()
    _known[target] = route
    return route
