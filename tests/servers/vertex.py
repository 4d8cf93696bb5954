"""Vertex AI's pipelines and schedules, and an Artifact Registry repository of format KFP, on the loopback.

What it enforces: ids of jobs are unique and of the form that Vertex AI takes, templates are one document, parameters
are those that the pipeline declares, artifacts go to Cloud Storage, labels have the characters that labels may have;
schedules are of five cron fields and are neither deleted twice nor resumed while they run.
"""

import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from croniter import croniter

PROJECT, REGION = "acme", "europe-west1"
_PARENT = f"projects/{PROJECT}/locations/{REGION}"
_LABEL = re.compile(r"[a-z0-9_-]{0,63}")


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class VertexServer:
    """The servers, as one.

    Attributes:
        url: of the API.
        jobs, schedules: by resource name.
        templates: `package/sha256:...` to content.
        tags: `package/tag` to the key of `templates`.
        states: what the next looks at a job find, one after the other; the last one stays.
        faults: taken from the front, one a request: a status to answer with; `hang`; `cut`: it is done, but not
            answered; or None.
        token: that requests must have; None: any or none.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, dict] = {}
        self.schedules: dict[str, dict] = {}
        self.templates: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.states: list[str] = ["PIPELINE_STATE_RUNNING", "PIPELINE_STATE_SUCCEEDED"]
        self.details: list[dict] = []
        self.faults: list[int | str | None] = []
        self.token: str | None = None
        self.requests: list[tuple[str, str]] = []
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._gone = threading.Event()
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self.repository = f"{self.url}/{PROJECT}/pipelines"
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self) -> "VertexServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends; later connections are refused."""
        self._gone.set()
        self._httpd.shutdown()
        self._httpd.server_close()

    @property
    def gone(self) -> bool:
        """Whether it has ended: connections that are open aren't answered any more."""
        return self._gone.is_set()

    def hang(self) -> None:
        """Waits till the server ends."""
        self._gone.wait(60)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: Any) -> Any:
        """Returns what a request is answered, as JSON's values or as text."""
        if self.token is not None and headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, "UNAUTHENTICATED", "the token has expired")
        with self._lock:
            self.requests.append((method, path))
            if path == f"/{PROJECT}/pipelines":
                return self._template(body, headers["Content-Type"])
            if method == "GET" and path.startswith(f"/{PROJECT}/pipelines/"):
                return self._download(path.removeprefix(f"/{PROJECT}/pipelines/"))
            path = path.removeprefix("/v1/")
            for pattern, function in self._routes():
                if match := re.fullmatch(f"{method} {pattern}", f"{method} {path}"):
                    return function(*match.groups(), query, json.loads(body) if body else {})
        raise Refused(404, "NOT_FOUND", path)

    def _routes(self) -> list[tuple[str, Callable[..., Any]]]:
        jobs, schedules = f"({_PARENT}/pipelineJobs/[^/:]+)", f"({_PARENT}/schedules/[^/:]+)"
        return [
            (f"{_PARENT}/pipelineJobs", self._jobs),
            (jobs, self._look_at_job),
            (f"{_PARENT}/schedules", self._schedules),
            (f"{schedules}:(pause|resume)", self._turn),
            (schedules, self._schedule),
        ]

    def _jobs(self, query: dict[str, str], body: dict) -> dict:
        if not body:
            wanted = [re.fullmatch(r'(labels\.)?(\w+)="(.*)"', each) for each in query["filter"].split(" AND ")]
            found = [
                job
                for job in self.jobs.values()
                if all((job["labels"] if each[1] else job).get(each[2]) == each[3] for each in wanted)
            ]
            assert query["orderBy"] == "end_time desc"
            return {"pipelineJobs": sorted(found, key=lambda job: job.get("endTime", ""), reverse=True)}
        identity = query.get("pipelineJobId", "")
        if not re.fullmatch("[a-z][-a-z0-9]{0,127}", identity):
            raise Refused(400, "INVALID_ARGUMENT", f"{identity!r} can't be a job's id")
        name = f"{_PARENT}/pipelineJobs/{identity}"
        if name in self.jobs:
            raise Refused(409, "ALREADY_EXISTS", f"there is a job {name}")
        _check_job(body)
        self.jobs[name] = {**body, "name": name, "state": "PIPELINE_STATE_PENDING"}
        return self.jobs[name]

    def _look_at_job(self, name: str, query: dict[str, str], body: dict) -> dict:
        if name not in self.jobs:
            raise Refused(404, "NOT_FOUND", f"no job {name}")
        job = self.jobs[name]
        job["state"] = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if job["state"] == "PIPELINE_STATE_FAILED":
            job["error"] = {"code": 9, "message": "The DAG failed because some tasks failed."}
        return {**job, "jobDetail": {"taskDetails": self.details}}

    def _schedules(self, query: dict[str, str], body: dict) -> dict:
        if not body:
            wanted = re.fullmatch('display_name="(.*)"', query["filter"])
            assert wanted
            return {"schedules": [each for each in self.schedules.values() if each["displayName"] == wanted[1]]}
        zone, cron = re.fullmatch(r"TZ=(\S+) (.*)", body["cron"]).groups()
        if len(cron.split()) != 5 or not croniter.is_valid(cron):
            raise Refused(400, "INVALID_ARGUMENT", f"{cron!r} in {zone} isn't cron")
        if int(body.get("maxConcurrentRunCount", 0)) < 1:
            raise Refused(400, "INVALID_ARGUMENT", "max_concurrent_run_count is required")
        request = body["createPipelineJobRequest"]
        if request["parent"] != _PARENT:
            raise Refused(400, "INVALID_ARGUMENT", "parent")
        _check_job(request["pipelineJob"])
        name = f"{_PARENT}/schedules/{next(self._ids)}"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())  # two in one second are alike, as anywhere
        self.schedules[name] = {**body, "name": name, "state": "ACTIVE", "createTime": now}
        return self.schedules[name]

    def _turn(self, name: str, what: str, query: dict[str, str], body: dict) -> dict:
        before, after = ("ACTIVE", "PAUSED") if what == "pause" else ("PAUSED", "ACTIVE")
        if name not in self.schedules:
            raise Refused(404, "NOT_FOUND", name)
        if self.schedules[name]["state"] != before:
            raise Refused(400, "FAILED_PRECONDITION", f"{name} isn't {before}")
        self.schedules[name] |= {"state": after, "catchUp": body.get("catchUp", False)}
        return {}

    def _schedule(self, name: str, query: dict[str, str], body: dict) -> dict:
        if name not in self.schedules:
            raise Refused(404, "NOT_FOUND", name)
        if self.requests[-1][0] == "GET":
            return self.schedules[name]
        del self.schedules[name]
        return {"name": f"{_PARENT}/operations/1", "done": True}

    def _template(self, body: bytes, content_type: str) -> str:
        parts = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\n\n" + body).get_payload()
        given = {part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True) for part in parts}
        documents = list(yaml.safe_load_all(given["content"]))
        if not isinstance(documents[0], dict) or "pipelineInfo" not in documents[0]:
            raise Refused(400, "INVALID_ARGUMENT", "no pipeline")
        version = f"{documents[0]['pipelineInfo']['name']}/sha256:{hashlib.sha256(given['content']).hexdigest()}"
        self.templates[version] = given["content"]
        package = version.partition("/")[0]
        self.tags |= {f"{package}/{tag}": version for tag in given["tags"].decode().split(",")}
        return version

    def _download(self, path: str) -> str:
        version = self.tags.get(path, path)
        if version not in self.templates:
            raise Refused(404, "NOT_FOUND", path)
        return self.templates[version].decode()


def _check_job(job: dict) -> None:
    spec, config = job["pipelineSpec"], job["runtimeConfig"]
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    given = config.get("parameterValues", {})
    if spec["schemaVersion"] != "2.1.0":
        raise Refused(400, "INVALID_ARGUMENT", "schemaVersion")
    if unknown := sorted(set(given) - set(declared)):
        raise Refused(400, "INVALID_ARGUMENT", f"parameters {unknown} aren't found in the pipeline")
    needed = [name for name, each in declared.items() if not each.get("isOptional") and "defaultValue" not in each]
    if missing := sorted(set(needed) - set(given)):
        raise Refused(400, "INVALID_ARGUMENT", f"parameters {missing} are missing")
    if not config.get("gcsOutputDirectory", "").startswith("gs://"):
        raise Refused(400, "INVALID_ARGUMENT", "gcs_output_directory")
    for key, value in job.get("labels", {}).items():
        if not (_LABEL.fullmatch(key) and _LABEL.fullmatch(value)):
            raise Refused(400, "INVALID_ARGUMENT", f"the label {key}: {value}")


def _handler(server: VertexServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            fault = server.faults.pop(0) if server.faults else None
            if fault == "hang":
                server.hang()
            if fault == "hang" or server.gone:
                self.close_connection = True
                return
            try:
                if isinstance(fault, int):
                    raise Refused(fault, "UNAVAILABLE", "a bad day")
                answer = server.answer(self.command, url.path, query, body, self.headers)
                status, data = 200, answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            except Refused as error:
                told = {"code": error.status, "status": error.reason, "message": str(error)}
                status, data = error.status, json.dumps({"error": told}).encode()
            if fault == "cut":
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PATCH = _serve

        def log_message(self, *_: object) -> None:
            pass

    return Handler
