"""OSV's API, as far as Pipeyard uses it, by its documentation: https://google.github.io/osv.dev/api/.

Nothing here is recorded of the real server, which wasn't reachable where this was written.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class OsvServer:
    """Serves advisories.

    Attributes:
        advisories: by id, as `GET /v1/vulns/ID` has them; `versions` of `affected` are what they are about.
        page: how many ids of a package one answer has.
        faults: statuses that the next requests get instead.
        batches: the queries of each `querybatch`.
    """

    def __init__(self, *advisories: dict[str, Any]) -> None:
        self.advisories = {each["id"]: each for each in advisories}
        self.page = 1000
        self.faults: list[int] = []
        self.batches: list[list[dict[str, Any]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                found = server.advisories.get(self.path.removeprefix("/v1/vulns/"))
                self.answer(200 if found else 404, found or {"code": 5, "message": "Bug not found."})

            def do_POST(self):
                queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
                if len(queries) > 1000:
                    self.answer(400, {"code": 3, "message": "Too many queries"})
                    return
                server.batches.append(queries)
                self.answer(200, {"results": [server.result(query) for query in queries]})

            def answer(self, status: int, content: Any) -> None:
                status = server.faults.pop(0) if server.faults else status
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def result(self, query: dict[str, Any]) -> dict[str, Any]:
        """Returns what one query gets: `{}` if there is nothing."""
        assert query["package"]["ecosystem"] == "PyPI"
        ids = [
            name
            for name, each in self.advisories.items()
            for affected in each["affected"]
            if affected["package"]["name"] == query["package"]["name"] and query["version"] in affected["versions"]
        ]
        begin = int(query.get("page_token") or 0)
        told = [{"id": name, "modified": "2024-01-01T00:00:00Z"} for name in ids[begin : begin + self.page]]
        more = {"next_page_token": str(begin + self.page)} if begin + self.page < len(ids) else {}
        return {**({"vulns": told} if told else {}), **more}

    def close(self) -> None:
        """Ends it."""
        self._httpd.shutdown()
        self._httpd.server_close()
