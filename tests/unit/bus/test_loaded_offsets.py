"""What a coordinator that is still reading its log tells of a group's offsets is not believed."""

from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchResponse_v3

from bus.aiokafka_fixes import believe_loaded_offsets_only

NUMBERS = TopicPartition("numbers", 0)
LOADING = OffsetFetchResponse_v3(0, [], GroupLoadInProgressError.errno)
LOADED = OffsetFetchResponse_v3(0, [("numbers", [(0, 50, "", 0)])], 0)


async def test_a_consumer_asks_again_until_the_offsets_are_loaded() -> None:
    answers = [LOADING, LOADING, LOADED]

    async def send(node_id: int, request: Any, **_: Any) -> OffsetFetchResponse_v3:
        return answers.pop(0)

    async def always(answer: object, *_: object, **__: object) -> object:
        return answer

    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1", group_id="readers")
    client = consumer._client
    client.send, client.coordinator_lookup, client.ready = send, partial(always, 1), partial(always, True)
    believe_loaded_offsets_only(consumer)
    coordinator = GroupCoordinator(client, consumer._subscription, group_id="readers", retry_backoff_ms=1)
    try:
        offsets = await coordinator.fetch_committed_offsets([NUMBERS])
    finally:
        await coordinator.close()
        await consumer.stop()
    assert {tp: known.offset for tp, known in offsets.items()} == {NUMBERS: 50}
