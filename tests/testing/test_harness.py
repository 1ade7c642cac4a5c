"""The harness: scripts on the real dispatcher, asked from plain and from async tests."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from siphon_http.errors import ConfigError, ScriptError, TlsMaterialError
from siphon_http.testing import HttpTestHarness
from tests.linux import proc
from tests.process_stage import wait_until

from .scripts import EVERYTHING, HOOKS, MIDDLEWARE, NAMESPACES


@pytest.fixture
def harness() -> Iterator[HttpTestHarness]:
    with HttpTestHarness() as one:
        one.load_source(EVERYTHING)
        yield one


def logged(harness: HttpTestHarness, text: str) -> bool:
    return ("info", text) in harness.log.messages


# ---- what a request looks like


def test_a_handler_answers(harness: HttpTestHarness) -> None:
    answer = harness.request("GET", "/hello/world")
    assert (answer.status, answer.body, answer.text) == (200, b"hi world", "hi world")
    assert answer.header("X-Client") == "127.0.0.1:0"
    assert answer.headers["content-length"] == "8"
    assert "date" in answer.headers


def test_a_request_is_a_get_of_the_root_unless_told_otherwise(harness: HttpTestHarness) -> None:
    assert harness.request().status == 404
    assert harness.request("get", "/hello/x").status == 200


@pytest.mark.parametrize(
    "client, shown", [("192.0.2.1:4711", "192.0.2.1:4711"), ("[2001:db8::1]:80", "[2001:db8::1]:80")]
)
def test_the_client_is_who_the_test_says(harness: HttpTestHarness, client: str, shown: str) -> None:
    assert harness.request("GET", "/hello/x", client=client).header("x-client") == shown


def test_a_client_that_is_no_address_is_refused(harness: HttpTestHarness) -> None:
    with pytest.raises(ValueError, match='client is "ip:port"'):
        harness.request("GET", "/hello/x", client="somebody")


def test_behind_a_trusted_proxy_the_client_is_the_forwarded_one() -> None:
    config = {"servers": [{"listen": "127.0.0.1:0", "trusted_proxies": ["127.0.0.0/8"]}]}
    with HttpTestHarness(config) as harness:
        harness.load_source(EVERYTHING)
        answer = harness.request("GET", "/hello/x", headers={"X-Forwarded-For": "198.51.100.7"})
        assert answer.header("x-client") == "198.51.100.7:0"


def test_headers_query_and_body_arrive_as_they_were_given(harness: HttpTestHarness) -> None:
    answer = harness.request(
        "POST",
        "/seen?a=1",
        headers={"X-One": "1", "X-Many": ["a", "b"]},
        query_params={"b": "ü &", "c": ["1", "2"]},
        body="ä",
    )
    assert answer.text.splitlines() == [
        "POST /seen?a=1&b=%C3%BC%20%26&c=1&c=2",
        "host: harness.test",
        "x-one: 1",
        "x-many: a, b",
        "content-length: 2",
        "",
        "ä",
    ]


def test_json_is_serialised_and_named(harness: HttpTestHarness) -> None:
    answer = harness.request("PUT", "/seen", json={"a": [1, None]})
    assert answer.text.endswith('content-type: application/json\ncontent-length: 16\n\n{"a": [1, null]}')
    with pytest.raises(TypeError, match="body= or json=, not both"):
        harness.request("PUT", "/seen", json=1, body=b"1")


def test_path_params_fill_the_places_of_the_path(harness: HttpTestHarness) -> None:
    assert harness.request("GET", "/hello/{name}", path_params={"name": "a/b ü"}).text == "hi a/b ü"
    with pytest.raises(ValueError, match=r"there is no \{id\} in '/hello/x'"):
        harness.request("GET", "/hello/x", path_params={"id": "1"})


def test_a_path_need_not_be_encoded_and_may_be(harness: HttpTestHarness) -> None:
    assert harness.request("GET", "/hello/José +x").text == "hi José +x"
    assert harness.request("GET", "/hello/Jos%C3%A9%2Fx").text == "hi José/x"


@pytest.mark.parametrize("path", ["/hello/%zz", "/hello/%ff"])
def test_a_bad_escape_is_answered_400_before_the_handler(harness: HttpTestHarness, path: str) -> None:
    assert harness.request("GET", path).status == 400


def test_a_header_cannot_break_out_of_its_line(harness: HttpTestHarness) -> None:
    with pytest.raises(ValueError, match="cannot hold CR, LF or NUL"):
        harness.request("GET", "/seen", headers={"x": "a\r\nb: c"})


# ---- the server's own answers


def test_methods_are_the_router_s(harness: HttpTestHarness) -> None:
    refused = harness.request("DELETE", "/hello/x")
    assert (refused.status, refused.header("allow")) == (405, "GET, HEAD, OPTIONS")
    options = harness.request("OPTIONS", "/hello/x")
    assert (options.status, options.header("allow")) == (204, "GET, HEAD, OPTIONS")
    assert harness.request("GET", "/hello/x/").status == 404


def test_head_has_the_fields_and_no_content(harness: HttpTestHarness) -> None:
    answer = harness.request("HEAD", "/hello/x")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", "4")
    assert harness.request("HEAD", "/thread").header("x-method") == "HEAD"


def test_what_a_handler_raises_is_a_500_is_logged_and_kept(
    harness: HttpTestHarness, caplog: pytest.LogCaptureFixture
) -> None:
    answer = harness.request("GET", "/raises")
    assert (answer.status, answer.body) == (500, b"handler error\n")
    assert [type(error) for error in harness.errors] == [KeyError]
    assert "KeyError: 'who'" in caplog.text
    assert harness.request("GET", "/junk").status == 500


def test_a_plain_handler_runs_on_a_thread_and_an_async_one_on_the_loop(harness: HttpTestHarness) -> None:
    assert harness.request("GET", "/thread").text not in (threading.current_thread().name, "siphon-http-harness")


def test_middleware_is_what_the_server_runs() -> None:
    with HttpTestHarness() as harness:
        harness.load_source(MIDDLEWARE)
        refused = harness.request("GET", "/inside")
        assert (refused.status, refused.body, "x-stamp" in refused.headers) == (401, b"who are you?", False)
        allowed = harness.request("GET", "/inside", headers={"Authorization": "Bearer t"})
        assert (allowed.status, allowed.body, allowed.header("x-stamp")) == (200, b"in", "1")
        assert harness.request("GET", "/outside").status == 404


# ---- limits and time


def test_a_body_over_the_limit_is_413_however_it_is_framed(harness: HttpTestHarness) -> None:
    assert harness.request("POST", "/small", body=b"x" * 10).body == b"10"
    assert harness.request("POST", "/small", body=b"x" * 11).status == 413
    assert harness.request("POST", "/small", body=iter([b"x" * 6, b"x" * 6])).status == 413
    assert harness.request("POST", "/small", body=b"x" * 11, headers={"expect": "100-continue"}).status == 413


def test_the_limits_of_the_listener_come_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "http.yaml"
    file.write_text("servers:\n  - {listen: '127.0.0.1:0', max_body_bytes: 3, request_timeout_ms: 50}\n")
    with HttpTestHarness(file) as harness:
        harness.load_source(EVERYTHING)
        assert harness.request("POST", "/seen", body=b"1234").status == 413
        assert harness.request("GET", "/waits").status == 504


def test_a_body_that_does_not_arrive_is_408_and_a_slow_handler_504(harness: HttpTestHarness) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b"1"
        await asyncio.sleep(10)  # beyond the time-outs of both routes

    assert harness.request("POST", "/small", body=stalls()).status == 408
    assert harness.request("POST", "/upload", body=stalls()).status == 408
    assert harness.request("GET", "/sleeps").status == 504


def test_a_mistake_in_the_configuration_is_shown_as_the_server_shows_it() -> None:
    with pytest.raises(ConfigError, match="max_body_bites"):
        HttpTestHarness({"servers": [{"listen": "127.0.0.1:0", "max_body_bites": 1}]})


def test_paths_in_a_mapping_begin_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        HttpTestHarness({"clients": {"api": {"verify": "ca.pem"}}})
    assert str(tmp_path / "ca.pem") in str(raised.value) or "ca.pem" in str(raised.value)
    assert "siphon-http-harness" not in str(raised.value)


def test_certificates_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("no certificate")
    tls = {"cert_path": str(tmp_path / "c.pem"), "key_path": str(tmp_path / "c.pem")}
    with pytest.raises(TlsMaterialError):
        HttpTestHarness({"servers": [{"listen": "127.0.0.1:0", "tls": tls}]})


def test_a_call_that_takes_too_long_says_which() -> None:
    with HttpTestHarness(timeout=0.05) as harness:
        harness.load_source(EVERYTHING)
        with pytest.raises(TimeoutError, match=r"GET /waits: nothing came of it within 0\.05 s"):
            harness.request("GET", "/waits")


def test_a_script_that_holds_its_loop_does_not_hold_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siphon_http.testing.loop_thread.HELD_SECONDS", 0.05)
    with HttpTestHarness(timeout=0.05) as harness:
        harness.load_source(EVERYTHING)
        with pytest.raises(TimeoutError, match="GET /holds: the script has held its event loop"):
            harness.request("GET", "/holds")


# ---- streams, and clients that leave


def test_an_upload_in_pieces_is_read_in_pieces(harness: HttpTestHarness) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            await asyncio.sleep(0)
            yield b"x" * 10_000

    assert harness.request("POST", "/upload", body=pieces()).body == b"200000"
    assert harness.request("POST", "/upload", body=(b"ab", b"", b"c")).body == b"3"
    assert harness.request("POST", "/upload", body=b"x" * 300_000).body == b"300000"
    assert harness.request("POST", "/upload", body=b"abc", headers={"Transfer-Encoding": "chunked"}).body == b"3"
    assert harness.request("POST", "/upload", body=iter([b"ab"]), headers={"Content-Length": "2"}).body == b"2"
    assert harness.request("POST", "/upload", body=b"x" * 300_000, headers={"expect": "100-continue"}).body == b"300000"


def test_what_an_upload_raises_is_raised_in_the_test(harness: HttpTestHarness) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"1"
        raise LookupError("the file ended")

    with pytest.raises(LookupError, match="the file ended"):
        harness.request("POST", "/upload", body=pieces())


def test_a_streamed_answer_is_whole_or_read_in_pieces(harness: HttpTestHarness) -> None:
    assert harness.request("GET", "/pieces").body == b"012"
    with harness.open("GET", "/pieces?size=3") as exchange:
        assert (exchange.status, exchange.headers["transfer-encoding"]) == (200, "chunked")
        assert list(exchange) == [b"000", b"111", b"222"]


def test_a_handler_waits_for_a_client_that_does_not_read(harness: HttpTestHarness) -> None:
    with harness.open("GET", "/pieces?count=100&size=20000") as exchange:
        pieces = iter(exchange)
        first = next(pieces)
        assert not logged(harness, "piece 99")
        assert len(first) + sum(map(len, pieces)) > 100 * 20_000
        assert logged(harness, "piece 99")


def test_an_answer_that_is_broken_off_is_a_reset(harness: HttpTestHarness) -> None:
    with pytest.raises(ConnectionResetError, match="GET /breaks: the connection was closed after 200 and its head"):
        harness.request("GET", "/breaks")
    with harness.open("GET", "/breaks") as exchange:
        assert next(iter(exchange)) == b"half"
        with pytest.raises(ConnectionResetError):
            exchange.response()


def test_a_client_that_leaves_has_its_handler_cancelled(harness: HttpTestHarness) -> None:
    with harness.open("GET", "/waits") as exchange:
        wait_until(lambda: logged(harness, "waiting"))
        exchange.disconnect()
        wait_until(lambda: logged(harness, "left"))
        with pytest.raises(ConnectionResetError):
            exchange.response()


def test_leaving_the_block_early_is_a_client_that_leaves(harness: HttpTestHarness) -> None:
    with harness.open("GET", "/waits"):
        wait_until(lambda: logged(harness, "waiting"))
    wait_until(lambda: logged(harness, "left"))


def test_a_route_that_finishes_does_so_without_its_client(harness: HttpTestHarness) -> None:
    with harness.open("GET", "/finishes"):
        pass
    wait_until(lambda: logged(harness, "finished"))


# ---- the life of a script


def test_hooks_run_as_in_a_process(caplog: pytest.LogCaptureFixture) -> None:
    with HttpTestHarness() as harness:
        harness.load_source(HOOKS)
        assert harness.log.messages == []
        harness.run_startup()
        assert harness.log.messages == [("info", "first"), ("info", "second"), ("warn", "third")]
        assert [str(error) for error in harness.errors] == ["not now"]
        assert "on_startup hook second" in caplog.text
        harness.log.clear()
        harness.run_shutdown()
        assert harness.log.messages == [("info", "closed first"), ("info", "closed last")]
        with pytest.raises(RuntimeError, match="no script is loaded"):
            harness.request("GET", "/")


def test_a_start_that_is_to_be_given_up_raises() -> None:
    with HttpTestHarness({"startup_errors": "abort"}) as harness:
        harness.load_source(HOOKS)
        with pytest.raises(ScriptError, match="not now"):
            harness.run_startup()


def test_shutdown_hooks_need_a_start() -> None:
    with HttpTestHarness() as harness:
        harness.load_source(HOOKS)
        with pytest.raises(RuntimeError, match=r"run_startup\(\) first"):
            harness.run_shutdown()
        harness.close()
        assert harness.log.messages == []


def test_shutdown_lets_a_handler_end(harness: HttpTestHarness) -> None:
    harness.run_startup()
    with harness.open("GET", "/finishes") as exchange:
        harness.run_shutdown()
        assert logged(harness, "finished")
        assert exchange.response().status == 200


def test_the_script_goes_on_between_requests(harness: HttpTestHarness) -> None:
    assert harness.request("GET", "/background").status == 202
    wait_until(lambda: logged(harness, "in the background"))


def test_a_script_that_cannot_be_loaded_says_so() -> None:
    with HttpTestHarness() as harness:
        with pytest.raises(ScriptError, match=r"broken\.py:2: ZeroDivisionError") as raised:
            harness.load_source("from siphon import http\n1 / 0\n", name="broken.py")
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        with pytest.raises(ScriptError, match=r"siphon\.proxy needs the real siphon"):
            harness.load_source("from siphon import proxy")
        with pytest.raises(ScriptError, match="has the same method and path shape"):
            route = "@http.route('/a')\nasync def a(req): ...\n"
            harness.load_source(f"from siphon import http\n{route}{route}")
        with pytest.raises(FileNotFoundError, match=r"there is no script .*nowhere\.py"):
            harness.load_script("nowhere.py")
        with pytest.raises(RuntimeError, match="no script is loaded"):
            harness.request("GET", "/")


def test_a_second_load_takes_the_place_of_the_first(harness: HttpTestHarness) -> None:
    harness.load_source(MIDDLEWARE)
    assert harness.request("GET", "/hello/x").status == 404
    assert harness.request("GET", "/inside").status == 401


def test_reset_forgets_everything(harness: HttpTestHarness) -> None:
    harness.request("GET", "/pieces")
    harness.request("GET", "/raises")
    harness.add_response(harness.http.Response(500))
    harness.reset()
    assert (harness.log.messages, harness.errors, harness.sent_requests) == ([], [], [])
    with pytest.raises(RuntimeError, match="no script is loaded"):
        harness.request("GET", "/hello/x")
    harness.load_source(EVERYTHING)
    assert harness.request("GET", "/hello/x").status == 200


def test_a_closed_harness_says_so(harness: HttpTestHarness) -> None:
    exchange = harness.open("GET", "/waits")
    harness.close()
    harness.close()
    exchange.close()
    with pytest.raises(RuntimeError, match="the harness is closed"):
        harness.request("GET", "/hello/x")
    assert "siphon" not in sys.modules


def test_any_listener_can_be_asked() -> None:
    with HttpTestHarness({"servers": [{"listen": "127.0.0.1:0", "http1": False}]}) as harness:
        harness.load_source(EVERYTHING)
        assert harness.request("GET", "/hello/x").status == 200


def test_a_harness_that_is_not_closed_ends_as_garbage() -> None:
    def forget() -> None:
        harness = HttpTestHarness()
        harness.load_source(EVERYTHING)
        assert harness.request("GET", "/hello/x").status == 200

    forget()
    gc.collect()
    assert "siphon" not in sys.modules
    assert "siphon-http-harness" not in [thread.name for thread in threading.enumerate()]


def test_harnesses_leave_no_descriptors_and_no_threads() -> None:
    def count() -> tuple[int, int]:
        return len(list(proc("self", "fd").iterdir())), threading.active_count()

    def use(is_closed: bool) -> None:
        harness = HttpTestHarness()
        harness.load_source(EVERYTHING)
        assert harness.request("GET", "/thread").status == 200
        assert harness.request("GET", "/hello/x").status == 200
        if is_closed:
            harness.close()

    use(is_closed=True)  # opens what the process keeps
    gc.collect()  # what earlier tests have left is not to go while we count
    before = count()
    for number in range(10):
        use(is_closed=bool(number % 2))
    gc.collect()
    wait_until(lambda: all(now <= then for now, then in zip(count(), before, strict=True)), told=lambda: f"{count()}")


def test_cache_timer_and_metrics_are_the_host_s() -> None:
    with HttpTestHarness() as harness:
        harness.cache.set_data("names", {"42": "alice"})
        harness.load_source(NAMESPACES)
        assert harness.request("GET", "/names/42").text == "alice True None"
        assert harness.request("GET", "/names/43").text == "None True None"
        wait_until(lambda: logged(harness, "tick") and logged(harness, "once key"))
        harness.reset()
        assert not harness.cache.has_cache("names")


def test_timers_end_with_the_script(harness: HttpTestHarness) -> None:
    harness.load_source(NAMESPACES)
    harness.request("GET", "/names/1")
    wait_until(lambda: logged(harness, "tick"))
    harness.load_source(EVERYTHING)
    harness.log.clear()
    harness.request("GET", "/finishes")
    time.sleep(0.03)  # the timer's next time is over
    assert not logged(harness, "tick")


def test_a_namespace_that_this_host_lacks_says_why(harness: HttpTestHarness) -> None:
    with pytest.raises(AttributeError, match=r"siphon\.proxy needs the real siphon"):
        harness.namespace("proxy")
    assert harness.namespace("log") is harness.log


# ---- async tests


async def test_async_tests_may_ask_both_ways(harness: HttpTestHarness) -> None:
    assert harness.request("GET", "/hello/x").status == 200
    assert (await harness.arequest("GET", "/hello/x")).status == 200


async def test_the_loop_of_an_async_test_goes_on_meanwhile(harness: HttpTestHarness) -> None:
    arrived = asyncio.Event()

    async def leaves() -> None:
        await arrived.wait()

    waiting = asyncio.create_task(leaves())
    async with harness.open("GET", "/pieces?count=2&size=2") as exchange:
        arrived.set()
        await waiting
        assert (await exchange.ahead()).status == 200
        assert [piece async for piece in exchange] == [b"00", b"11"]
    async with harness.open("GET", "/hello/x") as exchange:
        assert (await exchange.aresponse()).body == b"hi x"


async def test_many_requests_at_once(harness: HttpTestHarness) -> None:
    answers = await asyncio.gather(*(harness.arequest("GET", f"/hello/{n}") for n in range(50)))
    assert [answer.text for answer in answers] == [f"hi {n}" for n in range(50)]


def test_the_script_s_own_loop_cannot_wait_for_itself(harness: HttpTestHarness) -> None:
    asked: list[str] = []

    async def body() -> AsyncIterator[bytes]:
        with pytest.raises(RuntimeError, match="use the async twin"):
            harness.request("GET", "/hello/x")
        asked.append((await harness.arequest("GET", "/hello/inner")).text)
        yield b"x"

    assert harness.request("POST", "/upload", body=body()).body == b"1"
    assert asked == ["hi inner"]


def test_what_is_logged_goes_on_to_logging(harness: HttpTestHarness, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        harness.request("GET", "/pieces?count=1")
    assert "piece 0" in caplog.messages
