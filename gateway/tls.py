# SPDX-License-Identifier: Apache-2.0
"""The section ``tls`` of all that is reached over a network: certificates, and who is believed."""

from __future__ import annotations

import ssl
from typing import Annotated

from msgspec import Meta, Struct


class TlsConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a server that is reached by TLS and the gateway know one another."""

    ca: Annotated[
        str | None,
        Meta(
            min_length=1,
            description=(
                "A PEM file with the authorities that may have signed the server's certificate; "
                "null: those that the system trusts."
            ),
        ),
    ] = None
    verify: Annotated[
        bool,
        Meta(
            description=(
                "Whether the certificate is checked. Danger: without it whoever is on the line can "
                "be the server."
            )
        ),
    ] = True
    cert: Annotated[
        str | None,
        Meta(min_length=1, description="A PEM file with the gateway's own certificate."),
    ] = None
    key: Annotated[
        str | None,
        Meta(min_length=1, description="The PEM file of its key; null: it is in cert."),
    ] = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise ValueError("key is there without cert; expected both, or cert alone")
        if self.ca is not None and not self.verify:
            raise ValueError("ca is of no use while verify is false; expected one of them")

    def context(self) -> ssl.SSLContext:
        """What connections are made with; raises ValueError with the key and the file at fault."""
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except OSError as error:  # an SSLError is one too
            raise ValueError(f"ca: {self.ca}: {error.strerror or error}") from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert is not None:
            try:
                context.load_cert_chain(self.cert, self.key)
            except OSError as error:
                raise ValueError(f"cert: {self.cert}: {error.strerror or error}") from None
        return context
