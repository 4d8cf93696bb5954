"""Cloud Scheduler's API on the loopback, as far as it is used."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SchedulerServer(ThreadingHTTPServer):
    """The server. It answers the first request that it is too busy.

    Attributes:
        jobs: by resource name.
        asked: methods of requests.
        refuses: whether it answers that one may not.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict] = {}
        self.asked: list[str] = []
        self.refuses = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            """Keeps jobs."""

            def _answer(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append(self.command)
                name = self.path.removeprefix("/v1/")
                status = 429 if len(server.asked) == 1 else 403 if server.refuses else 200
                if status == 200 and self.command == "PATCH" and name not in server.jobs:
                    status = 404
                elif status == 200:
                    server.jobs[body["name"]] = body
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"not you" if status != 200 else b"{}")

            do_PATCH = do_POST = _answer

            def log_message(self, *_) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
