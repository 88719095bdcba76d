"""The stand-in for a model hub as a process of its own: `python hub_process.py HUB_PORT STORE_PORT HELD`. It gives HELD
bytes of a file and then waits, unless that is 0; it prints "ready", and each Range that it was asked for.
"""

import sys
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import hub

WORDS = b"words of the hub"
WEIGHTS = bytes(range(256)) * 8192  # 2 MiB
REPO = "somebody/hub-toy"


class Standing(hub.Hub):
    def __init__(self, *ports):
        self._ports = dict(zip(("hub", "store"), ports, strict=True))
        super().__init__()

    def _server(self, where):
        handler = type("Answering", (hub._Handler,), {"hub": self, "where": where})
        ThreadingHTTPServer.allow_reuse_address = True
        server = ThreadingHTTPServer(("127.0.0.1", self._ports[where]), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server


def main():
    *ports, held = map(int, sys.argv[1:])
    standing = Standing(*ports)
    standing.repos[REPO] = {"words.txt": WORDS, "model.bin": WEIGHTS}
    if held:
        standing.hold["model.bin"] = held
    print("ready", flush=True)
    told = 0
    while True:
        for seen in standing.seen[told:]:
            told += 1
            if seen.range:
                print(seen.range, flush=True)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
