"""What a batch holds."""

from datetime import UTC, datetime, timedelta

import orjson

from agents.stage import Context, Decision, Rows, Stage, TimerFired
from bus.connection import KafkaConnection
from schemas.event import Event
from schemas.record import Record
from schemas.topics import TIMERS
from streams.clock import wall_clock
from streams.runtime.metrics import Metrics
from streams.runtime.processor import Processor, topics_of
from streams.runtime.settings_store import SettingsStore
from streams.runtime.shared import Environment
from streams.state import Changes, TaskState
from streams.step import step
from tests.broker.counting import NUMBERS, Number

AT = datetime(2026, 5, 18, 6, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def decide(_: Rows, event: Event | TimerFired, ctx: Context) -> Decision:
    """A record sets a timer n seconds on; the first timer sets another one a second later."""
    if isinstance(event, Number):
        return Decision(timers={"first": ctx.now + event.n * SECOND})
    first = isinstance(event, TimerFired) and event.name == "first"
    return Decision(timers={"second": ctx.now + SECOND}) if first else Decision()


STAGE = Stage("ticking", input=NUMBERS, outputs=(), decide=decide)


def test_firings_at_one_position_have_ids_of_their_own() -> None:
    env = Environment(KafkaConnection(bootstrap_servers="127.0.0.1:1"), "", SettingsStore(str), wall_clock, Metrics())
    processor, state = Processor(env, STAGE, 0), TaskState()
    processor.partitions = {topic.full_name(""): (0,) for topic in topics_of(STAGE)}
    for key, n in (("a", 1), ("b", 2)):
        changes = Changes(state)
        changes.update(key, step(STAGE, state, Record(key, "/test", AT, key, Number(n=n)), env.settings.lookup).rows)
        changes.commit(state)
    ids, dues = [], []
    # The second firing of a is due when b was: at the same time and, nothing having come in, at the same offset.
    while due := state.due(AT + 2 * SECOND, limit=100):
        batch = processor.fire(due, state, offset=7)
        batch.changes.commit(state)
        ((_, value, _),) = batch.messages[TIMERS.full_name(""), 0]
        assert value is not None
        ids.append(orjson.loads(value)["id"])
        dues.append(due)
    assert [[key for _, key in due] for due in dues] == [["a", "b"], ["a"]]
    assert dues[0][-1][0] == dues[1][-1][0]
    assert len(set(ids)) == 2
