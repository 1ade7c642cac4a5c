"""Middleware of both kinds: wraps see the response, a guard only decides whether there will be one.

The first registered is the outermost:

    request_id -> timing -> errors -> token -> the handler

They run for every route that matched, and not for a 404 or 405. Run it with API_TOKEN set; without it only /healthz
answers.
"""

import contextvars
import hmac
import json
import os
import time
import uuid

from siphon import http, log

TOKEN = os.environ.get("API_TOKEN", "").encode()
PUBLIC = {"/healthz"}  # patterns of the routes that need no token
request_id = contextvars.ContextVar("request_id", default="-")


class NotFound(Exception):  # noqa: N818
    """There is no such thing."""


def answer(status, content):
    return http.Response(status, {"content-type": "application/json"}, json.dumps(content))


@http.middleware
async def name_the_request(req, call_next):
    """Give each request an id; everything below sees it, plain handlers on their threads too."""
    sent = req.header("x-request-id") or ""
    is_usable = sent.isascii() and sent.isalnum() and len(sent) <= 64
    request_id.set(sent if is_usable else uuid.uuid4().hex)
    response = await call_next(req)
    response.headers["x-request-id"] = request_id.get()
    return response


@http.middleware
async def time_the_request(req, call_next):
    began = time.perf_counter()
    response = await call_next(req)
    response.headers["server-timing"] = f"app;dur={(time.perf_counter() - began) * 1000:.2f}"
    return response


@http.middleware
async def answer_errors(req, call_next):
    """Turn the errors of handlers into answers, in one place. What is not named here is a 500, made by the server."""
    try:
        return await call_next(req)
    except NotFound as error:
        return answer(404, {"error": str(error), "request_id": request_id.get()})
    except ValueError as error:
        log.info(f"{request_id.get()}: {req.method} {req.path}: {error}")
        return answer(400, {"error": "the request cannot be understood", "request_id": request_id.get()})


@http.middleware
async def require_token(req):
    """A guard: None goes on, a Response ends it here."""
    if req.route in PUBLIC:
        return None
    given = (req.header("authorization") or "").encode("latin-1")
    if TOKEN and hmac.compare_digest(given, b"Bearer " + TOKEN):
        return None
    return http.Response(401, {"www-authenticate": "Bearer", "content-type": "text/plain"}, "unauthorized\n")


@http.route("/healthz")
async def healthz(req):
    return http.Response(200, body=b"ok")


@http.route("/things/{number}")
async def thing(req):
    number = int(req.path_params["number"])
    if number > 100:
        raise NotFound(f"there is no thing {number}")
    return answer(200, {"thing": number})


@http.route("/whoami")
def whoami(req):
    """A plain function: it runs on a thread, where the context variables are those of the request."""
    return answer(200, {"request_id": request_id.get(), "client": req.client})
