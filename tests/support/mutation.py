"""Requests that are none, and any request with some of its bytes changed."""

import os
from random import Random
from urllib.parse import urlsplit

TOKEN_LIKE, TEXT, NUMBER = "planted-token-8u2", "planted text: my parcel is late", "34611555777"
BODY = f'{{"total":1,"rows":[{{"from":"{NUMBER}","text":"{TEXT}"}}]}}'.encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


def head_of(url: str, *, method: bytes = b"POST", version: bytes = b" HTTP/1.1") -> bytes:
    path = urlsplit(url).path.encode()
    return method + b" " + path + version + b"\r\nHost: x\r\nContent-Type: application/json\r\n"


def malformed(url: str) -> dict[str, bytes]:
    """Requests that are none, by what is wrong with them."""
    head = head_of(url)
    whole = head + LENGTH + b"\r\n" + BODY
    path = urlsplit(url).path.encode()
    return {
        "lines end in LF": whole.replace(b"\r\n", b"\n"),
        "one header ends in LF": head + b"X: a\n" + LENGTH + b"\r\n" + BODY,
        "lines end in CR": whole.replace(b"\r\n", b"\r"),
        "no version": b"POST " + path + b"\r\n\r\n",
        "version 0.9": head_of(url, version=b" HTTP/0.9") + LENGTH + b"\r\n" + BODY,
        "version 1.2": head_of(url, version=b" HTTP/1.2") + LENGTH + b"\r\n" + BODY,
        "version 2.0": head_of(url, version=b" HTTP/2.0") + LENGTH + b"\r\n" + BODY,
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64),
        "length and chunks": head + LENGTH + CHUNKED + b"\r\n" + CHUNK,
        "chunks and length": head + CHUNKED + LENGTH + b"\r\n" + CHUNK,
        "two equal lengths": head + LENGTH + LENGTH + b"\r\n" + BODY,
        "two lengths": head + LENGTH + b"Content-Length: 5\r\n\r\n" + BODY,
        "list of lengths": head + b"Content-Length: %d, %d\r\n\r\n" % (len(BODY), len(BODY)) + BODY,
        "signed length": head + b"Content-Length: +%d\r\n\r\n" % len(BODY) + BODY,
        "negative length": head + b"Content-Length: -1\r\n\r\n" + BODY,
        "blank before the colon": head + b"Content-Length : %d\r\n\r\n" % len(BODY) + BODY,
        "huge length": head + b"Content-Length: 99999999999999999999\r\n\r\n" + BODY,
        "other coding": head + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNK,
        "chunks, then more": head + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNK,
        "two codings": head + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n" + CHUNK,
        "chunks in 1.0": head_of(url, version=b" HTTP/1.0") + CHUNKED + b"\r\n" + CHUNK,
        "chunk lines end in LF": head + CHUNKED + b"\r\n" + CHUNK.replace(b"\r\n", b"\n"),
        "signed chunk": head + CHUNKED + b"\r\n-" + CHUNK,
        "chunk in 0x": head + CHUNKED + b"\r\n0x" + CHUNK,
        "huge chunk": head + CHUNKED + b"\r\nfffffffffffffffff\r\n" + BODY,
        "short chunk": head + CHUNKED + b"\r\n5\r\n" + BODY + b"\r\n0\r\n\r\n",
        "folded header": head + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + BODY,
        "NUL in a header": head + b"X: a\x00b\r\n" + LENGTH + b"\r\n" + BODY,
        "no colon": head + b"X\r\n" + LENGTH + b"\r\n" + BODY,
        "no host": head.replace(b"Host: x\r\n", b"") + LENGTH + b"\r\n" + BODY,
        "two hosts": head + b"Host: y\r\n" + LENGTH + b"\r\n" + BODY,
        "blank in the path": whole.replace(b" HTTP", b" x HTTP", 1),
        "long request line": whole.replace(b" HTTP", b"?" + b"a" * 20_000 + b" HTTP", 1),
        "long header": head + b"X: " + b"a" * 20_000 + b"\r\n" + LENGTH + b"\r\n" + BODY,
        "many headers": head + b"X: a\r\n" * 300 + LENGTH + b"\r\n" + BODY,
        "small letters": whole.replace(b"POST", b"post", 1),
    }


def mutated(random: Random, data: bytes) -> bytes:
    """The bytes with some of them changed, taken out, put in, doubled or moved."""
    content = bytearray(data)
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(content) + 1)
        match random.randrange(5):
            case 0 if at < len(content):
                content[at] = random.randrange(256)
            case 1:
                del content[at : at + random.randint(1, 20)]
            case 2:
                content[at:at] = random.choice(
                    [b"\r\n", b"\n", b"\0", b"\xff\xfe", b":", b" ", b"\t", random.randbytes(5)]
                )
            case 3:
                content[at:at] = content[at : at + random.randint(1, 60)]
            case _:
                end = random.randrange(len(content) + 1)
                content[at:at] = content[end : end + 30]
    return bytes(content)
