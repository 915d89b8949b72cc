"""Every metric of the stages, on one page. Labels hold names of ours only: no ids of customers, no texts, no numbers."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "livedesk_records", "Records a stage has decided about", ["stage"], registry=self.registry
        )
        self.timers = Counter("livedesk_timers", "Keys whose timers fired", ["stage"], registry=self.registry)
        self.effects = Counter(
            "livedesk_effects", "Effects ended, by outcome: done, unknown, postponed", ["stage", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.dead_letters = Counter(
            "livedesk_dead_letters", "Records that could not be processed", ["stage", "reason"], registry=self.registry
        )
        self.transactions = Histogram(
            "livedesk_transaction_seconds", "From begin to commit of a transaction", ["stage"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.lag = Gauge(
            "livedesk_lag_records", "Offsets between a stage's commit and its input's end, as Kafka knows them",
            ["stage", "partition"], registry=self.registry,
        )  # fmt: skip
        self.tasks = Gauge(
            "livedesk_tasks_ready", "Tasks of this process that are restored", ["stage"], registry=self.registry
        )
        self.paused_channels = Gauge(
            "livedesk_channel_paused", "1 while sending for the channel is paused (credentials, provider down)",
            ["channel"], registry=self.registry,
        )  # fmt: skip
