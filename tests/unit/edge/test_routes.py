# SPDX-License-Identifier: Apache-2.0
"""Which targets are inference calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge import routes
from gateway.edge.routes import inference, match, model_name


@pytest.mark.parametrize(
    ("target", "protocol", "model", "version"),
    [
        (b"/v2/models/m/infer", "v2", "m", ""),
        (b"/v2/models/m/versions/12/infer", "v2", "m", "12"),
        (b"/v2/models/m/infer?trace=1", "v2", "m", ""),
        (b"/v2/models/a%20b%C3%BC/infer", "v2", "a bü", ""),
        (b"/v2/models/a:b.c-d_e/infer", "v2", "a:b.c-d_e", ""),
        (b"/v2/models/infer/infer", "v2", "infer", ""),
        (b"/v2/models/versions/versions/1/infer", "v2", "versions", "1"),
        (b"/v1/models/m:predict", "v1", "m", ""),
        (b"/v1/models/m/versions/3:predict", "v1", "m", "3"),
        (b"/v1/models/a:predict:predict", "v1", "a:predict", ""),
    ],
)
def test_an_inference_target_is_taken_apart(
    target: bytes, protocol: str, model: str, version: str
) -> None:
    """Protocol, model and version; the query means nothing."""
    route = match("POST", target)

    assert route is not None
    assert (route.codec.protocol, route.model, route.version) == (protocol, model, version)
    assert route.target == target.decode()
    assert match("POST", target) is route


@pytest.mark.parametrize(
    "target",
    [
        b"", b"/", b"/v2", b"/v2/models/m", b"/v2/models//infer", b"/v2/models/m/infer/",
        b"/v2/models/m/infer#a", b"/V2/models/m/infer", b"/v2/models/m/versions/x/infer",
        b"/v2/models/m/versions//infer", b"/v2/models/m/versions/1/2/infer",
        b"/v2/models/m/versions/" + b"1" * 20 + b"/infer", b"//v2/models/m/infer",
        b"/v2/models/a/b/infer", b"/v2/models/a%2Fb/infer", b"/v2/models/a%2fb/infer",
        b"/v2/models/a%5Cb/infer", b"/v2/models/a\\b/infer", b"/v2/models/a%00/infer",
        b"/v2/models/%0d%0a/infer", b"/v2/models/%FF/infer", b"/v2/models/\xff/infer",
        b"/v2/models/%/infer", b"/v2/models/%4/infer", b"/v2/models/%zz/infer",
        b"/v2/models/./infer", b"/v2/models/%2E%2e/infer", b"/v2/models/" + b"m" * 300 + b"/infer",
        b"/v1/models/:predict", b"/v1/models/m:classify", b"/v1/models/m/predict",
        b"/v1/models/m/labels/a:predict", b"http://h/v2/models/m/infer", b"/v2/models/m/infer\n",
    ],
)  # fmt: skip
def test_any_other_target_is_not_one(target: bytes) -> None:
    """Whatever is not exactly such a path is somebody else's."""
    assert match("POST", target) is None
    assert inference(target) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "post", "OPTIONS"])
def test_only_a_post_infers(method: str) -> None:
    """The target is known all the same, so that the answer can say which verb it has."""
    assert match(method, b"/v2/models/m/infer") is None
    assert inference(b"/v2/models/m/infer") is not None


def test_routes_do_not_pile_up() -> None:
    """A client that makes up names cannot fill the memory."""
    for number in range(10_000):
        assert match("POST", b"/v2/models/n%d/infer" % number)
    assert len(routes._known) <= routes._MAX_KNOWN


@given(st.binary(max_size=20))
def test_a_name_is_printable_text_without_separators(raw: bytes) -> None:
    """However it was escaped."""
    name = model_name(raw)
    if name is not None:
        assert name.isprintable()
        assert not {"/", "\\", "\0", "\n"} & set(name)
        assert name not in {"", ".", ".."}
