# SPDX-License-Identifier: Apache-2.0
"""Searches: many runs of the load generator that answer one question.

How much traffic within an SLO (`limit`), what more traffic does (`curve`, `sweep`, `knee`), which
of two servers is quicker (`against`), whether it became slower (`gate`), what it does beyond its
limit (`scenarios`). None of them sends anything itself: each is given what measures.
"""
