"""The metrics of the view. Labels hold names of topics only."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = self._counter("livedesk_desk_records", "Records applied to the view")
        self.ignored = self._counter(
            "livedesk_desk_ignored_records", "Records of types that this version does not know"
        )
        self.failures = self._counter("livedesk_desk_failed_records", "Records that could not be applied")
        self.lag = Gauge(
            "livedesk_desk_lag_records",
            "From what the view has read to the end of the topic",
            ("topic",),
            registry=self.registry,
        )
        self.transactions = Histogram(
            "livedesk_desk_transaction_seconds",
            "From a batch's first row to its commit",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def _counter(self, name: str, what: str) -> Counter:
        return Counter(name, what, ("topic",), registry=self.registry)
