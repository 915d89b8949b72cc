"""What a fetch is reported to be of: the consumer's assignment, whatever the group's coordinator is about."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.types import TP

from streams.runtime.faust_overrides import ConsumerThread, Fetched

NUMBERS = TopicPartition("numbers", 0)


class Fetcher:
    """A fetcher that has nothing."""

    _closed = False

    def __init__(self, subscriptions: SubscriptionState) -> None:
        self._subscriptions = SimpleNamespace(fetch_context=self._context)

    @contextmanager
    def _context(self) -> Iterator[None]:
        yield

    async def fetched_records(self, _: set[TopicPartition], timeout: float) -> dict[TopicPartition, list[object]]:
        return {}


class Consumer:
    """aiokafka's consumer as far as a fetch looks at it, on its own SubscriptionState."""

    _closed = False

    def __init__(self) -> None:
        self._subscription = SubscriptionState()
        self._subscription.subscribe(topics={NUMBERS.topic})
        self._coordinator = SimpleNamespace(generation=1)
        self._fetcher = Fetcher(self._subscription)

    def assign(self) -> None:
        self._subscription.begin_reassignment()
        self._subscription.assign_from_subscribed([NUMBERS])

    def at(self, position: int) -> None:
        self._subscription.subscription.assignment.state_value(NUMBERS).seek(position)


def thread_of(consumer: Consumer) -> ConsumerThread:
    thread = object.__new__(ConsumerThread)
    thread._consumer, thread._fetched_to, thread._assignment, thread._number = consumer, {}, None, 0
    return thread


async def fetch(thread: ConsumerThread) -> Fetched:
    (fetched,) = await thread.fetch({TP(*NUMBERS)}, 0)
    return fetched


async def test_a_fetch_is_of_the_assignment_however_far_the_group_is_ahead() -> None:
    consumer = Consumer()
    thread = thread_of(consumer)
    consumer.assign()
    consumer.at(5)
    first = await fetch(thread)
    # A join is answered, and the next assignment not there yet: what is reported now is still of the last one.
    consumer._coordinator.generation = 2
    consumer.at(8)
    second = await fetch(thread)
    consumer.assign()
    consumer.at(5)
    third = await fetch(thread)
    assert (first.assignment, first.after, first.position) == (1, None, 5)
    assert (second.assignment, second.after, second.position) == (1, 5, 8)
    assert (third.assignment, third.after, third.position) == (2, None, 5)
    assert thread.assignment_number() == 2
