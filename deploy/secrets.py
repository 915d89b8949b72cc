"""The installation's secret key: encrypts credentials at rest and gives channels their webhook tokens.

While it is replaced (deploy/keys.py) there are two: the first one encrypts and signs, the others count, too.
"""

import base64
import hmac
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from deploy.errors import LiveDeskError
from deploy.folders import reason
from deploy.settings import Settings
from media.links import Links
from providers.address import webhook_path, webhook_token
from schemas.settings.channel import ChannelSettings
from schemas.settings.credentials import OtherKey

KEY_FILE: Final = "secret.key"
LOOK_EVERY_S: Final = 1.0
"""A key that is put into the file, or out of it, counts in every process so soon."""


class MissingKey(LiveDeskError, OtherKey):
    """Something is stored with a key that is not there."""


class Secrets:
    """What is done with the keys. keys: as Fernet.generate_key makes them, the newest first. path: of their file, one a
    line, which is looked at again and again; None: they are given, and stay.
    """

    def __init__(self, *keys: bytes, path: Path | None = None) -> None:
        self._path, self._seen, self._looked = path, (0, 0), 0.0
        self._given = keys
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def keys(self) -> Sequence[bytes]:
        """All of them, the newest first."""
        if self._path is not None and time.monotonic() - self._looked >= LOOK_EVERY_S:
            self.look()
        return self._given

    def look(self) -> None:
        """Look at the file now. While it can't be read, what was read before counts."""
        if self._path is None:
            return
        self._looked = time.monotonic()
        try:
            stat = self._path.stat()
            if (stat.st_ino, stat.st_mtime_ns) == self._seen:
                return
            keys = tuple(self._path.read_bytes().split())
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except (OSError, ValueError):
            return
        self._given, self._seen = keys, (stat.st_ino, stat.st_mtime_ns)

    @property
    def key(self) -> str:
        """The keys themselves, for the processes that must share them: LIVEDESK_SECRET_KEY."""
        return ",".join(key.decode() for key in self.keys())

    @property
    def variables(self) -> dict[str, str]:
        """What a process of the same data folder must be given to have the same keys."""
        return {} if self._path is not None else {"LIVEDESK_SECRET_KEY": self.key}

    def encrypt(self, text: str) -> str:
        """The text as it may be stored; never twice the same."""
        self.look()
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """The inverse of encrypt. Raises MissingKey."""
        try:
            return self._fernet.decrypt(stored).decode()
        except InvalidToken:
            self.look()
        try:
            return self._fernet.decrypt(stored).decode()
        except InvalidToken:
            raise MissingKey(
                "The stored credentials of a channel can't be read: they were encrypted with another key.",
                "Set LIVEDESK_SECRET_KEY to the key of this installation (on a laptop: the file secret.key in "
                "LIVEDESK_DATA_DIR).",
            ) from None

    @property
    def own_token(self) -> str:
        """The API token of whoever has the key: they could read and write everything anyway. It goes with the key."""
        return self.own_tokens()[0]

    def own_tokens(self) -> Sequence[str]:
        """One of each key."""
        digests = (hmac.digest(key, b"api token", "sha256") for key in self.keys())
        return ["ldk_" + base64.urlsafe_b64encode(digest).decode().rstrip("=") for digest in digests]

    def webhook_token(self, channel_id: str, rotation: int = 0) -> str:
        """The channel's webhook token, after so many replacements."""
        return self.webhook_tokens(channel_id, rotation)[0]

    def webhook_tokens(self, channel_id: str, rotation: int = 0) -> Sequence[str]:
        """One of each key: all count."""
        return [webhook_token(key, channel_id, rotation) for key in self.keys()]

    @property
    def media_links(self) -> Links:
        """Makes and checks links to stored files."""
        return Links(self.keys)

    def webhook_url(self, base_url: str, channel: ChannelSettings) -> str:
        """Where the provider posts the channel's callbacks, below a base URL of ingress."""
        return base_url.rstrip("/") + webhook_path(
            channel.provider, self.webhook_token(channel.id, channel.webhook_rotation)
        )


def load_secrets(settings: Settings) -> Secrets:
    """The keys of LIVEDESK_SECRET_KEY or, without it, of data_dir/secret.key, made once. Raises LiveDeskError."""
    if settings.secret_key is not None:
        return Secrets(*settings.secret_key.get_secret_value().encode().split(b","))
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            _generate(path)
        return Secrets(*read_keys(path), path=path)
    except OSError as error:
        raise LiveDeskError(
            f"The key file {path} can't be read or written: {reason(error)}.",
            "Set LIVEDESK_SECRET_KEY, or LIVEDESK_DATA_DIR to a folder of yours.",
        ) from error
    except ValueError:
        raise LiveDeskError(
            f"{path} does not hold a key.", "Put back the file that was there, or set LIVEDESK_SECRET_KEY."
        ) from None


def read_keys(path: Path) -> list[bytes]:
    """The keys of a file. Raises OSError, and ValueError: one of them is none."""
    keys = path.read_bytes().split()
    MultiFernet([Fernet(key) for key in keys])
    if not keys:
        raise ValueError("no key")
    return keys


def replace_keys(path: Path, keys: Sequence[bytes]) -> None:
    """Put other keys into the file, all or none. Raises OSError."""
    scratch = _scratch(path, keys)
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _generate(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = _scratch(path, [Fernet.generate_key()])
    try:
        # Whole or not at all; of several processes that start at once the first one's key stays.
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


def _scratch(path: Path, keys: Sequence[bytes]) -> Path:
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # readable by its owner only
    with os.fdopen(descriptor, "wb") as file:
        file.write(b"".join(key + b"\n" for key in keys))
        file.flush()
        os.fsync(descriptor)
    return Path(scratch)
