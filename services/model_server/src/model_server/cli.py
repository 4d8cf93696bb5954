"""The program: flags, and what is made of them."""

import argparse
import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stepkit import cli, uris


def main(argv: Sequence[str] | None = None) -> int:
    """See `stepkit.cli.run`."""
    return cli.run(parser(), serve, argv)


def parser() -> argparse.ArgumentParser:
    """Returns the command line's parser."""
    found = argparse.ArgumentParser("model_server", description=__import__("model_server").__doc__)
    add = found.add_argument
    add("--path", required=True, help="the version's folder: SERVING_URI/NAME/N; one in an object store is fetched")
    add("--name", required=True, help="of the model, in URLs")
    add("--version", required=True, type=_at_least(1), help="its number, in answers")
    add("--host", default="127.0.0.1", help="address to listen at (127.0.0.1); others need TLS and a token")
    add("--port", type=_at_least(0), default=0, help="0: any free one, which is printed")
    add("--max-body-bytes", type=_at_least(1), default=4 * 1024 * 1024, help="of a request (4 MiB)")
    add("--max-rows", type=_at_least(1), default=4096, help="of a request (4096)")
    add("--timeout", type=_seconds, default=10.0, help="seconds for a request, slow bodies included (10)")
    add("--concurrency", type=_at_least(1), default=64, help="requests in work; more get 429 (64)")
    add("--batch-rows", type=_at_least(0), default=0, help="of several requests in one call of the model; 0: none (0)")
    add("--batch-delay", type=_seconds, default=0.002, help="seconds that a batch waits for more (0.002)")
    add("--drain-seconds", type=_seconds, default=1.0, help="answered after SIGTERM while not ready (1)")
    add("--log-requests", type=Path, metavar="FOLDER", help="log sampled requests with their answers as Parquet")
    add("--log-rate", type=_share, default=0.1, help="share of requests that are logged (0.1)")
    add("--log-without", action="append", default=[], metavar="COLUMN", help="leave a column out; may be repeated")
    add("--log-days", type=_seconds, default=30.0, help="days after which logs are removed (30)")
    add("--log-seconds", type=_seconds, default=30.0, help="a file is written at least so often (30)")
    add("--log-megabytes", type=_at_least(1), default=1000, help="of a model's logs; beyond, the oldest go (1000)")
    add("--token-file", type=Path, help="tokens, one a line, of which a client must send one")
    add("--tls-cert", type=Path, help="PEM")
    add("--tls-key", type=Path, help="PEM")
    add("--behind-proxy", action="store_true", help="only what checks who asks can reach it: neither TLS nor token")
    return found


def serve(args: argparse.Namespace) -> None:
    """Loads the version and serves it until a signal.

    Raises:
        StepError: it can't be loaded, or the port is taken.
        UsageError: flags that don't go together.
    """
    # With it TensorFlow looks for tf_keras, which isn't here, and goes without. Keras would take a second and 90 MB.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    from model_server import serving

    place = serving.Place(args.host, args.port, args.tls_cert, args.tls_key)
    tokens = serving.read_tokens(args.token_file)
    serving.check_place(place, bool(tokens), args.behind_proxy)
    with _folder(args.path) as folder:
        _serve_folder(folder, args, place, tokens)


@contextlib.contextmanager
def _folder(path: str) -> Iterator[Path]:
    """Gives the version's files as a folder of this machine."""
    if not uris.is_remote(path):
        yield uris.local_part(path)
        return
    with uris.local_copy(path, "version of a model") as folder:
        yield folder


def _serve_folder(folder: Path, args: argparse.Namespace, place: Any, tokens: Sequence[bytes]) -> None:
    from model_server import serving

    bound = serving.bind(place)
    front = _front(folder, args, tokens)
    gc.collect()
    _give_back_memory()
    gc.freeze()  # what the model is made of is never gone through again: it made the slowest requests ten times slower
    scheme = "https" if place.certificate else "http"
    host = f"[{place.host}]" if ":" in place.host else place.host
    address = f"{scheme}://{host}:{bound.getsockname()[1]}"
    try:
        serving.run(
            front,
            place,
            bound,
            args.timeout,
            args.drain_seconds,
            lambda: print(f"{args.name} version {args.version} is served at {address}", flush=True),
        )
    finally:
        front.close()


def _front(folder: Path, args: argparse.Namespace, tokens: Sequence[bytes]) -> Any:
    import prometheus_client

    from model_server import kserve_application, saved_models, statistics
    from model_server.front import Front, Limits
    from model_server.metrics import Metrics, score_bounds
    from model_server.request_log import RequestLog, Sampling
    from stepkit import tasks

    model = saved_models.load(folder)
    version = str(args.version)
    known = statistics.read(folder)
    example = {"instances": [statistics.example(known, model.reader.columns)]}
    bounds: list[float] | None = score_bounds()
    if model.answers.task == tasks.REGRESSION:
        found = statistics.label_range(known, model.description.label)
        bounds = score_bounds(*found) if found else None
    metrics = Metrics((args.name, version), model.answers.names, bounds)
    prometheus_client.REGISTRY.register(metrics)
    limits = Limits(
        args.max_body_bytes, args.max_rows, args.timeout, args.concurrency, args.batch_rows, args.batch_delay
    )
    log = None
    if args.log_requests:
        sampling = Sampling(
            args.log_requests,
            args.log_rate,
            tuple(args.log_without),
            args.log_days,
            args.log_seconds,
            args.log_megabytes * 10**6,
        )
        log = RequestLog(sampling, (args.name, version), model.reader.columns, model.answers, _say)
        written = log
        metrics.dropped = lambda: written.dropped
    return Front(
        model,
        args.name,
        version,
        limits,
        metrics,
        prometheus_client.generate_latest,
        lambda: kserve_application.create(model, args.name, example),
        example,
        tokens,
        log,
        _say,
    )


def _give_back_memory() -> None:
    """Returns what was only needed for loading to the system, where the C library can (glibc)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _at_least(least: int) -> Any:
    def parse(text: str) -> int:
        value = cli.integer(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return value

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return value


def _share(text: str) -> float:
    value = _seconds(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 1")
    return value
