"""Where and how Vertex AI serves a model: what `serving_options` says of it."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepkit.errors import UsageError, near_misses

# Of the project's model server; Vertex AI puts the version's files where AIP_STORAGE_URI says.
MODEL_SERVER = (
    "--path=$(AIP_STORAGE_URI)",
    "--name={name}",
    "--version={version}",
    "--host=0.0.0.0",
    "--port={port}",
    "--behind-proxy",
)
_SECRET = re.compile(r"--?[\w-]*(password|secret|token|api[_-]?key|credentials?)=.", re.IGNORECASE)
_REQUIRED = ("project", "region", "image")
_FORMS = {
    "project": (r"[a-z][a-z0-9.:-]{4,61}[a-z0-9]", "a project's id, such as acme-models"),
    "region": (r"[a-z]+-[a-z]+[0-9]+", "a region, such as europe-west1"),
    "image": (r"[^\s@]+(:[\w.-]+|@sha256:[0-9a-f]{64})", "an image by tag or digest, HOST/PATH@sha256:..."),
    "machine_type": (r"[a-z][a-z0-9]*(-[a-z0-9]+)+", "a machine type, such as n1-standard-2"),
    "accelerator": (r"|[A-Z][A-Z0-9_]+", "an accelerator's type, such as NVIDIA_TESLA_T4"),
    "service_account": (r"|[\w.-]+@[\w.-]+", "a service account's address"),
    "predict_route": (r"/\S*", "a path"),
    "health_route": (r"/\S*", "a path"),
    "api_endpoint": (r"|https?://[^\s/@?#]+", "a URL without a path, a user or a password"),
    "monitoring_endpoint": (r"|https?://[^\s/@?#]+", "a URL without a path, a user or a password"),
}


@dataclass(frozen=True)
class Place:
    """Where and how models are served. In texts of the container `{name}`, `{version}` and `{port}` are replaced.

    Attributes:
        image: of the server: the project's model server, or one that has the same routes.
        args: of the container; empty: none.
        machine_type, min_replicas, max_replicas, accelerator, accelerator_count: of each deployed version.
        service_account: whom the container runs as; empty: Vertex AI's own.
        api_endpoint, monitoring_endpoint: instead of Google's; over plain http nobody's credentials are sent.
    """

    project: str
    region: str
    image: str
    args: tuple[str, ...] = MODEL_SERVER
    predict_route: str = "/v1/models/{name}:predict"
    health_route: str = "/v2/health/ready"
    port: int = 8080
    machine_type: str = "n1-standard-2"
    min_replicas: int = 1
    max_replicas: int = 2
    accelerator: str = ""
    accelerator_count: int = 0
    service_account: str = ""
    api_endpoint: str = ""
    monitoring_endpoint: str = ""

    @property
    def parent(self) -> str:
        """The resource that models and endpoints are in."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def api(self) -> str:
        """URL of Vertex AI."""
        return self.api_endpoint or f"https://{self.region}-aiplatform.googleapis.com"

    @property
    def monitoring(self) -> str:
        """URL of Cloud Monitoring."""
        return self.monitoring_endpoint or "https://monitoring.googleapis.com"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Place":
        """Reads a place; what isn't given has its default.

        Raises:
            UsageError: a key is unknown or missing, or a value can't be.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in value:
            if key not in known:
                raise UsageError(f"--serving-options of vertex has no {key!r}. {near_misses(key, known)}")
        if missing := [key for key in _REQUIRED if not value.get(key)]:
            raise UsageError(
                f"--serving-options of vertex lacks {', '.join(missing)}; give at least "
                '{"project": "PROJECT", "region": "REGION", "image": "HOST/PATH/model_server@sha256:..."}'
            )
        given = {key: _whole(each) for key, each in value.items()}
        if "args" in given:
            given["args"] = _texts(given["args"])
        found = cls(**given)
        _check(found)
        return found


def resource_id(name: str) -> str:
    """Returns a model's name as Vertex AI takes it for the ids of its model and its endpoint.

    Raises:
        UsageError: it can't be one: ids begin with a letter and have at most 63 characters.
    """
    made = re.sub(r"[._]", "-", name.lower()).strip("-")
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", made):
        raise UsageError(
            f"The model name {name!r} can't be a model's and an endpoint's id in Vertex AI. Begin it with a letter, "
            "and use up to 63 letters, digits and '-'."
        )
    return made


def _check(place: Place) -> None:
    for key, (form, wanted) in _FORMS.items():
        given = getattr(place, key)
        if not isinstance(given, str) or not re.fullmatch(form, given):
            raise UsageError(f"--serving-options of vertex: {key} is {given!r}; give {wanted}")
    for key, least in {"port": 1, "min_replicas": 1, "max_replicas": 1, "accelerator_count": 0}.items():
        given = getattr(place, key)
        if not isinstance(given, int) or isinstance(given, bool) or given < least:
            raise UsageError(
                f"--serving-options of vertex: {key} is {given!r}; give a whole number of at least {least}"
            )
    if place.min_replicas > place.max_replicas:
        raise UsageError(
            f"--serving-options of vertex: min_replicas {place.min_replicas} is above max_replicas {place.max_replicas}"
        )
    if bool(place.accelerator) != bool(place.accelerator_count):
        raise UsageError(
            "--serving-options of vertex: accelerator and accelerator_count go together; give both or none"
        )


def _whole(value: Any) -> Any:
    """3.0 is 3: protobuf's Value has only doubles."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"--serving-options of vertex: args is {value!r}; give a list of texts")
    for each in value:
        if _SECRET.match(each):
            raise UsageError(
                f"--serving-options of vertex: args has {each.partition('=')[0]} with its value, and parameters are "
                "recorded. Let the container read it from Secret Manager, as whom it runs (service_account), or give "
                "a file's path, as --token-file"
            )
    return tuple(value)
