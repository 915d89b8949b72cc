"""The control API as the commands call it."""

import asyncio
import io
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from aiohttp import ClientError, ClientSession, ClientTimeout

from deploy.errors import LiveDeskError
from deploy.secrets import KEY_FILE, load_secrets
from deploy.settings import Settings

ApiOption = Annotated[str, typer.Option("--api", envvar="LIVEDESK_API_URL", help="Where the control API listens.")]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="LIVEDESK_TOKEN_FILE",
        help="A file with an API token. Else LIVEDESK_TOKEN or, where the installation's key is, its own.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")]
DEFAULT_API = "http://127.0.0.1:8081"

Json = dict[str, Any]

_TOTAL_S: Final = 60
_UPLOAD_S: Final = 300
"""Seconds: a file takes longer, and may have to wait until others are read."""


class Refused(LiveDeskError):
    """The API refuses a call. status: of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Calls of one command. token_file: None: as the option's help says."""

    def __init__(self, settings: Settings, url: str, token_file: Path | None) -> None:
        self._url, self._token = url.rstrip("/"), _token(settings, token_file)

    def call(self, method: str, path: str, body: object = None, **query: str) -> Json:
        """The answer to a call. Raises LiveDeskError, with what the API says is wrong."""
        return asyncio.run(self._call(method, path, query, {"json": body}, _TOTAL_S))

    def upload(self, path: str, file: bytes, **query: str) -> Json:
        """The answer to a PUT of a file. Raises LiveDeskError, as `call` does."""
        return asyncio.run(self._call("PUT", path, query, {"data": io.BytesIO(file)}, _UPLOAD_S))

    async def _call(self, method: str, path: str, query: dict[str, str], body: Json, total_s: float) -> Json:
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=total_s)) as session,
                session.request(method, self._url + path, params=query, headers=headers, **body) as response,
            ):
                answer = orjson.loads(await response.read() or b"{}")
                if response.status >= 400:
                    raise _refused(answer, response.status)
                return dict(answer)
        except (ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise LiveDeskError(
                f"The control API at {self._url} gave no answer ({type(error).__name__}).",
                "Is it running (livedesk up, or livedesk desk)? Name another with --api or LIVEDESK_API_URL.",
            ) from None


def _token(settings: Settings, file: Path | None) -> str:
    if file is not None:
        try:
            return file.read_text().strip()
        except OSError as error:
            raise LiveDeskError(f"The token file {file} can't be read: {error.strerror}.") from None
    if settings.token is not None:
        return settings.token.get_secret_value()
    if settings.secret_key is None and not (settings.data_dir / KEY_FILE).exists():
        raise LiveDeskError(
            "There is no API token to call with.",
            "Set LIVEDESK_TOKEN, or name a file with --token-file. Who has the installation's key makes one: "
            "livedesk token create.",
        )
    return load_secrets(settings).own_token


def _refused(answer: Json, status: int) -> Refused:
    lines = [str(answer.get("detail") or f"the API answered HTTP {status}")]
    lines += [f"  {error['field'] or 'request'}: {error['message']}" for error in answer.get("errors", ())]
    return Refused("\n".join(lines), status)


def show(answer: Json, *, as_json: bool, text: str) -> None:
    """Print the answer: as JSON, or as text."""
    typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() if as_json else text)
