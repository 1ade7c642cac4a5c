"""The ways to have a client: named and kept, named for a block, and inline with certificates of its own.

Each is as the guides of the http extension show it. A named client costs nothing to construct and shares its pool; an
inline one has a pool of its own, which ends with its block.
"""

# fmt: off
import os

from siphon import http

api = http.Client("api")           # named, pooled — construct once, reuse

@http.route("/screen/{user}")
async def screen(req):
    verdict = await api.get(f"/screen/{req.path_params['user']}")
    if verdict.status != 200:
        return http.Response(status=403, body=b"Blocked")
    return http.Response(status=200, body=b"relayed")

@http.route("/things")
async def things(req):
    async with http.Client("api") as c:
        resp = await c.get("/v1/things")
        resp.raise_for_status()
    return http.Response(status=200, headers={"Content-Type": "application/json"}, body=resp.body)

@http.route("/partner")
async def partner(req):
    folder = os.environ["PARTNER_CERTIFICATES"]
    client = http.Client(base_url=os.environ["PARTNER_URL"],   # inline
            verify=f"{folder}/ca.crt",
            cert=(f"{folder}/c.crt", f"{folder}/c.key"))
    async with client:
        answer = await client.get("/whoami")
    return http.Response(status=answer.status, body=answer.body)
