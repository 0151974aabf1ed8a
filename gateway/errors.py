# SPDX-License-Identifier: Apache-2.0
"""Every error that Infergate raises on purpose, as one tree by cause.

    GatewayError                      500 internal
    ├─ ClientError                    the caller can mend it
    │  ├─ InvalidRequest              400 invalid_request
    │  ├─ ModelNotFound               404 model_not_found
    │  ├─ NotFound                    404 not_found
    │  ├─ MethodNotAllowed            405 method_not_allowed
    │  ├─ RequestTimeout              408 request_timeout
    │  ├─ TooLarge                    413 too_large
    │  ├─ UnsupportedEncoding         415 unsupported_encoding
    │  ├─ UnsupportedMediaType        415 unsupported_media_type
    │  └─ Unsupported                 501 unsupported
    ├─ Shed                           503 overloaded: nothing was sent to a worker
    │  ├─ NoReadyEndpoint             503 no_ready_endpoint
    │  ├─ LabelsUnavailable           503 labels_unavailable
    │  └─ Draining                    503 draining
    ├─ DeadlineExceeded               504 deadline_exceeded
    ├─ OnlyIfCached                   504 only_if_cached
    ├─ ClientClosed                   499 client_closed: for the log, nobody reads it
    └─ UpstreamError                  502 upstream_failed
       ├─ ConnectFailed               never reached a worker: always safe to send again
       ├─ ConnectionLost              the worker went away while it had the request
       ├─ AttemptTimeout              504 this attempt took too long, another may not
       ├─ BadAnswer                   the worker answered something that is not an answer
       ├─ Busy                        503 overloaded: a server elsewhere takes no more now
       └─ PoisonInput                 502 poison_input: two workers died of it

`Rescue` turns each into a response; nothing else looks at `status`.
`ConfigError` and `FrameError` stand apart: the first ends a start, the second a connection.
"""

from __future__ import annotations


class GatewayError(Exception):
    """A failure with a place in the protocol: *status* for the client, *code* for the reader.

    *retryable* says whether another endpoint may answer the same request;
    *retry_after* is a hint in seconds, sent as ``Retry-After`` where it is set.
    """

    status = 500
    code = "internal"
    retryable = False
    retry_after: float | None = None

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        if not message.isprintable():
            # What it quotes may come from a client, and must not begin a line in the log.
            message = "".join([
                char if char.isprintable() else repr(char)[1:-1] for char in message
            ])  # fmt: skip
        super().__init__(message)
        self.message = message
        if retry_after is not None:
            self.retry_after = retry_after


class ClientError(GatewayError):
    """The request is at fault; sending it again unchanged cannot help."""

    status = 400
    code = "invalid_request"


class InvalidRequest(ClientError):
    """A name, shape, datatype, value or header that the protocol or the model does not allow."""


class ModelNotFound(ClientError):
    """No model, or no version of it, goes by the name in the path."""

    status = 404
    code = "model_not_found"


class NotFound(ClientError):
    """The path names no resource of this server."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ClientError):
    """The path exists, but not for this verb; *allow* lists the verbs that it has."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class RequestTimeout(ClientError):
    """The caller took too long to send what it announced."""

    status = 408
    code = "request_timeout"


class TooLarge(ClientError):
    """A body, header or tensor above its limit; the message names the limit."""

    status = 413
    code = "too_large"


class UnsupportedEncoding(ClientError):
    """A ``Content-Encoding`` that this server does not decode."""

    status = 415
    code = "unsupported_encoding"


class UnsupportedMediaType(ClientError):
    """A ``Content-Type`` whose bodies the model does not take, such as pictures or forms."""

    status = 415
    code = "unsupported_media_type"


class Unsupported(ClientError):
    """A part of the protocol that this server does not offer, such as shared memory."""

    status = 501
    code = "unsupported"


class Shed(GatewayError):
    """Refused before any work was done, because there is too much of it already."""

    status = 503
    code = "overloaded"
    retry_after = 1.0


class NoReadyEndpoint(Shed):
    """No worker of this model is ready now."""

    code = "no_ready_endpoint"
    retryable = True


class LabelsUnavailable(Shed):
    """Labels cannot be taken now: the control process, or its ledger, is not there."""

    code = "labels_unavailable"


class Draining(Shed):
    """This process is about to end and takes no new work."""

    code = "draining"


class DeadlineExceeded(GatewayError):
    """The time that the caller gave is over; *message* says where it went."""

    status = 504
    code = "deadline_exceeded"


class OnlyIfCached(GatewayError):
    """The caller asked for a cached answer or none, and there is none."""

    status = 504
    code = "only_if_cached"


class ClientClosed(GatewayError):
    """The caller went away; no endpoint is to blame and nobody reads the answer."""

    status = 499
    code = "client_closed"


class UpstreamError(GatewayError):
    """A worker failed; the caller did nothing wrong."""

    status = 502
    code = "upstream_failed"
    retryable = True


class ConnectFailed(UpstreamError):
    """The request never reached a worker."""


class ConnectionLost(UpstreamError):
    """The worker closed the connection while it had the request: it may have died of it."""


class AttemptTimeout(UpstreamError):
    """One attempt used up its time; the request may have some left."""

    status = 504


class BadAnswer(UpstreamError):
    """A worker's answer does not fit what was asked: a count, a shape or a datatype is wrong."""


class Busy(UpstreamError):
    """A server elsewhere refused for load; *retry_after* says for how long it is to be spared."""

    status = 503
    code = "overloaded"
    retry_after = 1.0


class PoisonInput(UpstreamError):
    """Two workers died while they had this request, so no third is risked."""

    code = "poison_input"
    retryable = False


class ConfigError(Exception):
    """A configuration that cannot be used; *faults* lists every one, ``FILE:LINE: PATH: why``."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class FrameError(Exception):
    """Bytes on a worker connection that are not a frame; the connection cannot be used again."""
