# SPDX-License-Identifier: Apache-2.0
"""Telemetry: every metric of Infergate, and the only place that writes a metric's name."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.telemetry.candidates import CandidateMetrics
from gateway.telemetry.cells import Family, GaugeCell, HistogramCell, SumCell
from gateway.telemetry.figures import FigureMetrics
from gateway.telemetry.probes import ProbeMetrics
from gateway.telemetry.quality import QualityMetrics
from gateway.telemetry.sampling import SamplingMetrics
from gateway.telemetry.snapshot import Snapshot, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.telemetry.snapshot import Across

# Seconds. A cache hit takes microseconds, a whole request 0.1 ms to 30 s.
REQUEST_SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
SHORT_SECONDS: Final = (
    0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005,
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0,
)  # fmt: skip
ROWS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Telemetry:
    """The metrics of one *process*; *models* are the configured model names, to which others
    may be added.

    Stages take `Family.cell` of what they count when they are built. What is a state rather than
    an event (a queue's length) is read at collection, by callbacks given to `on_collect`.
    """

    def __init__(self, models: Iterable[str] = (), *, process: str = "gateway-0") -> None:
        self.process = process
        self.families: dict[str, Family[SumCell] | Family[GaugeCell] | Family[HistogramCell]] = {}
        self.models = set(models)
        self._callbacks: list[Callable[[], None]] = []

        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.requests = counter(
            "infergate_requests_total",
            "Inference requests answered, by HTTP status; 499 is a client that went away.",
            "model", "protocol", "code",
        )  # fmt: skip
        self.probes = ProbeMetrics(counter, gauge)
        self.figures = FigureMetrics(gauge)
        self.request_seconds = histogram(
            "infergate_request_seconds",
            "Time from the first byte of a request to its answer, cache hits left out.",
            "model",
        )
        self.cache_hit_seconds = histogram(
            "infergate_cache_hit_seconds",
            "Time from the first byte of a request to its answer, cache hits alone.",
            "model",
            bounds=SHORT_SECONDS,
        )
        self.overhead_seconds = histogram(
            "infergate_overhead_seconds",
            "Time of a request less its time upstream, queueing included, cache hits left out.",
            "model",
            bounds=SHORT_SECONDS,
        )
        self.queue_seconds = histogram(
            "infergate_queue_seconds",
            "Time that a request waited for a free slot, by how the wait ended.",
            "model", "outcome",
            bounds=SHORT_SECONDS,
        )  # fmt: skip
        self.queued_rows = gauge("infergate_queued_rows", "Rows that wait for a slot now.", "model")
        self.batch_rows = histogram(
            "infergate_batch_rows", "Rows of each batch sent upstream.", "model", bounds=ROWS
        )
        self.attempts = counter(
            "infergate_attempts_total",
            "Attempts sent to an endpoint, by result.",
            "model", "endpoint", "result",
        )  # fmt: skip
        self.upstream_seconds = histogram(
            "infergate_upstream_seconds",
            "Time of an attempt, from sending it to its answer.",
            "model", "endpoint",
        )  # fmt: skip
        self.pending = gauge(
            "infergate_pending", "Attempts that an endpoint has not answered yet.", "endpoint"
        )
        self.endpoint_state = gauge(
            "infergate_endpoint_state",
            "Gateway processes that see the endpoint in this state.",
            "endpoint", "state",
        )  # fmt: skip
        self.ejections = counter(
            "infergate_ejections_total",
            "Times that an endpoint was taken out for a while.",
            "endpoint", "reason",
        )  # fmt: skip
        self.panic = gauge(
            "infergate_panic",
            "Gateway processes that ignore ejections, because too few endpoints are available.",
            "model",
        )
        self.retries = counter(
            "infergate_retries_total",
            "Requests sent again, by what failed; a batch counts for each of its members.",
            "model", "reason",
        )  # fmt: skip
        self.retry_budget_exhausted = counter(
            "infergate_retry_budget_exhausted_total",
            "Requests not sent again because the budget was empty.",
            "model",
        )
        self.quarantine = counter(
            "infergate_quarantine_total",
            "Inputs that took two workers down (added), and requests refused for one (refused).",
            "model", "event",
        )  # fmt: skip
        self.shed = counter(
            "infergate_shed_total",
            "Requests refused before any work because of load.",
            "model", "reason",
        )  # fmt: skip
        self.hedges = counter(
            "infergate_hedges_total",
            "Second attempts for slow ones, by whether theirs was the answer.",
            "model", "won",
        )  # fmt: skip
        self.cache = counter(
            "infergate_cache_total", "Cache look-ups, by result.", "model", "layer", "result"
        )
        self.cache_seconds = histogram(
            "infergate_cache_seconds",
            "Time of a cache look-up, the making of its key included.",
            "layer",
            bounds=SHORT_SECONDS,
        )
        self.cache_bytes = gauge("infergate_cache_bytes", "Bytes that the cache holds.", "layer")
        self.cache_evictions = counter(
            "infergate_cache_evictions_total",
            "Entries that the cache gave up or did not take, by why.",
            "layer", "reason",
        )  # fmt: skip
        self.cache_refused = counter(
            "infergate_cache_refused_total",
            "Values found in a shared cache and not used, by why.",
            "layer", "reason",
        )  # fmt: skip
        self.cache_errors = counter(
            "infergate_cache_errors_total",
            "Calls to a shared cache that brought nothing, by why.",
            "layer", "reason",
        )  # fmt: skip
        self.cache_breaker = gauge(
            "infergate_cache_breaker",
            "Gateway processes whose breaker before a shared cache is in this state.",
            "state",
        )
        self.collapsed = counter(
            "infergate_collapsed_total",
            "Requests answered by another one's fill of the cache.",
            "model",
        )
        self.cache_rows = counter(
            "infergate_cache_rows_total",
            "Rows of batches that were looked up one by one, by result.",
            "model", "result",
        )  # fmt: skip
        self.cache_saved_seconds = counter(
            "infergate_cache_saved_seconds_total",
            "What the answers that came from the cache had taken the model.",
            "model",
        )
        self.cache_verified = counter(
            "infergate_cache_verified_total",
            "Cached answers that the model was asked for again, by whether it gave the same.",
            "model", "result",
        )  # fmt: skip
        self.augment_rows = counter(
            "infergate_augment_rows_total",
            "Rows that came to test-time augmentation, that were augmented, and sent in addition.",
            "model", "kind",
        )  # fmt: skip
        self.candidates = CandidateMetrics(counter, gauge, histogram)
        self.worker_restarts = counter(
            "infergate_worker_restarts_total",
            "Processes started again after they ended, by worker and reason.",
            "worker", "reason",
        )  # fmt: skip
        self.client_disconnects = counter(
            "infergate_client_disconnects_total",
            "Clients that went away before their answer, by where the request was.",
            "phase",
        )
        self.client_connections = gauge(
            "infergate_client_connections", "Connections of clients that are open."
        )
        self.connections_refused = counter(
            "infergate_connections_refused_total",
            "Connections closed at once because there were too many.",
        )
        self.slow_clients = counter(
            "infergate_slow_clients_total",
            "Connections closed because the client took too long, by what it was slow at.",
            "phase",
        )
        self.pressure = gauge(
            "infergate_pressure",
            "Use of what may run short, as a share of where requests are refused.",
            "resource",
            across="max",
        )
        self.overload = gauge(
            "infergate_overload",
            "Gateway processes that part with clients or refuse requests for want of something.",
            "resource", "action",
        )  # fmt: skip
        self.config_generation = gauge(
            "infergate_config_generation",
            "Configurations and operator's changes that have come into effect since the start.",
            across="max",
        )
        self.config_reloads = counter(
            "infergate_config_reloads_total", "Reloads of the configuration, by result.", "result"
        )
        self.loop_lag_seconds = histogram(
            "infergate_loop_lag_seconds", "Lateness of a timer on the event loop."
        )
        self.log_dropped = counter(
            "infergate_log_dropped_total", "Access log lines dropped because the writer was behind."
        )
        self.process_memory = gauge(
            "infergate_process_resident_memory_bytes", "Resident memory of a process.", "process"
        )
        self.process_cpu = counter(
            "infergate_process_cpu_seconds_total",
            "Processor time used by a process.",
            "process",
            resumes=False,
        )
        self.process_fds = gauge(
            "infergate_process_open_fds", "File descriptors that a process has open.", "process"
        )

        self.quality, self.sampling = (
            QualityMetrics(counter, gauge),
            SamplingMetrics(counter, gauge),
        )

    def __repr__(self) -> str:
        return f"<Telemetry {self.process} {len(self.families)} families>"

    def on_collect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have *callback* fill its gauges before each snapshot; it must be quick and never wait.

        Returns what ends that.
        """
        self._callbacks.append(callback)
        return partial(self._forget, callback)

    def _forget(self, callback: Callable[[], None]) -> None:
        self._callbacks = [each for each in self._callbacks if each is not callback]

    def forget_endpoint(self, name: str) -> None:
        """Drop every series of the endpoint *name*, which is gone for good."""
        for family in self.families.values():
            if "endpoint" in family.labels:
                place = family.labels.index("endpoint")
                for values in [each for each in family.cells if each[place] == name]:
                    family.drop(*values)

    def settle(self) -> None:
        """Sort what histograms have put aside; to be called a few times a second under load."""
        for family in self.families.values():
            for cell in family.cells.values():
                if isinstance(cell, HistogramCell):
                    cell.settle()

    def take(self) -> Snapshot:
        """All values as they are now."""
        for callback in self._callbacks:
            callback()
        return Snapshot(
            process=self.process,
            pid=os.getpid(),
            written=time.monotonic(),
            families=[family.snapshot() for family in self.families.values()],
        )

    def snapshot(self) -> bytes:
        """All values as they are now, as msgpack."""
        return encode(self.take())

    def resume(self, earlier: Snapshot) -> None:
        """Go on from the counters of *earlier*, so that totals outlive a restarted process."""
        for family in earlier.families:
            own = self.families.get(family.name)
            if own is not None:
                own.resume(family)

    def _counter(
        self, name: str, help_text: str, *labels: str, resumes: bool = True
    ) -> Family[SumCell]:
        family = Family(
            name, help_text, labels,
            kind="counter", make=SumCell, models=self.models, resumes=resumes,
        )  # fmt: skip
        self.families[name] = family
        return family

    def _gauge(
        self, name: str, help_text: str, *labels: str, across: Across = "sum"
    ) -> Family[GaugeCell]:
        family = Family(
            name, help_text, labels,
            kind="gauge", make=GaugeCell, models=self.models, across=across,
        )  # fmt: skip
        self.families[name] = family
        return family

    def _histogram(
        self, name: str, help_text: str, *labels: str, bounds: tuple[float, ...] = REQUEST_SECONDS
    ) -> Family[HistogramCell]:
        family = Family(
            name, help_text, labels,
            kind="histogram", make=partial(HistogramCell, bounds), models=self.models,
            bounds=bounds, resumes=True,
        )  # fmt: skip
        self.families[name] = family
        return family
