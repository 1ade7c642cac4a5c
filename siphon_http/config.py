"""http.yaml -> frozen dataclasses, by way of `settings`.

Everything in the file is checked here before anything is bound: types, ranges, addresses, URLs, files that are missing.
What is inside certificates and keys is checked by the function that the caller hands in (`server.tls.check_material`), so
that this module needs no TLS library and a plain listener does not pay for one.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal

from siphon_http.config_access import AccessFormat, parse_access_log
from siphon_http.errors import ConfigError, Problem, TlsMaterialError
from siphon_http.records import dataclass
from siphon_http.settings import (
    Findings,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
    load,
    optional,
    read,
    required,
    sorted_problems,
    text_of,
)

__all__ = [
    "Address",
    "ClientConfig",
    "HttpConfig",
    "MaterialCheck",
    "RetryConfig",
    "ServerConfig",
    "TlsConfig",
    "load_config",
    "parse_address",
    "parse_network",
]

_DAY_MS = 86_400_000
_TIB = 1 << 40
_UNIX_PATH_LIMIT = 107  # bytes: sun_path of sockaddr_un without its final NUL

# Patterns are compiled when they are first asked for: hardly any start needs them.
_HOST_NAME = r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
_URL = r"(?i)(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<userinfo>[^/@?#]*@)?(?P<host>\[[^\]/]*\]|[^:/?#\[\]]*)(?P<port>:[^/?#]*)?(?P<path>/[^?#]*)?(?P<rest>[?#].*)?"

MaterialCheck = Callable[[Path | None, Path | None, Path | None, Sequence[str]], Sequence[str]]
"""Checks certificate (or None), key (None: in the same file), CAs (or None) and host names to be served.

Returns warnings; raises TlsMaterialError whose problems name the PEM file in `file`.
"""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens.

    kind: "tcp" or "unix"; host: IP address without brackets, or host name ("" for unix); port: 0-65535, 0 = any free one
    (0 for unix); path: absolute, "" for tcp; text: as the file has it.
    """

    kind: Literal["tcp", "unix"]
    host: str
    port: int
    path: str
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_host_name(self) -> bool:
        """Whether `host` must be resolved."""
        return self.kind == "tcp" and _ip_address(self.host) is None


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def parse_address(node: Node) -> Address:
    """Return what `listen` names: `host:port`, `[v6]:port` or `unix:path`. Raises ConfigError."""
    text = text_of(node, "an address such as 127.0.0.1:8080, [::]:8080 or unix:/run/http.sock").strip()
    if text.startswith("unix:"):
        return _unix_address(node, text)
    if "://" in text:
        hint = f"write {text.partition('://')[2].rstrip('/')}; TLS is chosen by `tls:`"
        raise node.refusal(f"an address has no scheme, got {_shown(node)}", hint)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        whole = text.isascii() and text.isdigit()
        hint = f"write 127.0.0.1:{text}, or 0.0.0.0:{text} for every interface" if whole else f"write {text}:8080"
        missing = "a host" if whole else "a port"
        raise node.refusal(f"{missing} is missing in the address {_shown(node)}", hint)
    if host in {"", "*"}:
        hint = f"write 0.0.0.0:{port}, [::]:{port} for IPv6 too, or 127.0.0.1:{port} for this machine only"
        raise node.refusal(f"a host is missing in the address {_shown(node)}", hint)
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 10 else -1
    if not 0 <= number <= 65_535:
        raise node.refusal(f"the port must be a number between 0 and 65535, got {port!r} in {_shown(node)}")
    return Address("tcp", _listen_host(node, host, port), number, "", text)


def _shown(node: Node) -> str:
    return node.shown() if isinstance(node, ScalarNode) else node.got()


def _listen_host(node: Node, host: str, port: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        inner = _ip_address(host[1:-1])
        if inner is None or inner.version != 6:
            raise node.refusal(f"{host} is not an IPv6 address in brackets")
        return str(inner)
    if ":" in host:
        hint = f"write [{host}]:{port}" if _ip_address(host) else "an IPv6 address is written in brackets: [::1]:8080"
        raise node.refusal(f"more than one ':' outside of brackets in {_shown(node)}", hint)
    if re.fullmatch(r"[0-9.]+", host) and _ip_address(host) is None:
        raise node.refusal(f"{host} is not an IPv4 address", "four numbers between 0 and 255, without leading zeros")
    if not re.fullmatch(_HOST_NAME, host):
        raise node.refusal(f"{host!r} is neither an IP address nor a host name")
    return host


def _unix_address(node: Node, text: str) -> Address:
    name = text.removeprefix("unix:")
    if not name or name.endswith("/") or "\0" in name:
        raise node.refusal(f"a path of a socket must follow unix:, got {_shown(node)}", "write unix:/run/http.sock")
    path = str(node.relative(name.removeprefix("//") if name.startswith("///") else name))
    size = len(os.fsencode(path))
    if size > _UNIX_PATH_LIMIT:
        reason = f"the path of a unix socket may have {_UNIX_PATH_LIMIT} bytes, this one has {size}: {path}"
        raise node.refusal(reason, "choose a shorter folder, such as /run")
    return Address("unix", "", 0, path, text)


def parse_network(node: Node) -> IPv4Network | IPv6Network:
    """Return the network of an IP address or CIDR block; IPv4-mapped IPv6 becomes IPv4. Raises ConfigError."""
    text = text_of(node, "an IP address or network such as 10.0.0.0/8").strip()
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        hint = (
            "host names are not looked up"
            if re.fullmatch(_HOST_NAME, text) and not re.fullmatch(r"[0-9.]+", text)
            else ""
        )
        raise node.refusal(f"expected an IP address or network, got {_shown(node)}", hint) from None
    host = text.partition("/")[0]
    if str(network.network_address) != str(ipaddress.ip_address(host)):
        raise node.refusal(
            f"{text} has bits set beyond its prefix of {network.prefixlen}",
            f"write {network} for the whole network, or {host} for this one address",
        )
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def _parse_mode(node: Node) -> int:
    text = text_of(node, "an octal mode such as 0660")
    digits = text.removeprefix("0o")
    if not re.fullmatch(r"0?[0-7]{3}", digits):
        raise node.refusal(f"expected an octal mode such as 0660, got {_shown(node)}")
    return int(digits, 8)


def _parse_base_url(node: Node) -> str:
    return _checked_url(node, "a URL such as https://api.example.com/v1")


def _parse_proxy(node: Node) -> str:
    return _checked_url(node, "a proxy URL such as http://proxy.example.com:3128", is_proxy=True)


def _parse_no_proxy(node: Node) -> str:
    text = text_of(node, "a domain, IP address or network such as example.com or 10.0.0.0/8").strip()
    if re.search(r"[\s,]", text):
        raise node.refusal(f"expected one domain, address or network, got {_shown(node)}", "write a list: [a, b]")
    if "://" in text or not re.fullmatch(r"\*|[\w.*:\[\]-]+(/[0-9]{1,3})?", text, re.ASCII):
        raise node.refusal(f"{_shown(node)} is no domain, IP address or network", "leave scheme and path out")
    return text


def _parse_method(node: Node) -> str:
    text = text_of(node, "a method such as GET").strip()
    if not re.fullmatch(r"[A-Z][A-Z0-9_-]*", text):
        raise node.refusal(f"expected a method such as GET, got {_shown(node)}", "methods are written in upper case")
    return text


def _checked_url(node: Node, expected: str, *, is_proxy: bool = False) -> str:
    """Return an http or https URL as it is written. Raises ConfigError."""
    text = text_of(node, expected).strip()
    match = re.fullmatch(_URL, text)
    if match is None:
        hint = f"write http://{text}" if "://" not in text and re.fullmatch(r"[\w.:\[\]/-]+", text) else ""
        raise node.refusal(f"expected {expected}, got {_shown(node)}", "" if _is_secret(node) else hint)
    scheme, host, port = match["scheme"].lower(), match["host"], match["port"] or ""
    if is_proxy and scheme != "http":
        hint = "TLS to the proxy itself is not supported; TLS to origins goes through it" if scheme == "https" else ""
        raise node.refusal(f"the scheme of a proxy must be http, got {scheme!r}", hint)
    if scheme not in {"http", "https"}:
        raise node.refusal(f"the scheme must be http or https, got {scheme!r}")
    if match["userinfo"] and not is_proxy:
        raise node.refusal("a base URL holds no user information", "give `authorization` with the requests")
    bare = host.strip("[]")
    good = (
        isinstance(_ip_address(bare), ipaddress.IPv6Address) if host.startswith("[") else re.fullmatch(_HOST_NAME, host)
    )
    if not good:
        raise node.refusal(f"{host!r} is not a host name or IP address" if host else "the URL has no host")
    if port and not (re.fullmatch(r":[0-9]{1,5}", port) and 1 <= int(port[1:]) <= 65_535):
        raise node.refusal(f"the port must be a number between 1 and 65535, got {port[1:]!r}")
    if match["rest"]:
        raise node.refusal("a query or fragment cannot be part of it", "give them with each request")
    if is_proxy and (match["path"] or "/") != "/":
        raise node.refusal("a proxy URL has no path")
    if re.search(r"[\x00-\x20\x7f-\U0010ffff]", text):
        raise node.refusal("white space and characters beyond ASCII must be percent-encoded in a URL")
    return text


def _is_secret(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.is_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """`tls:` of a listener."""

    cert_path: Path = required("PEM file: the certificate, then those of its issuers", is_file=True)
    key_path: Path = required("PEM file: the private key of the certificate, not encrypted", is_file=True)
    client_ca: Path | None = optional(None, "PEM file: clients must show a certificate of these CAs", is_file=True)
    min_version: Literal["1.2", "1.3"] = optional("1.2", "oldest version of TLS that is spoken")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """One entry of `servers:`; nothing in it concerns any other listener."""

    listen: Address = required("host:port, [v6]:port or unix:path; port 0 takes a free one", parse=parse_address)
    tls: TlsConfig | None = optional(None, "certificate and key; without it the listener speaks plain HTTP")
    max_body_bytes: int = optional(1_048_576, "larger request bodies are answered 413", low=0, high=_TIB)
    request_timeout_ms: int = optional(
        30_000, "from complete head to complete response: 408 while the body arrives, 504 after", low=1, high=_DAY_MS
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = optional(
        (), "IP addresses and networks whose forwarding header is believed", parse=parse_network
    )
    forwarded_header: Literal["x-forwarded-for", "forwarded"] = optional(
        "x-forwarded-for", "the one header that trusted proxies set (`forwarded`: RFC 7239)"
    )
    header_timeout_ms: int = optional(10_000, "from the first byte, or TLS handshake, to the head", low=1, high=_DAY_MS)
    idle_timeout_ms: int = optional(75_000, "an idle connection is closed after it", low=1, high=_DAY_MS)
    write_timeout_ms: int = optional(30_000, "a client that reads nothing for so long is cut", low=1, high=_DAY_MS)
    max_header_bytes: int = optional(65_536, "larger heads are answered 431 or 414", low=1_024, high=16_777_216)
    max_headers: int = optional(128, "more fields in a head are answered 431", low=1, high=10_000)
    max_connections: int | None = optional(
        None, "more open connections are answered 503; none: the limit of open files less 64", low=1, high=10_000_000
    )
    reuse_port: bool | None = optional(
        None,
        "SO_REUSEPORT: other servers may share the port; false: workers share one socket; none: they have one each",
    )
    http1: bool = optional(True, "speak HTTP/1.1")
    http2: bool = optional(True, "speak HTTP/2 (h2 by ALPN; h2c with prior knowledge)")
    max_concurrent_streams: int = optional(128, "open HTTP/2 streams of one connection", low=1, high=100_000)
    http2_ping_interval_ms: int | None = optional(
        None,
        "an HTTP/2 client silent for so long is sent a PING; one that does not answer is cut",
        low=10,
        high=_DAY_MS,
    )
    http2_through_h2: bool = optional(False, "the safe fallback: every HTTP/2 frame through the h2 library, far slower")
    access_log: AccessFormat | None = optional(
        None, "log each request: json (true), combined, or a line with fields such as {status}", parse=parse_access_log
    )
    request_id: bool = optional(
        False, "send each request's id back, log it, and pass it on with the handler's own calls"
    )
    slow_request_ms: int | None = optional(None, "a request that takes longer is logged", low=1, high=_DAY_MS)
    proxy_protocol: bool = optional(False, "connections begin with a PROXY header (version 1 or 2)")
    unix_mode: int | None = optional(None, "permissions of a unix socket, octal; none: by umask", parse=_parse_mode)

    @property
    def alpn(self) -> tuple[str, ...]:
        """Protocols for ALPN, preferred first."""
        return (("h2",) if self.http2 else ()) + (("http/1.1",) if self.http1 else ())

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse what contradicts itself within one listener."""
        if values.get("http1") is False and values.get("http2") is False:
            findings.refuse(node["http1"], "http1 and http2 are both false: nothing is left to speak", "remove one")
        address: Address | None = values.get("listen")
        if "unix_mode" in node and address is not None and address.kind != "unix":
            findings.refuse(node["unix_mode"], f"has no meaning for {address}", "it is for `listen: unix:...`")
        is_local = address is not None and address.kind == "unix"
        if values.get("proxy_protocol") is True and values.get("trusted_proxies") == () and not is_local:
            text = "any client can choose its own address; name the load balancers in `trusted_proxies`"
            findings.warn(node["proxy_protocol"], text)
        proxies = node.get("trusted_proxies")
        for i, network in enumerate(values.get("trusted_proxies", ())):
            if network.prefixlen == 0 and isinstance(proxies, SequenceNode):
                findings.warn(proxies.items[i], f"{network} trusts everybody: any client can choose its own address")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """`retries:` of a client, where a number is not enough."""

    attempts: int = optional(2, "tries after the first one", low=0, high=10)
    statuses: tuple[int, ...] = optional((429, 502, 503, 504), "answers that are tried again", low=400, high=599)
    methods: tuple[str, ...] = optional(
        ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"), "tried again after they were sent", parse=_parse_method
    )
    backoff_ms: int = optional(
        100, "longest first wait; it doubles, and a random part of it is taken", low=0, high=_DAY_MS
    )
    max_backoff_ms: int = optional(2_000, "the doubling ends there", low=0, high=_DAY_MS)
    max_retry_after_ms: int = optional(
        5_000, "a longer Retry-After is not waited for; 0 heeds none", low=0, high=_DAY_MS
    )
    budget: float = optional(0.2, "retries for each request, on average", low=0, high=10)
    budget_per_second: int = optional(10, "retries that are free of the budget", low=0, high=1_000_000)

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse a first wait above the longest."""
        if "backoff_ms" in node and values.get("backoff_ms", 0) > values.get("max_backoff_ms", _DAY_MS):
            reason = f"{values['backoff_ms']} is more than max_backoff_ms, {values['max_backoff_ms']}"
            findings.refuse(node["backoff_ms"], reason, "raise max_backoff_ms too")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """One entry of `clients:`, for `http.Client("name")`."""

    base_url: str | None = optional(None, "relative request paths are joined onto it", parse=_parse_base_url)
    timeout_ms: int = optional(5_000, "the whole exchange, from connect to the last body byte", low=1, high=_DAY_MS)
    verify: Path | None = optional(None, "PEM bundle: the only CAs trusted; none: the system's", is_file=True)
    cert: Path | None = optional(None, "PEM file: client certificate (with its key, or see `key`)", is_file=True)
    key: Path | None = optional(None, "PEM file: private key of `cert`", is_file=True)
    pool_size: int = optional(8, "idle connections kept for each origin", low=0, high=100_000)
    idle_timeout_ms: int = optional(60_000, "an idle connection is closed after it", low=1, high=_DAY_MS)
    max_connections: int = optional(100, "open connections to each origin", low=1, high=100_000)
    http2_prior_knowledge: bool = optional(False, "speak HTTP/2 without asking (h2c)")
    connect_timeout_ms: int = optional(5_000, "look-up, TCP and TLS handshake", low=1, high=_DAY_MS)
    pool_timeout_ms: int = optional(5_000, "wait for a free connection", low=1, high=_DAY_MS)
    retries: int | RetryConfig = optional(0, "tries after the first one that failed, or a block", low=0, high=10)
    write_timeout_ms: int | None = optional(
        None, "a server that takes nothing of a request for so long; none: timeout_ms alone", low=1, high=_DAY_MS
    )
    read_timeout_ms: int | None = optional(
        None, "a server that sends nothing of an answer for so long; none: timeout_ms alone", low=1, high=_DAY_MS
    )
    follow_redirects: int = optional(10, "redirects followed at most; 0 returns them", low=0, high=50)
    max_response_bytes: int = optional(67_108_864, "larger response bodies raise ReadError", low=0, high=_TIB)
    proxy: str | None = optional(None, "URL of an HTTP proxy: http://[user:password@]host:port", parse=_parse_proxy)
    no_proxy: tuple[str, ...] = optional((), "origins that are reached without it", parse=_parse_no_proxy)

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse a key without a certificate."""
        if values.get("key") is not None and node.get("cert") is None:
            findings.refuse(node["key"], "is the key of no certificate", "add `cert:`, or remove `key:`")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """The whole of http.yaml."""

    servers: tuple[ServerConfig, ...] = optional((), "listeners; without any, the process is a client only")
    clients: Mapping[str, ClientConfig] = optional(dict, "pooled clients by the name that scripts use")
    startup_errors: Literal["log", "abort"] = optional("log", "what happens when an on_startup hook raises")

    @staticmethod
    def check_settings(node: MappingNode, values: Mapping[str, Any], findings: Findings) -> None:
        """Refuse two listeners on one address."""
        seen: dict[tuple[str, int, str], Node] = {}
        servers = node.get("servers")
        for server in servers.items if isinstance(servers, SequenceNode) else ():
            listen = server.get("listen") if isinstance(server, MappingNode) else None
            if listen is None:
                continue
            try:
                address = parse_address(listen)
            except ConfigError:
                continue  # already reported
            where = (address.host.lower(), address.port, address.path)
            if where in seen and (address.port or address.path):
                first = seen[where]
                reason = f"{address} is already the address of {first.path} in line {first.line}"
                findings.refuse(listen, reason, "give each listener its own address")
            seen.setdefault(where, listen)


def load_config(
    source: Path | Node,
    *,
    content: bytes | None = None,
    shown: str | None = None,
    environ: Mapping[str, str] = os.environ,
    warnings: list[str] | None = None,
    check_material: MaterialCheck | None = None,
) -> HttpConfig:
    """Read and check http.yaml, or an inline mapping of siphon.yaml.

    content: what was read of the file before. shown: its name in messages; warnings: lines are appended; check_material:
    looks into certificates and keys.

    Raises:
        ConfigError: with every mistake of the file.
        TlsMaterialError: all is well but certificates or keys that cannot be used.
    """
    problems: list[Problem] = []
    notes: list[str] = [] if warnings is None else warnings
    if isinstance(source, Node):
        node = source
    else:
        node = load(source, content=content, shown=shown, environ=environ, problems=problems, warnings=notes)
    config = read(node, HttpConfig, problems, notes)
    material: list[Problem] = []
    if check_material is not None and isinstance(node, MappingNode):
        material = _material_problems(node, check_material, notes)
    if problems or config is None:
        raise ConfigError(sorted_problems([*problems, *material]))
    if material:
        raise TlsMaterialError(sorted_problems(material))
    return config


def _material_problems(node: MappingNode, check: MaterialCheck, notes: list[str]) -> list[Problem]:
    """Return what is wrong inside the PEM files of servers and clients, placed where the file names them."""
    problems: list[Problem] = []
    servers, clients = node.get("servers"), node.get("clients")
    for server in servers.items if isinstance(servers, SequenceNode) else ():
        if isinstance(server, MappingNode) and isinstance(tls := server.get("tls"), MappingNode):
            names = _served_names(server)
            files = {name: tls.get(name) for name in ("cert_path", "key_path", "client_ca")}
            if files["cert_path"] is not None and files["key_path"] is not None:
                _check_files(tuple(files.values()), names, check, problems, notes)
    for client in clients.values() if isinstance(clients, MappingNode) else ():
        if isinstance(client, MappingNode):
            _check_files((client.get("cert"), client.get("key"), client.get("verify")), (), check, problems, notes)
    return problems


def _served_names(server: MappingNode) -> tuple[str, ...]:
    """Return the host name of `listen`, if it is one that a certificate can hold."""
    try:
        address = parse_address(server["listen"])
    except (ConfigError, KeyError):
        return ()
    return (address.host,) if address.is_host_name else ()


def _check_files(
    nodes: tuple[Node | None, ...],
    names: Sequence[str],
    check: MaterialCheck,
    problems: list[Problem],
    notes: list[str],
) -> None:
    """Check certificate, key and CA of one listener or client, if all the files that it names are there."""
    paths: list[Path | None] = []
    for node in nodes:
        named = isinstance(node, ScalarNode) and node.value is not None
        paths.append(node.relative(node.text) if named and isinstance(node, ScalarNode) else None)
    certificate, key, authority = paths
    if certificate is authority is None or any(path is not None and not path.is_file() for path in paths):
        return  # reported as a missing file
    first = next(node for node, path in zip(nodes, paths, strict=True) if node is not None and path is not None)
    try:
        found = check(certificate, key, authority, names)
    except TlsMaterialError as exc:
        by_file = {str(path): node for path, node in zip(paths, nodes, strict=True) if path is not None and node}
        problems += [by_file.get(one.file, first).problem(one.reason, one.hint) for one in exc.problems]
        return
    notes += [f"{first.place}: {first.path}: {text}" for text in found]
