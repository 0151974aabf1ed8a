# SPDX-License-Identifier: Apache-2.0
"""The stages: one wrapper a file, composed by `gateway.pipeline` in request order."""
