# SPDX-License-Identifier: Apache-2.0
"""The worker program: loads ONNX models and answers frames; shares only `gateway.wire`."""

import os

# The official builds of onnxruntime report to their maker unless this is set before they are
# loaded; what is served here is nobody else's business. A user may still allow it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
