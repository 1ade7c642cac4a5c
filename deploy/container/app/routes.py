"""Shows that the container serves: `curl http://127.0.0.1:8080/`."""

from siphon import http


@http.route("/", methods=["GET"])
async def index(req):
    return http.Response(status=200, body=b"siphon-http serves; mount your own folder over /etc/siphon\n")
