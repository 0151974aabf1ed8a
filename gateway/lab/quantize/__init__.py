# SPDX-License-Identifier: Apache-2.0
"""Quantise: a model in fewer bits, by onnxruntime's tools, and what that costs and gains.

onnx and onnxruntime are imported when they are needed: the first is an extra, and both are slow.
"""
