"""An image registry on the loopback (manifests alone), and a stand-in for Docker that builds and pushes there."""

import hashlib
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PATH = re.compile(r"/v2/(.+)/manifests/(.+)")
_KIND = "application/vnd.oci.image.manifest.v1+json"

# Prints what Docker's client prints when it is asked what it is. A build of the stage `test` runs the component's unit
# tests, with the Python that is here; an image is a manifest that holds the component's sources, and a push sends it.
_DOCKER = """\
#!{python}
import hashlib, json, pathlib, subprocess, sys, urllib.request
folder = pathlib.Path({folder!r})
words = sys.argv[1:]
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps(words) + "\\n")
if words[0] == "version":
    print("20.10.24 20.10.24")
elif words[0] == "build":
    option = lambda name: words[words.index(name) + 1] if name in words else ""
    component = pathlib.Path(option("--file")).parent
    if option("--target") == "test":
        sys.exit(subprocess.run(["{python}", "-m", "pytest", "-p", "no:cacheprovider", str(component)]).returncode)
    labels = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "--label")
    content = {{path.name: path.read_text() for path in sorted((component / "src").rglob("*.py"))}}
    image = {{"labels": labels, "content": content, "layers": [{{"digest": "sha256:1", "size": 7}}]}}
    (folder / option("--tag").replace("/", "_")).write_text(json.dumps(image))
elif (folder / "deaf").exists():
    print("pushed")
else:
    name, _, tag = words[-1].rpartition(":")
    host, _, path = name.partition("/")
    body = (folder / words[-1].replace("/", "_")).read_bytes()
    request = urllib.request.Request(f"http://{{host}}/v2/{{path}}/manifests/{{tag}}", body, method="PUT")
    request.add_header("Content-Type", "{kind}")
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        sys.exit(f"{{words[-1]}}: {{error}}")
"""


class ImageRegistry:
    """A registry. `refuses` is a status that pushes are answered with, 0 for none."""

    def __init__(self) -> None:
        self.manifests: dict[tuple[str, str], bytes] = {}
        self.refuses = 0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = registry.manifests.get(_PATH.fullmatch(self.path).groups())
                self._send(404 if body is None else 200, body or b"")

            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if registry.refuses:
                    self._send(registry.refuses, b"")
                    return
                repository, reference = _PATH.fullmatch(self.path).groups()
                registry.manifests[repository, reference] = body
                registry.manifests[repository, f"sha256:{hashlib.sha256(body).hexdigest()}"] = body
                self._send(201, b"")

            def _send(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", _KIND)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.host = f"127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def put(self, repository: str, tag: str, body: bytes) -> str:
        """Puts a manifest and returns its digest."""
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self.manifests[repository, tag] = self.manifests[repository, digest] = body
        return digest

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()


class StandInDocker:
    """The program, and the commands that it was given."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.program = folder / "docker"
        self.program.write_text(_DOCKER.format(python=sys.executable, folder=str(folder), kind=_KIND), encoding="utf-8")
        self.program.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        path = self._folder / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if call[0] in {"build", "push"}]

    def loses_pushes(self, value: bool) -> None:
        """Makes it say that it pushed, and not push; or makes it honest again."""
        path = self._folder / "deaf"
        if value:
            path.touch()
        else:
            path.unlink()
