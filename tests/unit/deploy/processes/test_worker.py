"""What a worker's sends tell a provider about us, over real HTTP."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from deploy.processes.worker import open_environment
from deploy.secrets import load_secrets
from deploy.settings import load_settings
from providers.registry import base_urls
from schemas.effects import SendRequest
from streams.effects.contract import Done
from tests.unit.providers.twilio.test_callbacks import CHANNEL
from tests.unit.providers.whatsapp_cloud.test_sending import request


@pytest.mark.parametrize("public_url", ["https://desk.example/base/", None])
async def test_statuses_are_asked_for_at_the_public_address_and_nowhere_without_one(
    public_url: str | None, tmp_path: Path
) -> None:
    posted = []

    async def take(called: web.Request) -> web.Response:
        posted.append(parse_qs(await called.text()))
        return web.json_response({"sid": "SM5"}, status=201)

    app = web.Application()
    app.router.add_post("/2010-04-01/Accounts/{sid}/Messages.json", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    twilio = f"http://127.0.0.1:{runner.addresses[0][1]}"
    settings = load_settings().model_copy(
        update={"data_dir": tmp_path, "provider_urls": base_urls() | {"twilio": twilio}, "public_url": public_url}
    )
    secrets = load_secrets(settings)
    async with open_environment(settings, secrets) as env:
        env.settings.add(CHANNEL)
        outcome = await env.performers[SendRequest](request())
    await runner.cleanup()
    assert isinstance(outcome, Done)
    (form,) = posted
    if public_url is None:
        assert "StatusCallback" not in form
        return
    back = urlsplit(form["StatusCallback"][0])
    assert f"{back.scheme}://{back.netloc}" == "https://desk.example"
    assert back.path == f"/base/webhooks/twilio/{secrets.webhook_token(CHANNEL.id)}/status"
    assert parse_qs(back.query) == {"id": ["m1"], "conversation": ["c:34655000001"]}
