"""One handler for two methods; it branches on `req.method`. Any other method is answered 405 with Allow.

The script is the one of the http extension's overview, word for word.
"""

# fmt: off
# ruff: noqa: I001
from siphon import http

@http.route("/orders/{id}", methods=["GET", "DELETE"])
async def order(req):
    oid = req.path_params["id"]
    if req.method == "DELETE":
        return http.Response(status=204)
    return http.Response(
        status=200,
        headers={"Content-Type": "application/json"},
        body=f'{{"id": "{oid}"}}'.encode(),
    )
