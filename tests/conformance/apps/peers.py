"""Who the client is."""

from __future__ import annotations

import json

from siphon import http


@http.route("/")
async def index(req):
    return http.Response(body=b"ok")


@http.middleware
async def early(req):
    req.state["client"] = req.client


@http.route("/peer")
async def peer(req):
    certificate = req.peer_certificate
    return http.Response(
        body=json.dumps(
            {
                "client": req.client,
                "in_middleware": req.state["client"],
                "scheme": req.scheme,
                "host": req.host,
                "url": str(req.url),
                "certificate": None if certificate is None else str(certificate),
            }
        )
    )


@http.route("/echo", methods=["POST"])
async def echo(req):
    return http.Response(body=req.body())


@http.route("/bulk/{n}")
async def bulk(req):
    return http.Response(body=b"x" * int(req.path_params["n"]))
