# SPDX-License-Identifier: Apache-2.0
"""The codec of the TensorFlow Serving and KServe v1 ``:predict`` API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.edge.refusal import refusal
from gateway.exchange import JSON_ALONE, Answer
from gateway.wire.message import InferRequest
from gateway.wire.predict import decode_predict
from gateway.wire.predict_answer import encode_predict
from gateway.wire.signature import signature_of

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.wire.message import InferResponse
    from gateway.wire.model import ModelInfo


class V1Codec:
    """``/v1/models/{name}[/versions/{version}]:predict``."""

    protocol = spelling = "v1"

    def __repr__(self) -> str:
        return "<V1Codec>"

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """See Codec."""
        inputs, form = decode_predict(exchange.body, signature_of(model))
        return InferRequest(
            exchange.model,
            inputs,
            deadline=exchange.deadline,
            trace=exchange.trace,
            rules=exchange.rules,
            form=form,
        )

    def encode(
        self,
        exchange: Exchange,  # noqa: ARG002 - part of Codec; other protocols answer by it
        request: InferRequest,
        response: InferResponse,
        model: ModelInfo,  # noqa: ARG002 - as above
    ) -> Answer:
        """See Codec."""
        return Answer(200, encode_predict(request, response), JSON_ALONE)

    def refuse(self, exchange: Exchange, error: GatewayError) -> Answer:  # noqa: ARG002 - as above
        """``{"error": message}``."""
        return refusal(error)
