# SPDX-License-Identifier: Apache-2.0
"""Sampling: what was answered is noted, read, compared with shadows and handed over.

On a request's way there is no more than a note; everything else is done between requests, for many
at once, in the gateway process.
"""
