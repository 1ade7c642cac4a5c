"""Other people's HTTP/2 clients against the server: node, Go, h2load, nghttp; those that the machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .launch import Server, serving
from .test_tls import AUTHORITY, write


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """apps/main.py in cleartext and over TLS, with the hot path and with every frame through h2."""
    folder = tmp_path_factory.mktemp("clients")
    AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    tls = write(AUTHORITY.issue_cert("localhost", "127.0.0.1"), folder, "server")
    listeners: dict[str, dict[str, object]] = {"plain": {}, "tls": {"tls": tls}}
    listeners |= {f"{name}-h2": {**keys, "http2_through_h2": True} for name, keys in listeners.items()}
    yield from serving(folder, "main.py", listeners)


def run(server: Server, *command: str, **environment: str) -> str:
    """Run a client to its end; what it says is returned, and shown when it fails."""
    done = subprocess.run(
        command,
        cwd=server.folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"no {tool} on this machine")


both_ways = pytest.mark.parametrize("listener", ["plain", "tls", "plain-h2", "tls-h2"])


def url(server: Server, listener: str) -> str:
    return f"{'https' if listener.startswith('tls') else 'http'}://localhost:{server[listener][1]}"


NODE = """
const http2 = require('http2'), fs = require('fs'), assert = require('assert');
const ca = fs.readFileSync('ca.pem');
const session = http2.connect(process.argv[2], { ca, settings: { initialWindowSize: 20000 } });
session.on('error', (error) => { console.error(error); process.exit(1); });
const ask = (headers, body, before) => new Promise((done, fail) => {
  const stream = session.request(headers), pieces = [];
  let status = 0;
  stream.on('response', (found) => { status = found[':status']; if (before) before(stream); });
  stream.on('data', (piece) => pieces.push(piece));
  stream.on('close', () => done({ status, code: stream.rstCode, body: Buffer.concat(pieces) }));
  stream.on('error', (error) => { if (!before) fail(error); });
  stream.end(body);
});
(async () => {
  const first = await ask({ ':path': '/' });
  assert.strictEqual(first.status + first.body.toString(), '200ok');
  const large = Buffer.alloc(300000, 'abc');
  const many = [];
  for (let n = 0; n < 10; n++) many.push(ask({ ':path': '/echo', ':method': 'POST' }, large));
  for (let n = 0; n < 100; n++) many.push(ask({ ':path': '/names/n' + n }));
  for (const [n, got] of (await Promise.all(many)).entries())
    assert.ok(got.status === 200 && (n >= 10 || got.body.equals(large)), 'answer ' + n);
  const streamed = await ask({ ':path': '/stream-back', ':method': 'POST' }, large);
  assert.ok(streamed.body.equals(large), 'streamed ' + streamed.body.length);
  const cut = ask({ ':path': '/sleep/3000' });
  assert.strictEqual((await ask({ ':path': '/nowhere' })).status, 404);
  const head = await ask({ ':path': '/head-get', ':method': 'HEAD' });
  assert.strictEqual(head.status + '-' + head.body.length, '200-0');
  await new Promise((done, fail) => session.ping((error) => (error ? fail(error) : done())));
  session.destroy();
  await cut.catch(() => 0);
  console.log('fine');
})().catch((error) => { console.error(error); process.exit(1); });
"""


@needs("node")
@both_ways
def test_node(server: Server, listener: str) -> None:
    (server.folder / "client.js").write_text(NODE)
    assert run(server, "node", "client.js", url(server, listener)) == "fine\n"


GO = """
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

func check(ok bool, what ...any) {
	if !ok {
		fmt.Fprintln(os.Stderr, what...)
		os.Exit(1)
	}
}

func main() {
	pem, _ := os.ReadFile("ca.pem")
	pool := x509.NewCertPool()
	check(pool.AppendCertsFromPEM(pem), "no CA")
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	for _, base := range os.Args[1:] {
		large := bytes.Repeat([]byte("abc"), 300000)
		var all sync.WaitGroup
		for n := 0; n < 60; n++ {
			all.Add(1)
			go func(n int) {
				defer all.Done()
				var found *http.Response
				var err error
				if n%3 == 0 {
					found, err = client.Post(base+"/echo", "text/plain", bytes.NewReader(large))
				} else {
					found, err = client.Get(base + "/")
				}
				check(err == nil, err)
				body, err := io.ReadAll(found.Body)
				check(err == nil && found.ProtoMajor == 2 && found.StatusCode == 200, err, found)
				check(n%3 == 0 && bytes.Equal(body, large) || n%3 != 0 && string(body) == "ok", len(body))
			}(n)
		}
		all.Wait()
		context, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		request, _ := http.NewRequestWithContext(context, "GET", base+"/sleep/3000", nil)
		_, err := client.Do(request)
		check(err != nil, "no time-out")
		cancel()
		found, err := client.Head(base + "/head-get")
		check(err == nil && found.ContentLength == 5, err, found)
	}
	fmt.Println("fine")
}
"""


@needs("go")
def test_go(server: Server, tmp_path: Path) -> None:
    (server.folder / "client.go").write_text(GO)
    cache = {} if "HOME" in os.environ else {"GOCACHE": str(tmp_path)}
    bases = [url(server, listener) for listener in ("tls", "tls-h2")]
    assert run(server, "go", "run", "client.go", *bases, GO111MODULE="off", GOFLAGS="", **cache) == "fine\n"


@needs("h2load")
@both_ways
@pytest.mark.parametrize("windows", [[], ["-w", "1", "-W", "14"]], ids=["wide", "narrow"])
def test_h2load(server: Server, listener: str, windows: list[str]) -> None:
    said = run(server, "h2load", "-n", "2000", "-c", "10", "-m", "50", *windows, f"{url(server, listener)}/names/x")
    assert "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert "2000 2xx" in said


@needs("nghttp")
@both_ways
def test_nghttp_with_priorities_padding_and_continuation(server: Server, listener: str) -> None:
    (server.folder / "body").write_bytes(b"abc" * 30_000)
    base = url(server, listener)
    said = run(server, "nghttp", "-m", "20", "-b", "100", "-p", "3", f"{base}/", f"{base}/head-get")
    assert said.count("ok") == 20 and said.count("12345") == 20
    said = run(server, "nghttp", "--continuation", "-w", "10", "-W", "12", "-d", "body", f"{base}/echo")
    assert said == "abc" * 30_000
