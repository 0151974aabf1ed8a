# SPDX-License-Identifier: Apache-2.0
"""Bytes in, bytes out: the fast lane, the aiohttp application, and the protocols' codecs."""
