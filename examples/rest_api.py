"""A small REST surface in front of an API; `clients.api` of http.yaml says where that is.

The script is the one that shows the http extension in the guide to siphon's extensions, word for word. Its test needs
neither a server nor the API: tests/examples/test_rest_api.py. `examples/rest_api/` has the configuration to serve it.
"""

# fmt: off
# ruff: noqa: I001
from siphon import http

@http.route("/healthz")
def healthz(req):
    return http.Response(status=200, body=b"ok")

@http.route("/users/{id}", methods=["GET"])
async def get_user(req):
    async with http.Client("api") as client:
        upstream = await client.get(f"/v1/users/{req.path_params['id']}")
    return http.Response(status=upstream.status, body=upstream.body)
