"""Every metric of ingress, on one page. Labels hold outcomes and channel ids only: no tokens, no numbers."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5)


class Metrics:
    """The metrics of one application, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.callbacks = Counter(
            "livedesk_ingress_callbacks",
            "Callbacks by outcome: durable, not_durable, empty, echo, unknown_token, too_large, wrong_type, unreadable",
            ["channel", "outcome"],
            registry=self.registry,
        )
        self.durable_seconds = Histogram(
            "livedesk_ingress_durable_seconds",
            "From the whole body until Kafka acknowledged it",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.body_bytes = Counter("livedesk_ingress_body_bytes", "Bytes of recorded bodies", registry=self.registry)
        self.callback = cache(self.callbacks.labels)
