"""A reverse proxy: every path goes to `clients.upstream`, and bodies stream through both ways in little memory.

Fields that belong to one connection stay on it (RFC 9110, 7.6.1). Of an upstream that cannot be reached the client sees
502, of one that is too slow 504; when it breaks off in the middle, so do we, since the status has been sent.
"""

from siphon import http, log

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

upstream = http.Client("upstream")


def passed_on(headers, *more):
    """Return the fields that are meant for the other end, as a dict."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    left_out = HOP_BY_HOP | named | set(more)
    return {name: value for name, value in headers.items() if name not in left_out}


@http.route("/", METHODS, stream=True)
@http.route("/{*path}", METHODS, stream=True)
async def forward(req):
    headers = passed_on(req.headers, "host", "content-length", "expect", "accept-encoding")
    address = req.client.rpartition(":")[0]
    headers["x-forwarded-for"] = ", ".join(filter(None, [req.header("x-forwarded-for"), address]))
    headers["x-forwarded-proto"] = req.scheme
    target = req.raw_path + (f"?{req.query_string}" if req.query_string else "")
    has_body = req.header("transfer-encoding") or req.header("content-length") not in (None, "0")
    try:
        # An answer can be returned as it came: its content is passed on as it arrives, its own connection's fields are not.
        return await upstream.request(
            req.method, target, headers=headers, body=req.stream() if has_body else None, stream=True
        )
    except (http.ConnectTimeout, http.PoolTimeout, http.ReadTimeout, http.WriteTimeout, http.TotalTimeout) as error:
        log.warn(f"upstream: {error}")
        return http.Response(status=504, body=b"the upstream did not answer in time\n")
    except http.ClientError as error:
        log.warn(f"upstream: {error}")
        return http.Response(status=502, body=b"the upstream cannot be reached\n")
