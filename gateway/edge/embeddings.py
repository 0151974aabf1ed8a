# SPDX-License-Identifier: Apache-2.0
"""The codec of ``/v1/embeddings``, which names its model in the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.edge.refusal import refusal
from gateway.errors import BadAnswer
from gateway.exchange import JSON_ALONE, Answer
from gateway.wire.embeddings import read_question, text_input, vector_output, write_answer
from gateway.wire.message import InferRequest, RequestedOutput

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.wire.message import InferResponse
    from gateway.wire.model import ModelInfo


class EmbeddingsCodec:
    """``/v1/embeddings``, as clients of OpenAI's API ask."""

    protocol = spelling = "embeddings"

    def __repr__(self) -> str:
        return "<EmbeddingsCodec>"

    def named(self, exchange: Exchange) -> str:
        """See NamingCodec."""
        return read_question(exchange.body).model

    def decode(self, exchange: Exchange, model: ModelInfo) -> InferRequest:
        """See Codec."""
        question = read_question(exchange.body)
        output = vector_output(question, model)
        return InferRequest(
            exchange.model,
            (text_input(question, model),),
            outputs=(RequestedOutput(output.name),),
            deadline=exchange.deadline,
            trace=exchange.trace,
            rules=exchange.rules,
            form=question.encoding_format,
        )

    def encode(
        self,
        exchange: Exchange,
        request: InferRequest,
        response: InferResponse,
        model: ModelInfo,  # noqa: ARG002 - part of Codec
    ) -> Answer:
        """See Codec; raises BadAnswer where the model gave no vectors."""
        name = request.outputs[0].name
        vectors = next((each for each in response.outputs if each.name == name), None)
        if vectors is None or len(vectors.shape) != 2:
            raise BadAnswer(f"output '{name}' is missing in the worker's answer, or no vector")
        return Answer(200, write_answer(exchange.model, vectors, request.form), JSON_ALONE)

    def refuse(self, exchange: Exchange, error: GatewayError) -> Answer:  # noqa: ARG002 - as above
        """``{"error": message}``."""
        return refusal(error)
