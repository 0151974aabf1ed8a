# SPDX-License-Identifier: Apache-2.0
"""The worker program: loads ONNX models and answers frames; shares only `gateway.wire`."""
