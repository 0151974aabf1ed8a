# SPDX-License-Identifier: Apache-2.0
"""What crosses a process border: tensors, requests, model facts, and the codecs for them."""
