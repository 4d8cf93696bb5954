"""A bucket on the loopback, in as much of the protocols of Cloud Storage and S3 as gcsfs and s3fs need."""

import hashlib
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from servers.storage import GCSFS

BUCKET = "models"
os.environ.update(GCSFS)


class Bucket:
    """A bucket over HTTP: reading and listing as Google Cloud Storage (JSON) and S3 (XML), writing as the former.

    Writes keep `ifGenerationMatch`, with generations that follow the content.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = {f"components/{path}": data for path, data in files.items()}
        self.cache_control: dict[str, str | None] = {}
        self.content_type: dict[str, str] = {}
        self.denied = False
        self._lock = threading.Lock()
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self._send(*bucket.answer(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(*bucket.take(self.path, body, self.headers["Content-Type"]))

            def _send(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, target: str) -> tuple[int, str, bytes]:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        google = "/storage/v1/" in url.path
        if self.denied:
            body = (
                b'{"error": {"code": 403, "message": "no"}}' if google else b"<Error><Code>AccessDenied</Code></Error>"
            )
            return 403, "application/json" if google else "application/xml", body
        name = url.path.partition("/o/")[2] if google else url.path.removeprefix(f"/{BUCKET}").lstrip("/")
        if not name:
            return self._list(google, query.get("prefix", ""), query.get("delimiter", ""))
        if unquote(name) in self.files and google and query.get("alt") != "media":
            return 200, "application/json", self._about(unquote(name))
        if unquote(name) in self.files:
            return 200, "application/octet-stream", self.files[unquote(name)]
        return 404, "application/xml", b"<Error><Code>NoSuchKey</Code></Error>"

    def take(self, target: str, body: bytes, kind: str) -> tuple[int, str, bytes]:
        query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
        boundary = kind.partition('boundary="')[2].rstrip('"').encode()
        # Two parts: of JSON, and of data.
        (_, about), (head, body) = (part.split(b"\n\n", 1) for part in body.split(b"--" + boundary)[1:3])
        told, body = json.loads(about), body[:-1]
        name = told["name"]
        with self._lock:
            now = self._generation(name) if name in self.files else "0"
            if query.get("ifGenerationMatch", now) != now:
                return 412, "application/json", b'{"error": {"code": 412, "message": "no"}}'
            self.files[name] = body
            self.cache_control[name] = told.get("cacheControl")
            self.content_type[name] = head.decode().partition("Content-Type:")[2].strip()
            return 200, "application/json", self._about(name)

    def _generation(self, name: str) -> str:
        return str(int(hashlib.sha256(self.files[name]).hexdigest()[:12], 16))

    def _about(self, name: str) -> bytes:
        about = {"name": name, "bucket": BUCKET, "size": str(len(self.files[name]))}
        about |= {"contentType": self.content_type[name]} if name in self.content_type else {}
        return json.dumps({**about, "generation": self._generation(name)}).encode()

    def _list(self, google: bool, prefix: str, delimiter: str) -> tuple[int, str, bytes]:
        below = sorted(path for path in self.files if path.startswith(prefix))
        keys = [path for path in below if not delimiter or delimiter not in path[len(prefix) :]]
        folders = sorted(
            {prefix + path[len(prefix) :].split(delimiter)[0] + delimiter for path in set(below) - set(keys)}
        )
        if google:
            items = [json.loads(self._about(key)) for key in keys]
            return 200, "application/json", json.dumps({"items": items, "prefixes": folders}).encode()
        contents = "".join(f"<Contents><Key>{key}</Key><Size>{len(self.files[key])}</Size></Contents>" for key in keys)
        prefixes = "".join(f"<CommonPrefixes><Prefix>{each}</Prefix></CommonPrefixes>" for each in folders)
        count = f"<KeyCount>{len(keys) + len(folders)}</KeyCount>"
        return 200, "application/xml", f"<ListBucketResult>{count}{contents}{prefixes}</ListBucketResult>".encode()

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
