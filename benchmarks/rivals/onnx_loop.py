# SPDX-License-Identifier: Apache-2.0
"""The limit: onnxruntime alone, one row a run, without network, decoding or answers.

python -m benchmarks.rivals.onnx_loop MODEL ROWS.npy SECONDS
Loads, says `ready`, waits for a line, runs for SECONDS and prints its counts and times as JSON.
"""

import json
import resource
import sys
import time

import numpy as np
import onnxruntime as ort


def main() -> None:
    """Measure one process with one thread."""
    model, rows_path, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options)
    name = session.get_inputs()[0].name
    feeds = [{name: row[np.newaxis]} for row in np.load(rows_path)]
    for feed in feeds:
        session.run(None, feed)
    print("ready", flush=True)
    sys.stdin.readline()

    times: list[float] = []
    used = time.process_time()
    start = now = time.perf_counter()
    while now - start < seconds:
        for feed in feeds:
            session.run(None, feed)
            before, now = now, time.perf_counter()
            times.append(now - before)
    used = time.process_time() - used
    p50, p99 = np.percentile(times, [50, 99])
    result = {
        "runs": len(times),
        "seconds": now - start,
        "p50": p50,
        "p99": p99,
        "max": max(times),
        "cpu_seconds": used,
        # Linux counts the peak in KiB.
        "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
