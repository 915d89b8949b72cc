"""The installation's one secret key: encrypts credentials at rest and gives channels their webhook tokens."""

import base64
import hmac
import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from deploy.errors import LiveDeskError
from deploy.folders import reason
from deploy.settings import Settings
from media.links import Links
from providers.address import webhook_path, webhook_token
from schemas.settings.channel import ChannelSettings

KEY_FILE = "secret.key"


class Secrets:
    """What is done with the key. key: as Fernet.generate_key makes it."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._fernet = Fernet(key)

    @property
    def key(self) -> str:
        """The key itself, for the processes that must share it."""
        return self._key.decode()

    def encrypt(self, text: str) -> str:
        """The text as it may be stored; never twice the same."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """The inverse of encrypt. Raises LiveDeskError: stored with another key."""
        try:
            return self._fernet.decrypt(stored).decode()
        except InvalidToken:
            raise LiveDeskError(
                "The stored credentials of a channel can't be read: they were encrypted with another key.",
                "Set LIVEDESK_SECRET_KEY to the key of this installation (on a laptop: the file secret.key in "
                "LIVEDESK_DATA_DIR).",
            ) from None

    @property
    def own_token(self) -> str:
        """The API token of whoever has the key: they could read and write everything anyway. It goes with the key."""
        digest = hmac.digest(self._key, b"api token", "sha256")
        return "ldk_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def webhook_token(self, channel_id: str, rotation: int = 0) -> str:
        """The channel's webhook token, after so many replacements."""
        return webhook_token(self._key, channel_id, rotation)

    @property
    def media_links(self) -> Links:
        """Makes and checks links to stored files."""
        return Links(self._key)

    def webhook_url(self, base_url: str, channel: ChannelSettings) -> str:
        """Where the provider posts the channel's callbacks, below a base URL of ingress."""
        return base_url.rstrip("/") + webhook_path(
            channel.provider, self.webhook_token(channel.id, channel.webhook_rotation)
        )


def load_secrets(settings: Settings) -> Secrets:
    """The key of LIVEDESK_SECRET_KEY or, without one, of data_dir/secret.key, made once. Raises LiveDeskError."""
    if settings.secret_key is not None:
        return Secrets(settings.secret_key.get_secret_value().encode())
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            _generate(path)
        return Secrets(path.read_bytes().strip())
    except OSError as error:
        raise LiveDeskError(
            f"The key file {path} can't be read or written: {reason(error)}.",
            "Set LIVEDESK_SECRET_KEY, or LIVEDESK_DATA_DIR to a folder of yours.",
        ) from error
    except ValueError:
        raise LiveDeskError(
            f"{path} does not hold a key.", "Put back the file that was there, or set LIVEDESK_SECRET_KEY."
        ) from None


def _generate(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # readable by its owner only
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(descriptor)
        # Whole or not at all; of several processes that start at once the first one's key stays.
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        Path(scratch).unlink()
