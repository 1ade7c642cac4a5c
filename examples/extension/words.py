from siphon import beacon, log


@beacon.on("ping")
def pong(peer):
    log.info(f"ping from {peer}")
    return "pong"
