"""The media store: in a folder, and in an S3 bucket that moto's server plays."""

import io
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from media.store import MediaStore, StoredFile, StoreUnavailable, folder_url

KEY = "in/shop/3f-a.jpg"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a bucket, with what is in the environment of whoever uses one."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ALLOW_HTTP", "true")
        with urlopen(Request(f"http://{host}:{port}/files", method="PUT")) as made:
            assert made.status == 200
        yield "s3://files/livedesk"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> MediaStore:
    if request.param == "folder":
        return MediaStore(folder_url(tmp_path / "a folder"))
    return MediaStore(request.getfixturevalue("s3"))


async def read(store: MediaStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.read(key, start, end)])


async def test_a_file_is_kept_as_it_came(store: MediaStore) -> None:
    data = bytes(range(256)) * 40_000
    with tempfile.SpooledTemporaryFile(max_size=1 << 20) as file:
        file.write(data)
        await store.put(KEY, file)
    assert await store.find(KEY) == StoredFile(KEY, len(data))
    assert await read(store, KEY) == data
    assert await read(store, KEY, 254, 258) == b"\xfe\xff\x00\x01"


async def test_a_repetition_takes_the_place_of_what_is_there(store: MediaStore) -> None:
    await store.put(KEY, b"half")
    await store.put(KEY, io.BytesIO(b"whole"))
    assert await read(store, KEY) == b"whole"


@pytest.mark.parametrize(
    "key", ["in/shop/none.jpg", "../secret.key", "in/../x/a.jpg", "secret.key", "in/shop/a/b.jpg", ""]
)
async def test_what_is_not_there_is_not_found(store: MediaStore, key: str) -> None:
    assert await store.find(key) is None


async def test_files_go_once_they_are_old(store: MediaStore) -> None:
    for number in range(3):
        await store.put(f"out/shop/{number}.txt", b"x")
    before = datetime.now(UTC) - timedelta(hours=1)
    assert await store.delete_older(before) == 0
    assert await store.delete_older(datetime.now(UTC) + timedelta(minutes=1)) >= 3
    assert await store.find("out/shop/1.txt") is None
    assert await store.delete_older(datetime.now(UTC) + timedelta(minutes=1)) == 0


async def test_a_store_that_can_t_be_reached_says_so(monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
    store = MediaStore("s3://no-such-bucket/x")
    with pytest.raises(StoreUnavailable):
        await store.put(KEY, b"x")
    with pytest.raises(StoreUnavailable):
        await store.delete_older(datetime.now(UTC))


@pytest.mark.parametrize("url", ["file://relative", "s3://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(StoreUnavailable):
        MediaStore(url)
