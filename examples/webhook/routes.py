"""A webhook that trusts nothing but the signature, and takes every event once.

The sender signs `id.timestamp.body` with HMAC-SHA256 and a shared secret, and sends three fields, as Standard Webhooks
lays down: `webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature` (`v1,<base64>`, several of them
separated by spaces while a secret is changed). Run it with WEBHOOK_SECRET set; without it every delivery is refused.

What was seen is kept in this process. With several processes it belongs in a store that they share.
"""

import base64
import hashlib
import hmac
import json
import os
import time

from siphon import http, log

TOLERANCE_SECS = 300  # a signature older, or further in the future, is refused
REMEMBERED = 10_000  # events whose repetition is noticed


class Deliveries:
    """Which events were taken already; at most `most` of them. A dict keeps its keys in the order they came."""

    def __init__(self, most):
        self._most = most
        self._taken = {}  # id -> when it was taken, seconds of the monotonic clock; None while it is being handled

    def state(self, event):
        """Return "new", "running" or "done"."""
        if event not in self._taken:
            return "new"
        return "running" if self._taken[event] is None else "done"

    def has_room(self, now):
        """Make room for one more. The oldest may only be forgotten once its signature is too old to be replayed."""
        while len(self._taken) >= self._most:
            oldest, taken = next(iter(self._taken.items()))
            if taken is None or now - taken < 2 * TOLERANCE_SECS:
                return False
            del self._taken[oldest]
        return True

    def begin(self, event):
        self._taken[event] = None

    def done(self, event, now):
        self._taken[event] = now

    def failed(self, event):
        self._taken.pop(event, None)


SECRET = os.environ.get("WEBHOOK_SECRET", "").encode()
deliveries = Deliveries(REMEMBERED)


def is_signed(req, event, stamp):
    """Whether one of the signatures is right. The raw body is signed: parse it afterwards, never before."""
    content = f"{event}.{stamp}.".encode() + req.body()
    right = b"v1," + base64.b64encode(hmac.new(SECRET, content, hashlib.sha256).digest())
    given = (req.header("webhook-signature") or "").encode("latin-1").split()
    # compare_digest takes as long for a near miss as for a far one: its time tells nothing about the right signature.
    return any(hmac.compare_digest(one, right) for one in given)


def is_recent(stamp):
    """Whether the time stamp, a text of digits, is within the tolerance: an old delivery cannot be sent again."""
    return stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and abs(time.time() - int(stamp)) <= TOLERANCE_SECS


def refuse(status, text, **headers):
    return http.Response(status, {"content-type": "text/plain", **headers}, text + "\n")


@http.on_startup
def look_at_the_secret():
    if not SECRET:
        log.warn("WEBHOOK_SECRET is not set: every delivery will be refused")


@http.route("/webhook", methods=["POST"], max_body_bytes=262_144, on_disconnect="finish")
async def webhook(req):
    if not SECRET:
        return refuse(503, "no secret is configured")
    event, stamp = req.header("webhook-id") or "", req.header("webhook-timestamp") or ""
    if not event or len(event) > 200 or not is_signed(req, event, stamp):
        return refuse(401, "the signature is missing or wrong")
    if not is_recent(stamp):
        return refuse(401, "the time stamp is too old or too new")
    if deliveries.state(event) == "done":
        return http.Response(200, body="duplicate\n")
    if deliveries.state(event) == "running":
        return refuse(409, "the same event is being handled", **{"retry-after": "5"})
    if not deliveries.has_room(time.monotonic()):
        return refuse(503, "too many events", **{"retry-after": "60"})
    deliveries.begin(event)
    try:
        await handle(json.loads(req.body()))
    except ValueError:
        deliveries.failed(event)
        return refuse(400, "the body is not JSON")
    except BaseException:
        deliveries.failed(event)  # the sender gets a 500 and will try again
        raise
    deliveries.done(event, time.monotonic())
    return http.Response(200, body="taken\n")


async def handle(message):
    """What the event is for: here it is only logged."""
    kind = message.get("type") if isinstance(message, dict) else None
    log.info(f"event {kind!r}")
