import asyncio
import json
import socket

import pytest

from siphon_http.errors import BindError
from siphon_http.host.admin import CONNECTIONS, HEAD_BYTES, Admin
from siphon_http.host.config_admin import AdminAuth, AdminConfig, Endpoint, MetricsConfig, PrometheusConfig
from siphon_http.host.ledger import COUNTER, Series
from tests.stage import until

NUMBERS = [Series("jobs_total", "", "Jobs.", COUNTER, (), (3.0,))]


class Rig:
    def __init__(self, **settings):
        self.state = "ready"
        self.numbers = lambda: NUMBERS
        auth = settings.pop("auth", AdminAuth())
        metrics = MetricsConfig(prometheus=PrometheusConfig(**settings))
        self.admin = Admin(
            AdminConfig(listen=Endpoint("127.0.0.1", 0), auth=auth),
            metrics,
            state=lambda: self.state,
            numbers=lambda: self.numbers(),
            stats=lambda: {"workers": 2},
        )

    async def __aenter__(self):
        self.admin.bind()
        await self.admin.serve()
        self.ports = [sock.getsockname()[1] for sock, _ in self.admin._sockets]
        return self

    async def __aexit__(self, *error):
        self.admin.close()
        await asyncio.sleep(0)

    async def send(self, data, port=0):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[port])
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        await writer.wait_closed()
        return answer

    async def get(self, path, *fields, port=0, method="GET"):
        lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close", *fields]
        head, _, body = (await self.send("\r\n".join([*lines, "", ""]).encode(), port)).partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode().lower(), body


async def test_health_and_readiness_in_each_state():
    async with Rig() as rig:
        status, _, body = await rig.get("/admin/health")
        assert status == 200 and json.loads(body)["status"] == "ok" and json.loads(body)["uptime_seconds"] >= 0
        for state, expected in (("ready", 200), ("draining", 503), ("starting", 503)):
            rig.state = state
            status, _, body = await rig.get("/admin/ready?probe=1")
            assert (status, json.loads(body)) == (expected, {"status": state})
        assert (await rig.get("/admin/health"))[0] == 200


async def test_metrics_and_stats():
    async with Rig(path="/numbers") as rig:
        for path in ("/numbers", "/metrics"):
            status, head, body = await rig.get(path)
            assert status == 200 and "text/plain; version=0.0.4" in head
            assert b"jobs_total 3\n" in body
        assert json.loads((await rig.get("/admin/metrics.json"))[2]) == {"jobs_total": 3.0}
        stats = json.loads((await rig.get("/admin/stats"))[2])
        assert stats["workers"] == 2 and stats["metrics"] == {"jobs_total": 3.0} and stats["status"] == "ready"


async def test_a_listener_for_metrics_alone_serves_nothing_else():
    rig = Rig(path="/m")
    rig.admin._places.append((Endpoint("127.0.0.1", 0), False))
    async with rig:
        assert (await rig.get("/m", port=1))[0] == 200
        assert (await rig.get("/admin/health", port=1))[0] == 404


@pytest.mark.parametrize(
    "request_, status, says",
    [
        (b"POST /admin/health HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi", 405, b"allow: GET, HEAD"),
        (b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 404, b"not found"),
        (b"nonsense\r\n\r\n", 400, b"bad request"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * HEAD_BYTES, 431, b"at most"),
        (b"GET /admin/health HTTP/1.0\r\n\r\n", 200, b"ok"),
    ],
)
async def test_anything_else_is_refused_and_closed(request_, status, says):
    async with Rig() as rig:
        answer = await rig.send(request_)
        assert answer.startswith(b"HTTP/1.1 %d " % status) and says in answer


async def test_head_has_no_content_and_connections_are_kept():
    async with Rig() as rig:
        _, head, body = await rig.get("/admin/health", method="HEAD")
        assert body == b"" and "content-length" in head
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.ports[0])
        for part in (b"GET /admin/hea", b"lth HTTP/1.1\r\nhost: x\r\n\r\nGET /admin/ready HTTP/1.1\r\nhost: x\r\n\r\n"):
            writer.write(part)
            await asyncio.sleep(0)
        seen = b""
        while seen.count(b"HTTP/1.1 200") < 2 or not seen.endswith(b"}\n"):
            seen += await asyncio.wait_for(reader.read(1000), 5)
        assert seen.index(b'"ok"') < seen.index(b'"ready"')
        writer.close()
        await writer.wait_closed()


async def test_reads_are_protected_by_a_token_and_probes_are_not():
    async with Rig(auth=AdminAuth(token="s3cret", protect_reads=True)) as rig:
        assert (await rig.get("/admin/health"))[0] == (await rig.get("/admin/ready"))[0] == 200
        status, head, _ = await rig.get("/metrics")
        assert status == 401 and "www-authenticate: bearer" in head
        assert (await rig.get("/admin/stats", "authorization: Bearer wrong"))[0] == 401
        assert (await rig.get("/metrics", "authorization: Bearer s3cret"))[0] == 200


async def test_numbers_that_cannot_be_read_are_a_500():
    async with Rig() as rig:
        rig.numbers = lambda: 1 / 0
        status, _, body = await rig.get("/metrics")
        assert status == 500 and b"ZeroDivisionError" in body


async def test_too_many_connections_are_closed():
    async with Rig() as rig:
        pairs = [await asyncio.open_connection("127.0.0.1", rig.ports[0]) for _ in range(CONNECTIONS + 1)]
        await until(lambda: any(reader.at_eof() or reader.exception() for reader, _ in pairs))
        assert sum(reader.at_eof() or reader.exception() is not None for reader, _ in pairs) == 1
        for _, writer in pairs:
            writer.close()


async def test_a_silent_client_is_cut(monkeypatch):
    monkeypatch.setattr("siphon_http.host.admin.HEAD_SECS", 0.05)
    async with Rig() as rig:
        assert await rig.send(b"GET /admin/he") == b""


async def test_a_unix_socket_is_made_and_removed(tmp_path):
    place = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place))
    admin = Admin(AdminConfig(listen=Endpoint("", 0, str(place))), MetricsConfig(), state=lambda: "ready", numbers=list)
    admin.bind()
    await admin.serve()
    assert admin.urls == [f"unix:{place}/admin/health"]
    reader, writer = await asyncio.open_unix_connection(str(place))
    writer.write(b"GET /admin/ready HTTP/1.0\r\n\r\n")
    assert b"ready" in await reader.read()
    writer.close()
    admin.close()
    await asyncio.sleep(0)
    assert not place.exists()


async def test_an_address_in_use_is_named_with_its_key():
    async with Rig() as rig:
        other = Admin(
            AdminConfig(listen=Endpoint("127.0.0.1", rig.ports[0])),
            MetricsConfig(),
            state=lambda: "ready",
            numbers=list,
        )
        with pytest.raises(BindError, match=r"admin\.listen"):
            other.bind()
            await other.serve()
