# SPDX-License-Identifier: Apache-2.0
"""Statistics of model quality: pure functions and mergeable states over numpy arrays.

No input or output, no clock and no configuration: instants, levels and generators are arguments.
States add (`merge`), take away (`subtract`), copy, and travel as plain data (`pack`, `unpack`).
"""
