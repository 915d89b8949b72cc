"""Every metric of ingress, on one page. Labels hold outcomes and channel ids only: no tokens, no numbers."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5)
_MAX_KEPT = 1000


class Spool(Protocol):
    """What can be measured of a spool. spooled: since the start; oldest_seconds: since the oldest record came."""

    @property
    def spooled(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def oldest_seconds(self) -> float: ...


class Metrics:
    """The metrics of one application, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.callbacks = Counter(
            "livedesk_ingress_callbacks",
            "Callbacks by outcome: durable, or why not. Without a channel: before it was known, malformed requests too",
            ["channel", "outcome"],
            registry=self.registry,
        )
        self.durable_seconds = Histogram(
            "livedesk_ingress_durable_seconds",
            "From the whole body until Kafka, or the spool, had it",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.body_bytes = Counter("livedesk_ingress_body_bytes", "Bytes of durable bodies", registry=self.registry)
        self._durable: list[tuple[str, float, int]] = []

    def watch_spool(self, spool: Spool) -> None:
        """Show what is in the spool."""
        gauges = {
            "livedesk_ingress_spool_records": ("Callbacks that wait on this machine's disk", lambda: spool.records),
            "livedesk_ingress_spool_bytes": ("What they take there", lambda: spool.size_bytes),
            "livedesk_ingress_spool_oldest_seconds": ("Since when the oldest waits", lambda: spool.oldest_seconds),
            "livedesk_ingress_spooled": ("Callbacks spooled since the start", lambda: spool.spooled),
        }
        for name, (what, value) in gauges.items():
            Gauge(name, what, registry=self.registry).set_function(value)

    def add_durable(self, channel_id: str, seconds: float, size: int) -> None:
        """Count a durable callback: how long it took, and its body's bytes."""
        # Counted a thousand at a time: one at a time takes a tenth of all the work of ingress.
        self._durable.append((channel_id, seconds, size))
        if len(self._durable) >= _MAX_KEPT:
            self._count_durable()

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        self._count_durable()
        return generate_latest(self.registry)

    def _count_durable(self) -> None:
        for channel_id, seconds, size in self._durable:
            self.callbacks.labels(channel_id, "durable").inc()
            self.durable_seconds.observe(seconds)
            self.body_bytes.inc(size)
        self._durable.clear()
