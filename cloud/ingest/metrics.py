"""What ingest counts."""

from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram

from cloud.ingest.reading import Reading


class IngestMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"fleetwire_ingest_{name}", what, labels, registry=registry)

        self.requests = counter("requests", "Requests by route and status.", "route", "status")
        self.accepted = counter("accepted", "Batches accepted.")
        self.repeated = counter("repeated", "Accepted batches that were in flight or stored already.")
        self.rejected = counter("rejected", "Batches rejected.")
        self.samples = counter("samples", "Samples in accepted batches.")
        self.events = counter("events", "Events stored for senders without a spool.")
        self.live_missed = counter("live_missed", "Batches that could not be published live.")
        self.enrolments = counter("enrolments", "Enrolments by outcome: enrolled, or why refused.", "outcome")
        self.seconds = Histogram(
            "fleetwire_ingest_seconds",
            "Time to answer.",
            ("route",),
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
            registry=registry,
        )
        # Looking up a child takes longer than counting.
        self._requests_of = cache(self.requests.labels)
        self._seconds_of = cache(self.seconds.labels)

    def took(self, reading: Reading, queued: Sequence[bool]) -> None:
        """A request's batches; those that were not queued were in flight."""
        self.accepted.inc(len(reading.taken))
        self.samples.inc(reading.samples)
        if reading.rejected:
            self.rejected.inc(len(reading.rejected))
        if False in queued:
            self.repeated.inc(queued.count(False))

    def answered(self, route: str, status: int, took_s: float) -> None:
        """A request over, or as over, HTTP."""
        self._requests_of(route, status).inc()
        self._seconds_of(route).observe(took_s)
