"""The secret key, webhook tokens, and looking again before a token is called unknown."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from deploy.errors import LiveDeskError
from deploy.secrets import Secrets, load_secrets
from deploy.settings import Settings
from ingress.directory import Recheck
from providers.address import webhook_token


def test_a_token_has_256_bits_and_depends_on_key_channel_and_rotation() -> None:
    token = webhook_token(b"key", "desk")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert token == webhook_token(b"key", "desk", 0)
    assert (
        len({token, webhook_token(b"key", "desk2"), webhook_token(b"key2", "desk"), webhook_token(b"key", "desk", 1)})
        == 4
    )


def test_encrypted_text_is_read_with_the_same_key_only() -> None:
    secrets = Secrets(Fernet.generate_key())
    stored = secrets.encrypt("señal")
    assert "señal" not in stored
    assert secrets.decrypt(stored) == "señal"
    with pytest.raises(LiveDeskError, match="another key"):
        Secrets(Fernet.generate_key()).decrypt(stored)


def test_the_key_of_the_environment_wins(tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    assert load_secrets(Settings(data_dir=tmp_path, secret_key=SecretStr(key))).key == key
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_at_once_get_one_key_that_only_the_owner_can_read(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new", secret_key=None)
    with ThreadPoolExecutor(8) as pool:
        keys = {secrets.key for secrets in pool.map(load_secrets, [settings] * 8)}
    (file,) = settings.data_dir.iterdir()
    assert keys == {file.read_text().strip()}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_holds_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("oops")
    with pytest.raises(LiveDeskError, match=r"secret\.key does not hold a key"):
        load_secrets(Settings(data_dir=tmp_path, secret_key=None))


async def test_a_recheck_that_is_asked_during_another_is_a_later_one() -> None:
    begun, looks = asyncio.Event(), 0
    finish = asyncio.Event()

    async def catch_up() -> None:
        nonlocal looks
        looks += 1
        begun.set()
        if looks == 1:
            await finish.wait()

    recheck = Recheck(catch_up, interval=0.01)
    first = asyncio.create_task(recheck())
    await begun.wait()
    assert await asyncio.gather(*(recheck() for _ in range(50))) == [True] * 50
    assert looks == 2
    finish.set()
    assert await first


async def test_a_look_that_fails_or_hangs_says_that_it_does_not_know() -> None:
    async def failing() -> None:
        raise ConnectionError

    async def hanging() -> None:
        await asyncio.Event().wait()

    assert not await Recheck(failing)()
    assert not await Recheck(hanging, interval=0.01, deadline=0.05)()
