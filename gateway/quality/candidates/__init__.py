# SPDX-License-Identifier: Apache-2.0
"""Candidates: whether a model may come in the place of another one, from pairs of their answers.

`pairing` counts the pairs, `comparisons` gives the evidence, `course` says what follows of it.
"""
