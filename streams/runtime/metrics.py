"""Every metric of the stages, on one page. Labels hold names of ours only: nothing of customers."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics(Collector):
    """The metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = self._counter("livedesk_records", "Records decided about", "stage")
        self.timers = self._counter("livedesk_timers", "Keys whose timers fired", "stage")
        self.effects = self._counter("livedesk_effects", "Effects ended: done, unknown, postponed", "stage", "outcome")
        self.dead_letters = self._counter("livedesk_dead_letters", "Records set aside", "stage", "reason")
        self.batches = self._seconds("livedesk_batch_seconds", "From a batch's decisions to its commit", "stage")
        self.transactions = self._seconds("livedesk_transaction_seconds", "From begin to commit of a transaction")
        self.restored = self._counter("livedesk_restored_records", "Records of changelogs that were read", "stage")
        self.lag = self._gauge(
            "livedesk_lag_records",
            "From a stage's commit to its input's end, by Kafka",
            "stage",
            "partition",
        )
        self.tasks = self._gauge("livedesk_tasks_ready", "Tasks of this process that are restored", "stage")
        self._paused: Callable[[], Mapping[str, str]] = dict
        self.registry.register(self)

    def watch_paused(self, paused: Callable[[], Mapping[str, str]]) -> None:
        """Where to read the channels whose sending is paused, and why, when a page is asked for."""
        self._paused = paused

    def collect(self) -> Iterable[Metric]:
        """The channels whose sending is paused now (prometheus_client's collector protocol)."""
        family = GaugeMetricFamily("livedesk_channel_paused", "1 while sending is paused", labels=["channel", "cause"])
        for channel, cause in self._paused().items():
            family.add_metric([channel, cause], 1)
        yield family

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self.registry)

    def _seconds(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(name, what, labels, buckets=_SECONDS, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, registry=self.registry)
