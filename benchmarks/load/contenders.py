"""Who runs: for each contender its command line, what it needs to be there, and its configuration."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cases import OURS

__all__ = ["CONTENDERS", "Command", "Contender", "MissingError", "Place", "find_program", "make_certificate"]

HERE = Path(__file__).parent
APPS = HERE / "apps"


class MissingError(Exception):
    """A contender cannot run here; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a contender is to run: its port, a folder of its own, and the certificate when it is to speak TLS.

    http2: it will be asked over HTTP/2 only, for those that must be told.
    """

    port: int
    folder: Path
    rival_python: str
    certificate: Path | None = None
    key: Path | None = None
    http2: bool = False

    def material(self) -> list[str]:
        """Return the certificate's and the key's file, or nothing for cleartext."""
        return [str(self.certificate), str(self.key)] if self.certificate else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to execute. environment: added to ours."""

    arguments: list[str]
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contender:
    """One server.

    version: takes the rivals' interpreter, returns what will run, raises MissingError; command: how it is started at a place.
    """

    name: str
    version: Callable[[str], str]
    command: Callable[[Place], Command]


def find_program(name: str, package: str = "") -> str:
    """Return the path of a program, also where only root's PATH has it. package: Debian's. Raises MissingError."""
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise MissingError(f"no program named {name}; install it (Debian: apt-get install {package or name})")
    return found


def module_version(python: str, module: str, install: str) -> str:
    """Return the version of an installed distribution whose module imports. Raises MissingError."""
    code = f"import {module}, importlib.metadata as m; print(m.version({module!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MissingError(f"{reason}; {Path(python).name} -m pip install {install!r}, or name another --rival-python")
    return done.stdout.strip()


def our_version(_rival_python: str) -> str:
    """Return the version of siphon-http that this interpreter has installed. Raises MissingError."""
    # Installed, not merely importable: the host finds the http extension by the entry point of a distribution.
    code = "import siphon_http.__main__ as _, importlib.metadata as m; print(m.version('siphon-http'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise MissingError(f"{reason}; {Path(sys.executable).name} -m pip install -e . in the checkout")
    return done.stdout.strip()


def our_command(place: Place) -> Command:
    """Run siphon-http with this interpreter, as a user would from the script's folder."""
    environment = {"LOAD_PORT": str(place.port)}
    name = "siphon.yaml"
    if place.certificate:
        name = "siphon-tls.yaml"
        environment |= {"LOAD_CERT": str(place.certificate), "LOAD_KEY": str(place.key)}
    arguments = [sys.executable, "-m", "siphon_http", "run", name]
    return Command(arguments=arguments, folder=APPS / "siphon", environment=environment)


def nginx_version(_rival_python: str) -> str:
    """Return nginx's version. Raises MissingError."""
    done = subprocess.run([find_program("nginx"), "-v"], capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("/")[2] or "version unknown"


def nginx_command(place: Place) -> Command:
    """Fill in the configuration and run nginx in the foreground with its master and one worker."""
    lines = ""
    if place.certificate:
        lines = f"ssl_certificate {place.certificate}; ssl_certificate_key {place.key}; ssl_protocols TLSv1.2 TLSv1.3;"
    values = {
        "@FOLDER@": str(place.folder),
        "@PORT@": str(place.port),
        "@TLS@": " ssl" if place.certificate else "",
        "@HTTP2@": " http2" if place.http2 else "",
        "@MATERIAL@": lines,
    }
    text = (APPS / "nginx.conf.in").read_text()
    for name, value in values.items():
        text = text.replace(name, value)
    file = place.folder / "nginx.conf"
    file.write_text(text)
    arguments = [find_program("nginx"), "-p", str(place.folder), "-e", "stderr", "-c", str(file)]
    return Command(arguments=arguments)


def granian_version(rival_python: str) -> str:
    """Return granian's version. Raises MissingError."""
    module_version(rival_python, "uvloop", "granian[uvloop]")
    return module_version(rival_python, "granian", "granian[uvloop]")


def granian_command(place: Place) -> Command:
    """One worker, RSGI, uvloop; everything else as it comes: it tells HTTP/2 from HTTP/1.1 by itself."""
    arguments = [rival(place), "-m", "granian", "--interface", "rsgi", "--workers", "1", "--loop", "uvloop"]
    arguments += ["--host", "127.0.0.1", "--port", str(place.port), "--log-level", "warning"]
    if place.certificate:
        arguments += ["--ssl-certificate", str(place.certificate), "--ssl-keyfile", str(place.key)]
    return Command(arguments=[*arguments, "granian_app:app"], folder=APPS)


def uvicorn_version(rival_python: str) -> str:
    """Return uvicorn's version. Raises MissingError."""
    for module in ("uvloop", "httptools"):
        module_version(rival_python, module, "uvicorn[standard]")
    return module_version(rival_python, "uvicorn", "uvicorn[standard]")


def uvicorn_command(place: Place) -> Command:
    """One process, uvloop, httptools, nothing logged, nothing switched on that is not asked for."""
    arguments = [rival(place), "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--ws", "none"]
    arguments += ["--lifespan", "off", "--no-access-log", "--no-server-header", "--log-level", "warning"]
    arguments += ["--host", "127.0.0.1", "--port", str(place.port)]
    if place.certificate:
        arguments += ["--ssl-certfile", str(place.certificate), "--ssl-keyfile", str(place.key)]
    return Command(arguments=[*arguments, "uvicorn_app:app"], folder=APPS)


def hypercorn_version(rival_python: str) -> str:
    """Return hypercorn's version. Raises MissingError."""
    for module in ("uvloop", "h2"):
        module_version(rival_python, module, "hypercorn uvloop")
    return module_version(rival_python, "hypercorn", "hypercorn uvloop")


def hypercorn_command(place: Place) -> Command:
    """One worker, uvloop, nothing logged, and uvicorn's application; connections are never retired."""
    settings = ["workers = 1", 'worker_class = "uvloop"', 'loglevel = "WARNING"', f'bind = "127.0.0.1:{place.port}"']
    # The default of 1000 would make it answer GOAWAY all through a load.
    settings += ["keep_alive_max_requests = 1000000000"]
    if place.certificate:
        settings += [f'certfile = "{place.certificate}"', f'keyfile = "{place.key}"']
    file = place.folder / "hypercorn.toml"
    file.write_text("\n".join(settings) + "\n")
    return Command(arguments=[rival(place), "-m", "hypercorn", "-c", str(file), "uvicorn_app:app"], folder=APPS)


def aiohttp_version(rival_python: str) -> str:
    """Return aiohttp's version. Raises MissingError."""
    module_version(rival_python, "uvloop", "uvloop")
    return module_version(rival_python, "aiohttp", "aiohttp")


def aiohttp_command(place: Place) -> Command:
    """aiohttp's own server on uvloop."""
    return Command(arguments=[rival(place), str(APPS / "aiohttp_app.py"), str(place.port), *place.material()])


def floor_version(_rival_python: str) -> str:
    """Return the version of the uvloop that our server uses. Raises MissingError."""
    return module_version(sys.executable, "uvloop", "uvloop")


def floor_command(place: Place) -> Command:
    """The floor runs on the interpreter and the uvloop that our server runs on."""
    return Command(arguments=[sys.executable, str(APPS / "uvloop_floor.py"), str(place.port), *place.material()])


def rival(place: Place) -> str:
    """Return the rivals' interpreter, absolute, without resolving the link that makes it a virtual environment's."""
    return str(Path(place.rival_python).absolute())


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key (P-256, PKCS#8); return both files. Raises MissingError."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    arguments = [find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    arguments += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    arguments += ["-keyout", str(key), "-out", str(certificate)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"openssl makes no certificate: {done.stderr.strip()}")
    return certificate, key


CONTENDERS: Mapping[str, Contender] = {
    c.name: c
    for c in (
        Contender(OURS, our_version, our_command),
        Contender("nginx", nginx_version, nginx_command),
        Contender("granian", granian_version, granian_command),
        Contender("uvicorn", uvicorn_version, uvicorn_command),
        Contender("hypercorn", hypercorn_version, hypercorn_command),
        Contender("aiohttp", aiohttp_version, aiohttp_command),
        Contender("uvloop-floor", floor_version, floor_command),
    )
}
