"""A worker as `livedesk worker --all` runs it, which kills or stops itself on command (POST /order).

`python -m tests.chaos.worker --instance-id NAME --port PORT [--order JSON]`
"""

import argparse
import asyncio
import signal
import sys
from dataclasses import replace

import uvloop
from aiohttp import web

from deploy.processes.logs import configure_logging
from deploy.processes.worker import AtWork, health_app, open_environment
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from streams.topology import TOPOLOGY
from tests.chaos.points import Order, Trigger


def ordering(trigger: Trigger) -> list[web.RouteDef]:
    """POST /order arms the trigger, DELETE /order disarms it and tells whether it was still armed."""

    async def arm(request: web.Request) -> web.Response:
        trigger.order = Order.model_validate_json(await request.read())
        return web.Response(status=204)

    async def disarm(_: web.Request) -> web.Response:
        armed, trigger.order = trigger.order is not None, None
        return web.json_response({"armed": armed})

    return [web.post("/order", arm), web.delete("/order", disarm)]


async def main(instance_id: str, port: int, order: Order | None) -> None:
    """Run every stage until SIGTERM."""
    settings = load_settings()
    trigger = Trigger(order)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_environment(settings, load_secrets(settings)) as plain:
        stages = {request: stage.name for stage in TOPOLOGY for request in stage.effects}
        performers = {request: trigger.perform(stages[request], one) for request, one in plain.performers.items()}
        env = replace(plain, new_producer=trigger.new_producer(plain.prefix), performers=performers)
        at_work = AtWork()
        app = health_app(lambda: at_work.worker, env.metrics)
        app.add_routes(ordering(trigger))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            await at_work.until(stop, env, TOPOLOGY, instance_id)
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--instance-id", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--order", type=Order.model_validate_json)
    given = parser.parse_args()
    configure_logging()
    sys.exit(uvloop.run(main(given.instance_id, given.port, given.order)))
