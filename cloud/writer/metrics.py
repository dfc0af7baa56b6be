"""What the writer counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class WriterMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, what: str) -> Counter:
            return Counter(f"fleetwire_writer_{name}", what, registry=registry)

        self.batches = counter("batches", "Batches stored for the first time.")
        self.repeats = counter("repeats", "Batches that the ledger knew already.")
        self.samples = counter("samples", "Samples stored.")
        self.aside = counter("aside", "Rows set aside because their times cannot be.")
        self.erased = counter("erased", "Rows dropped because they fell into an erased span.")
        self.buried = counter("buried", "Batches put to the dead letters.")
        self.strangers = counter("strangers", "Batches of vehicles that are not registered.")
        self.zombies = counter("zombies", "Connections that slept with locks in hand, ended.")
        self.database_errors = counter("database_errors", "Attempts that the database did not take.")
        self.bus_errors = counter("bus_errors", "Calls that Redis did not answer.")
        self.commit_seconds = Histogram(
            "fleetwire_writer_commit_seconds",
            "Time of a group's transaction.",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
            registry=registry,
        )
        self.age_seconds = Histogram(
            "fleetwire_writer_age_seconds",
            "From the queueing of a group's oldest batch to its commit.",
            buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600, 3600),
            registry=registry,
        )
        self.shards = Gauge("fleetwire_writer_shards", "Shards that this writer holds.", registry=registry)
        self.backlog = Gauge(
            "fleetwire_writer_backlog", "Entries in the streams of these shards, not yet stored.", registry=registry
        )
