"""A service that registers with a registry before it takes a request, and takes its name back when it ends.

The registry is told before the listeners are open (`@http.on_startup`), and again after the last request was answered
(`@http.on_shutdown`), as long as the process is stopped by SIGTERM or Ctrl-C.
"""

import os

from siphon import http, log

NAME = os.environ.get("SERVICE_NAME", "gateway-1")
URL = os.environ.get("SERVICE_URL", "http://127.0.0.1:8080")

registry = http.Client("registry")


@http.on_startup
async def register():
    answer = await registry.put(f"/services/{NAME}", json={"name": NAME, "url": URL})
    answer.raise_for_status()
    log.info(f"registered as {NAME}")


@http.on_shutdown
async def deregister():
    answer = await registry.delete(f"/services/{NAME}")
    if answer.status != 404:  # somebody else has done it
        answer.raise_for_status()
    log.info(f"{NAME} is taken back")


@http.route("/healthz")
def healthz(req):
    return http.Response(body=b"ok")
