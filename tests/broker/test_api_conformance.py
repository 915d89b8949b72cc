"""The control API does what its OpenAPI document says, whatever it is sent, and by whom.

API_EXAMPLES=500 in the environment: so many requests of each route, and others each time.
"""

import asyncio
import os
from collections.abc import Iterator
from random import Random
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import settings as generation
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bus.connection import KafkaConnection
from deploy.settings import load_settings
from desk.api.table import described
from schemas.events.access import Role
from tests.support.desk_process import Desk, desk_process

EXAMPLES = int(os.environ.get("API_EXAMPLES", "0"))
DOCUMENT = schemathesis.openapi.from_dict(described())


@pytest.fixture(scope="module")
def desk(kafka: KafkaConnection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    given = {"kafka": kafka, "topic_prefix": f"t{uuid4().hex[:8]}.", "data_dir": folder}
    opened = desk_process(load_settings().model_copy(update=given), folder)
    # In a thread, as the provider in it answers while a test waits.
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result()
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@DOCUMENT.given(role=st.sampled_from(Role), seed=st.integers(0, 9))
@DOCUMENT.parametrize()
@generation(
    max_examples=EXAMPLES or 5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=not EXAMPLES,
    database=None,
)
def test_every_answer_is_one_that_the_document_has(case: Any, role: Role, seed: int, desk: Desk) -> None:
    random, parts = Random(seed), case.meta.components.get(ParameterLocation.PATH)
    for name in case.path_parameters or {}:
        if (case.method, name) == ("DELETE", "channel"):
            continue  # without the channels there is nothing left to ask for
        if name in desk.places and seed and parts.mode is GenerationMode.POSITIVE:
            case.path_parameters[name] = random.choice(desk.places[name])
    headers = {"Authorization": f"Bearer {desk.tokens[role]}"}
    # What a schema can't say, such as that two fields exclude each other, is refused, too.
    case.call_and_validate(base_url=desk.url, headers=headers, excluded_checks=[positive_data_acceptance])
