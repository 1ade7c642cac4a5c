from siphon import cache, http, log, metrics, timer

calls = metrics.counter("calls_total", "Calls by caller.", ["caller"])
depth = metrics.gauge("queue_depth", "Calls that wait.")
setup = metrics.histogram("setup_seconds", "Time to set a call up.", buckets=[0.1, 0.5, 1, 5])


@http.route("/calls/{caller}", methods=["POST"])
async def call(req):
    caller = req.path_params["caller"]
    calls.labels(caller=caller).inc()
    setup.observe(0.2)
    first = await cache.fetch("seen", caller) is None
    await cache.store("seen", caller, "yes", ttl=3600)
    log.info(f"a call of {caller}")  # the line has the field request_id
    depth.inc()
    timer.set(f"hangup:{caller}", 50, hang_up)
    return http.Response(201 if first else 200, {"content-type": "text/plain"}, req.request_id)


async def hang_up(key):
    depth.dec()
    log.info(f"{key} is over")


@timer.every(30, name="report", jitter=5)
def report():
    log.info(f"{timer.active_count} calls are under way")
