"""The smallest server: one route. `curl http://127.0.0.1:8080/hello/world` answers `hi world`."""

from siphon import http


@http.route("/hello/{name}", methods=["GET"])
async def hello(req):
    return http.Response(status=200, body=f"hi {req.path_params['name']}".encode())
