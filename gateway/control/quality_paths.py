# SPDX-License-Identifier: Apache-2.0
"""Paths of the admin port that are about the quality of answers, for whoever has not loaded it."""

from __future__ import annotations

from typing import Final

PATHS: Final = {
    "/v1/ledger": "whether predictions and labels can be kept",
    "/v1/quality": "how right the answers of every model are",
    "/v1/quality/{model}": "every figure of a model; window, role, name, digest, endpoint, slice, "
    "average, ci, level, beta, zero_division, settled",
    "/v1/probes": 'sets that are asked again and again, and their rounds; POST {"model": name, '
    '"file": path, "accept": true | false} runs one now',
    "/v1/candidates": "the candidate of each model that has one, and how far it has come",
    "/v1/candidates/{model}/decision": "what is decided of it now, with all evidence",
    "/v1/candidates/{model}/promote": 'POST {"share": number, "force": true | false}',
    "/v1/candidates/{model}/rollback": "POST: the model answers all again, at once",
    "/v1/candidates/{model}/hold": 'POST {"held": true | false}: nothing moves it by itself',
    "/v1/label-requests": "rows whose label can change a decision, and a few at random",
    "/v1/audit": "what was done, by whom, the newest first",
    "/v1/shadows": (
        'how much is mirrored; POST {"model": name, "shadow": name, "sample": number | null}'
    ),
    "/v1/drift": "whether what models are asked and say is like their reference",
    "/v1/drift/{model}": "the same, feature by feature; ?window=1h|24h",
    "/v1/drift/{model}/reset": "POST: begin anew, and learn a reference where no file has one",
}

# The methods of each that is not only read.
CHANGED: Final = {
    "/v1/probes": ("GET", "POST"),
    "/v1/candidates/{model}/promote": ("POST",),
    "/v1/candidates/{model}/rollback": ("POST",),
    "/v1/candidates/{model}/hold": ("POST",),
    "/v1/shadows": ("GET", "POST"),
    "/v1/drift/{model}/reset": ("POST",),
}
