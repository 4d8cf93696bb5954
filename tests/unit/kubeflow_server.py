"""Kubeflow Pipelines' API v2beta1 on the loopback: pipelines and their versions, with the server's rules for names."""

import io
import itertools
import json
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

_LONGEST = 127
_PAGE = 2


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubeflowServer:
    """The server: a pipeline's name is unique, a version's within its pipeline, archives begin with `pipeline.yaml`."""

    def __init__(self) -> None:
        self.pipelines: dict[str, dict] = {}
        self.versions: dict[str, dict] = {}
        self.uploads = 0
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name  # http.server's
                self._answer(b"")

            def do_POST(self):  # pylint: disable=invalid-name
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body):
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                try:
                    status, answer = 200, server.answer(self.command, unquote(url.path), query, body)
                except Refused as error:
                    status, answer = error.status, {"error": str(error)}
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> dict:
        path = path.removeprefix("/apis/v2beta1/")
        with self._lock:
            if path == "healthz":
                return {"multi_user": False}
            if match := re.fullmatch(r"pipelines/names/(.+)", path):
                return self.pipeline_named(match[1])
            if match := re.fullmatch(r"pipelines/(\d+)/versions", path):
                return self._page(match[1], int(query.get("page_token") or 0))
            if path == "pipelines/upload_version":
                return self._version(query["pipelineid"], query["name"], body, query.get("tags", "{}"))
            if path == "pipelines/upload":
                made = self._pipeline(query["name"])
                self._version(made["pipeline_id"], query["name"], body)  # the server's rule: both have one name
                return made
            if path == "pipelines" and method == "POST":
                return self._pipeline(json.loads(body)["name"])
        raise Refused(404, path)

    def pipeline_named(self, name: str) -> dict:
        found = [each for each in self.pipelines.values() if each["name"] == name]
        if not found:
            raise Refused(404, f"no pipeline {name}")
        return found[0]

    def _pipeline(self, name: str) -> dict:
        if any(each["name"] == name for each in self.pipelines.values()):
            raise Refused(409, f"there is a pipeline {name} already")
        made = {"pipeline_id": str(next(self._ids)), "name": name, "display_name": name}
        self.pipelines[made["pipeline_id"]] = made
        return made

    def _version(self, pipeline: str, name: str, body: bytes, tags: str = "{}") -> dict:
        self.uploads += 1
        if pipeline not in self.pipelines:
            raise Refused(404, f"no pipeline {pipeline}")
        if len(name) > _LONGEST:
            raise Refused(400, f"{name} is longer than {_LONGEST}")
        if any((each["pipeline_id"], each["name"]) == (pipeline, name) for each in self.versions.values()):
            raise Refused(409, f"there is a version {name} already")
        archive = body[body.index(b"\x1f\x8b") :]
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            if opened.getnames()[0] != "pipeline.yaml":
                raise Refused(400, "the first member isn't pipeline.yaml")
        made = {
            "pipeline_version_id": str(next(self._ids)),
            "pipeline_id": pipeline,
            "name": name,
            "display_name": name,
            "tags": json.loads(tags),
        }
        self.versions[made["pipeline_version_id"]] = made
        return made

    def _page(self, pipeline: str, start: int) -> dict:
        found = [each for each in self.versions.values() if each["pipeline_id"] == pipeline]
        page = {"pipeline_versions": found[start : start + _PAGE]}
        return {**page, "next_page_token": str(start + _PAGE)} if start + _PAGE < len(found) else page

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
