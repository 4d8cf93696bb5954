"""The options of the target `kserve`: where in a cluster models are served, by which server, and what observes them."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy import followed_policy
from deploy.desired_target import Given
from rollout.loop import Rhythm
from rollout.policy import DIRECT
from stepkit import uris
from stepkit.errors import UsageError, near_misses

STANDARD = "Standard"
KNATIVE = "Knative"
MODES = (STANDARD, KNATIVE)

MODEL_SERVER = "model_server"
TENSORFLOW_SERVING = "tensorflow_serving"
SERVERS = (MODEL_SERVER, TENSORFLOW_SERVING)

# What KServe's storage initializer reads (https://kserve.github.io/website, "Storage"); `s3` also by MinIO's endpoint.
_SCHEMES = ("gs", "s3", "abfs", "abfss", "az", "https", "hdfs", "pvc")
# A name of Kubernetes' within a namespace (RFC 1123's subdomain), and one of a namespace (its label).
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LONGEST = 40  # characters of a service: KServe makes names such as NAME-v123-predictor of it, at most 63
_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Place:
    """Where and how models are served.

    Attributes:
        namespace: of the InferenceService, the ServingRuntime and the state.
        mode: of KServe's deployments: `Standard` (0.20 or newer) or `Knative`.
        image: of the server, by digest.
        server: `model_server`, the project's, or `tensorflow_serving`, whose image is TensorFlow Serving's. That has
            neither TLS nor tokens, and no metrics by version: what may reach its pods is the network's affair.
        secret_name: Secret with `token`, `tls.crt` and `tls.key`: in Standard mode the server listens at its pod's
            address, and answers nobody there without. In Knative mode it listens to the pod's own proxy alone, and
            needs none.
        prometheus: base URL of the Prometheus that scrapes the model servers; needed for canaries.
        prometheus_token_file: file, where deploy runs, with a bearer token for it; empty: none is sent.
        context: of the kubeconfig; empty: its current context, or, in a pod without KUBECONFIG, the pod's own service
            account.
        service_account: whose credentials read the models' bucket; empty: the namespace's.
        window_seconds: of a window of observations; two scrapes at least.
        ready_seconds: how long a version may take until it is ready.
    """

    namespace: str
    mode: str
    image: str
    server: str = MODEL_SERVER
    secret_name: str = ""
    prometheus: str = ""
    prometheus_token_file: str = ""
    context: str = ""
    service_account: str = ""
    min_replicas: int = 1
    max_replicas: int = 2
    resources: Mapping[str, Any] = field(
        default_factory=lambda: {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    )
    window_seconds: float = 60.0
    ready_seconds: float = 900.0

    @property
    def rhythm(self) -> Rhythm:
        """When a candidate is looked at: a window's counters are scraped a quarter of it later."""
        return Rhythm(self.window_seconds, lag=self.window_seconds / 4)


def check(given: Given) -> None:
    """Checks what can be known before there is a model; contacts nothing.

    Raises:
        UsageError: an option is unknown, missing or can't be, or what is given besides can't be served by KServe.
    """
    place = read(given.options)
    if given.strategy != DIRECT and place.server == TENSORFLOW_SERVING:
        raise UsageError(
            f"--strategy {given.strategy} compares versions by their metrics, and those of TensorFlow Serving name no "
            "version. Use --strategy direct, or the server model_server"
        )
    if given.strategy != DIRECT and not place.prometheus:
        raise UsageError(
            f"--strategy {given.strategy} at --serving-target kserve needs the option 'prometheus', the URL of what "
            "scrapes the model servers: by that a candidate is compared. Give it, or use --strategy direct"
        )
    followed_policy.check(given, "kserve", place.rhythm, tells_scores=True)
    if given.model_name is not None:
        to_service_name(given.model_name)
    if given.serving_uri is not None:
        scheme = given.serving_uri.partition("://")[0] if uris.is_remote(given.serving_uri) else ""
        if scheme not in _SCHEMES:
            raise UsageError(
                f"--serving-uri {given.serving_uri!r} can't be read by the pods of a cluster. Give one that KServe "
                f"reads: {', '.join(f'{each}://' for each in _SCHEMES)}"
            )


def read(options: Mapping[str, Any]) -> Place:
    """Returns the options as a place.

    Raises:
        UsageError: one is unknown, missing or can't be.
    """
    known = {each.name: each for each in dataclasses.fields(Place)}
    for name in options:
        if name not in known:
            raise UsageError(f"--serving-options: kserve has no option {name!r}. {near_misses(name, known)}")
    needed = [name for name in ("namespace", "mode", "image") if not options.get(name)]
    if needed:
        raise UsageError(f"--serving-options lacks {', '.join(map(repr, needed))}, which --serving-target kserve needs")
    for name, value in options.items():
        _check_kind(name, value, str(known[name].type))
    place = Place(**{name: _number(value, str(known[name].type)) for name, value in options.items()})
    _check_names(place)
    _check_numbers(place)
    return place


def _check_kind(name: str, value: Any, kind: str) -> None:
    good = {
        "<class 'str'>": isinstance(value, str),
        "<class 'int'>": _is_number(value) and value == int(value),
        "<class 'float'>": _is_number(value),
    }.get(kind, isinstance(value, Mapping))
    if not good:
        wanted = {"<class 'str'>": "text", "<class 'int'>": "a whole number", "<class 'float'>": "a number"}
        raise UsageError(f"--serving-options: {name} is {value!r}; give {wanted.get(kind, 'a JSON object')}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any, kind: str) -> Any:
    """3.0 is 3: protobuf's Value has only doubles."""
    return int(value) if kind == "<class 'int'>" else value


def _check_names(place: Place) -> None:
    if place.mode not in MODES:
        raise UsageError(
            f"--serving-options: KServe has no deployment mode {place.mode!r}. {near_misses(place.mode, MODES)}"
        )
    if not _LABEL.fullmatch(place.namespace):
        raise UsageError(f"--serving-options: {place.namespace!r} can't be a namespace's name")
    for name in ("secret_name", "service_account"):
        value = getattr(place, name)
        if value and not _NAME.fullmatch(value):
            raise UsageError(
                f"--serving-options: {name} is the name of an object in the namespace, which {value!r} can't be. Never "
                "give what is secret itself: parameters are recorded"
            )
    if place.server not in SERVERS:
        raise UsageError(
            f"--serving-options: there is no server {place.server!r}. {near_misses(place.server, SERVERS)}"
        )
    _check_secret(place)
    if not _DIGEST.fullmatch(place.image):
        raise UsageError(
            f"--serving-options: image is {place.image!r}; name the server's image by digest, as "
            "HOST/PATH@sha256:..., so that every replica runs the same"
        )
    if place.prometheus and not re.fullmatch(r"https?://[^/@?#\s]+(/[^@?#\s]*)?", place.prometheus):
        raise UsageError(
            "--serving-options: prometheus is its base URL, such as http://prometheus.monitoring:9090, without a user, "
            "a password or a query in it"
        )


def _check_secret(place: Place) -> None:
    if place.server == TENSORFLOW_SERVING and place.secret_name:
        raise UsageError(
            "--serving-options: TensorFlow Serving takes neither a token nor TLS at its REST port, so secret_name "
            "would protect nothing. Leave it out, and let a NetworkPolicy or the mesh say who may reach its pods"
        )
    if place.server == MODEL_SERVER and place.mode == STANDARD and not place.secret_name:
        raise UsageError(
            "--serving-options lacks 'secret_name', the name of the Secret with token, tls.crt and tls.key: in "
            "Standard mode the model server answers nobody outside of its pod without"
        )


def _check_numbers(place: Place) -> None:
    if not 1 <= place.min_replicas <= place.max_replicas:
        raise UsageError(
            f"--serving-options: min_replicas is {place.min_replicas}, max_replicas {place.max_replicas}; give 1 or "
            "more, and a maximum that isn't below"
        )
    if not 10 <= place.window_seconds <= 3600:
        raise UsageError(
            f"--serving-options: window_seconds is {place.window_seconds:g}; give 10 to 3600, twice Prometheus' scrape "
            "interval at least"
        )
    if not 1 <= place.ready_seconds <= 86400:
        raise UsageError(f"--serving-options: ready_seconds is {place.ready_seconds:g}; give 1 to 86400")


def to_service_name(name: str) -> str:
    """Returns a model's name as Kubernetes takes it: a DNS label.

    Raises:
        UsageError: it has other characters than letters, digits, `_`, `.` and `-`, or is too long for the names that
            KServe makes of it.
    """
    service = name.lower().replace("_", "-").replace(".", "-").strip("-")
    if not re.fullmatch(rf"[a-z][a-z0-9-]{{0,{_LONGEST - 1}}}", service):
        raise UsageError(
            f"The model name {name!r} can't be an InferenceService's. Begin it with a letter, and use up to {_LONGEST} "
            "letters, digits and '-'"
        )
    return service
