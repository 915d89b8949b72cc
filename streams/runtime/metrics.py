"""Every metric of the stages, on one page. Labels hold names of ours only: nothing of customers."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_LONG = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120)


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
        agent = ("account", "agent")
        self._ai_calls = self._counter("livedesk_ai_calls", "Calls of models and tools", *agent, "call", "outcome")
        self._ai_tokens = self._counter("livedesk_ai_tokens", "Tokens of models", *agent, "direction")
        self._ai_seconds = self._seconds("livedesk_ai_call_seconds", "Of a model or tool", "call", buckets=_LONG)
        self._paused: Callable[[], Mapping[str, str]] = dict
        self._paused_agents: Callable[[], Mapping[tuple[str, str], str]] = dict
        self.registry.register(self)

    def watch_paused(
        self, paused: Callable[[], Mapping[str, str]], agents: Callable[[], Mapping[tuple[str, str], str]]
    ) -> None:
        """Where to read which channels and AI agents (account, id) are paused, and why, when a page is asked for."""
        self._paused, self._paused_agents = paused, agents

    def count_ai_call(
        self, account: str, agent: str, call: str, outcome: str, seconds: float, tokens_in: int = 0, tokens_out: int = 0
    ) -> None:
        """A call for a GPT agent ended. call: model, tool."""
        self._ai_calls.labels(account, agent, call, outcome).inc()
        self._ai_seconds.labels(call).observe(seconds)
        for direction, tokens in (("in", tokens_in), ("out", tokens_out)):
            if tokens:
                self._ai_tokens.labels(account, agent, direction).inc(tokens)

    def collect(self) -> Iterable[Metric]:
        """What is paused now (prometheus_client's collector protocol)."""
        family = GaugeMetricFamily("livedesk_channel_paused", "1 while sending is paused", labels=["channel", "cause"])
        for channel, cause in self._paused().items():
            family.add_metric([channel, cause], 1)
        yield family
        agents = GaugeMetricFamily(
            "livedesk_ai_paused", "1 while an agent's service is not called", labels=["account", "agent", "cause"]
        )
        for (account, agent), cause in self._paused_agents().items():
            agents.add_metric([account, agent, cause], 1)
        yield agents

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self.registry)

    def _seconds(self, name: str, what: str, *labels: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
        return Histogram(name, what, labels, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, registry=self.registry)
