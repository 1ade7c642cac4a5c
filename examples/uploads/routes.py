"""Files of any size through little memory: hashed and written while they arrive, sent in pieces.

    curl -T big.bin http://127.0.0.1:8080/files/big.bin
    curl http://127.0.0.1:8080/files/big.bin | sha256sum

UPLOAD_DIR says where files are kept; without it, in a folder that is removed at the end.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from siphon import http, log

PIECE = 65_536  # bytes held of one download
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
GIVEN = os.environ.get("UPLOAD_DIR")
FOLDER = Path(GIVEN or Path(tempfile.gettempdir(), f"siphon-uploads-{os.getpid()}"))


def place_of(req):
    """Return the path of the file that is meant, or None: `%2F` and `..` arrive here decoded, and must lead nowhere."""
    name = req.path_params["name"]
    return FOLDER / name if NAME.fullmatch(name) else None


def receive(piece, file, digest):
    """Write and hash one piece; runs on a thread, since a disk may be slow."""
    file.write(piece)
    digest.update(piece)


@http.route("/files/{name}", methods=["PUT"], stream=True, max_body_bytes=1 << 30, timeout_ms=600_000)
async def upload(req):
    path = place_of(req)
    if path is None:
        return http.Response(400, body="a name has letters, digits, '.', '_' and '-'\n")
    digest = hashlib.sha256()
    size = 0
    is_new = not path.exists()
    # The file gets its name only when it is whole: a client that leaves half-way leaves nothing behind.
    with tempfile.NamedTemporaryFile(dir=FOLDER, prefix=".part-", delete=False) as part:
        try:
            async for piece in req.stream():
                size += len(piece)
                await asyncio.to_thread(receive, piece, part, digest)
            part.close()
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise
    body = json.dumps({"name": path.name, "bytes": size, "sha256": digest.hexdigest()})
    return http.Response(201 if is_new else 200, {"content-type": "application/json"}, body)


async def pieces(file):
    """Yield the file; the next piece is read when the client has taken the one before."""
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


@http.route("/files/{name}", methods=["GET"])
async def download(req):
    path = place_of(req)
    try:
        file = None if path is None else path.open("rb")
    except OSError:
        file = None
    if file is None:
        return http.Response(404, body="no such file\n")
    size = os.fstat(file.fileno()).st_size
    headers = {"content-type": "application/octet-stream", "content-length": str(size)}
    if req.method == "HEAD":
        file.close()
        return http.Response(200, headers)
    return http.Response(200, headers, pieces(file))


@http.on_startup
def make_the_folder():
    FOLDER.mkdir(mode=0o700, exist_ok=GIVEN is not None)


@http.on_shutdown
def remove_the_folder():
    if GIVEN is None:
        shutil.rmtree(FOLDER, ignore_errors=True)
        log.info("the uploads were removed")
