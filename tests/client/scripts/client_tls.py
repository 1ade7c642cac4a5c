"""TLS: whom the client trusts, what it shows, and that nothing switches verification off."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from siphon import http

from tests.client.scripts.casebook import Casebook, View, raises, same

secure = http.Client("secure")

book = Casebook(http)


def client(backend: View, **settings: Any) -> Any:
    return http.Client(**{"verify": backend.path("ca.pem")} | settings)


@book.case
async def a_named_client_trusts_its_bundle(backend: View) -> None:
    same((await secure.get("/echo")).json()["kind"], "tls")


@book.cases("tls", "tls12")
async def an_inline_client_trusts_its_bundle(backend: View, kind: str) -> None:
    async with client(backend) as api:
        same((await api.get(backend.url("/echo", kind=kind))).json()["kind"], kind)
        same((await api.get(backend.url("/echo", kind=kind, host="localhost"))).json()["kind"], kind)


@book.case
async def connections_over_tls_are_reused(backend: View) -> None:
    same(len({(await secure.get("/echo")).json()["connection"] for _ in range(10)}), 1)


@book.case
async def large_content_goes_both_ways_over_tls(backend: View) -> None:
    body = os.urandom(3_000_000)
    same((await secure.post("/sink", body=body)).json(), {"size": len(body)})
    same(len((await secure.get("/bytes/3000000")).body), 3_000_000)


@book.case
async def a_bundle_given_as_a_path_object_works(backend: View) -> None:
    async with http.Client(verify=Path(backend.path("ca.pem"))) as api:
        same((await api.get(backend.url("/status/200", kind="tls"))).status, 200)


@book.cases(
    ("wrong_name", "other.example"),
    ("expired", "expired"),
    ("self_signed", "unknown CA"),
)
async def a_bad_certificate_is_a_tls_error_that_says_why(backend: View, kind: str, text: str) -> None:
    async with client(backend) as api:
        with raises(http.TlsError, text) as caught:
            await api.get(backend.url("/echo", kind=kind))
        same(caught.error.phase, "tls")
    same(await backend.seen(), [])


@book.case
async def the_system_does_not_trust_a_private_ca(backend: View) -> None:
    async with http.Client() as api:
        with raises(http.TlsError, "verify="):
            await api.get(backend.url("/echo", kind="tls"))


@book.case
async def a_bundle_is_trusted_instead_of_all_others(backend: View) -> None:
    async with client(backend, verify=backend.path("stranger-ca.pem")) as api:
        with raises(http.TlsError, "verify="):
            await api.get(backend.url("/echo", kind="tls"))


@book.cases("verify", "insecure", "check_hostname", "ssl")
async def nothing_switches_verification_off(backend: View, key: str) -> None:
    for value in (False, 0, "none"):
        try:
            api = http.Client(**{key: value})
            await api.get(backend.url("/echo", kind="self_signed"))
        except (http.ClientError, TypeError):
            continue
        raise AssertionError(f"{key}={value!r} was taken")


@book.cases(("client.pem", None), ("client-cert.pem", "client-key.pem"))
async def a_client_certificate_is_shown(backend: View, cert: str, key: str | None) -> None:
    shown: Any = backend.path(cert) if key is None else (backend.path(cert), backend.path(key))
    async with client(backend, cert=shown) as api:
        same((await api.get(backend.url("/echo", kind="mtls"))).json()["kind"], "mtls")


@book.cases((None, "cert="), ("stranger.pem", "cert="))
async def a_missing_or_strange_client_certificate_is_a_tls_error(backend: View, cert: str | None, text: str) -> None:
    async with client(backend, **({"cert": backend.path(cert)} if cert else {})) as api:
        with raises(http.TlsError, text):
            await api.get(backend.url("/echo", kind="mtls"))


@book.case
async def a_missing_bundle_is_told_at_construction(backend: View) -> None:
    with raises(http.ClientError, "none.pem does not exist"):
        client(backend, verify=backend.path("none.pem"))


@book.cases("client-key.pem")
async def an_unusable_bundle_names_its_file(backend: View, name: str) -> None:
    with raises(http.TlsError, name):
        async with client(backend, verify=backend.path(name)) as api:
            await api.get(backend.url("/echo", kind="tls"))


@book.case
async def a_key_that_does_not_fit_names_its_file(backend: View) -> None:
    pair = (backend.path("client-cert.pem"), backend.path("stranger-key.pem"))
    with raises(http.TlsError, "stranger-key.pem"):
        async with client(backend, cert=pair) as api:
            await api.get(backend.url("/echo", kind="mtls"))


@book.case
async def a_server_without_tls_is_a_tls_error(backend: View) -> None:
    async with client(backend) as api:
        with raises(http.TlsError, "speaks no TLS"):
            await api.get(backend.url("/echo").replace("http:", "https:"))


@book.cases("/close", "/cut/60", "/reset/20", "/raw/garbage")
async def a_broken_answer_over_tls_is_a_read_error(backend: View, path: str) -> None:
    with raises(http.ReadError, ""):
        await secure.get(path)
    same((await secure.get("/status/200")).status, 200)


@book.cases("/lie", "/bye", "/eof")
async def a_connection_that_ends_over_tls_is_replaced(backend: View, path: str) -> None:
    for _ in range(5):
        same((await secure.get(path)).status, 200)


@book.case
async def a_changed_bundle_is_read_for_new_connections(backend: View) -> None:
    bundle = Path(backend.path("changing.pem"))
    shutil.copy(backend.path("stranger-ca.pem"), bundle)
    api = client(backend, verify=str(bundle))
    with raises(http.TlsError, "unknown CA"):
        await api.get(backend.url("/echo", kind="tls"))
    shutil.copy(backend.path("ca.pem"), bundle)
    then = time.time() - 100
    os.utime(bundle, (then, then))
    same((await api.get(backend.url("/status/200", kind="tls"))).status, 200)
    await api.close()
