"""Manifests of KServe: the project's ServingRuntime, and an InferenceService of a model's desired state.

The two canary forms are those of its deployment modes (https://kserve.github.io/website/docs/reference/crd-api).
Standard mode (0.20 on) has `spec.canary`, with a predictor of its own for each version. Knative mode splits between
revisions of one predictor: `canaryTrafficPercent` goes to the one that is applied, the rest to the one that had all
before. KServe remembers that one, also from a canary that was rolled back (kserve/kserve#2130), so there a canary is
applied in two steps: first the stable version alone, at 100%, then the candidate at its share. Each predictor names
its version.

Nothing here is applied; shadow isn't offered, as KServe copies no requests.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollout.desired import Desired
from rollout.policy import SHADOW
from stepkit.errors import StepError, near_misses

STANDARD = "Standard"
KNATIVE = "Knative"
MODES = (STANDARD, KNATIVE)

RUNTIME = "pipeyard-model-server"
FORMAT = "pipeyard-saved-model"
# Where KServe's storage initializer puts what `storageUri` names, https://kserve.github.io/website.
_MODELS = "/mnt/models"
_CREDENTIALS = "/etc/pipeyard"
_PORT = 8080
_VERSION_LABEL = "pipeyard.dev/version"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where and how models are served.

    Attributes:
        mode: of KServe's deployments: `Standard` or `Knative`.
        secret: Secret with `token`, `tls.crt` and `tls.key`: the server answers nobody outside of its host without.
        service_account: whose credentials read the models' bucket; empty: the namespace's.
    """

    namespace: str
    mode: str
    secret: str
    service_account: str = ""
    min_replicas: int = 1
    max_replicas: int = 2
    resources: Mapping[str, Any] = field(
        default_factory=lambda: {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    )

    def __post_init__(self) -> None:
        """Raises StepError for a mode that there isn't."""
        if self.mode not in MODES:
            raise StepError(f"KServe has no deployment mode {self.mode!r}. {near_misses(self.mode, MODES)}")


def serving_runtime(image: str, place: Place) -> Manifest:
    """Returns the ServingRuntime of the project's model server.

    Args:
        image: by digest, as it was built and pushed.
    """
    probe = {"httpGet": {"path": "/v2/health/ready", "port": _PORT, "scheme": "HTTPS"}}
    container = {
        "name": "kserve-container",
        "image": image,
        "args": [
            f"--path={_MODELS}",
            "--host=0.0.0.0",
            f"--port={_PORT}",
            f"--token-file={_CREDENTIALS}/token",
            f"--tls-cert={_CREDENTIALS}/tls.crt",
            f"--tls-key={_CREDENTIALS}/tls.key",
        ],
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        "readinessProbe": {**probe, "periodSeconds": 2},
        "resources": dict(place.resources),
        "volumeMounts": [{"name": "credentials", "mountPath": _CREDENTIALS, "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True},
    }
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": RUNTIME, "namespace": place.namespace},
        "spec": {
            "annotations": {
                "prometheus.kserve.io/path": "/metrics",
                "prometheus.kserve.io/port": str(_PORT),
            },
            "supportedModelFormats": [{"name": FORMAT, "version": "1", "autoSelect": False}],
            "protocolVersions": ["v1", "v2"],
            "containers": [container],
            "volumes": [{"name": "credentials", "secret": {"secretName": place.secret}}],
        },
    }


def inference_services(name: str, state: Desired, uri: Callable[[int], str], place: Place) -> Sequence[Manifest]:
    """Returns what is to be applied for a desired state, one after another, each when the one before is ready.

    Args:
        name: the model's, as it is registered.
        uri: of a version.

    Raises:
        StepError: the name is none of Kubernetes', or the state is a shadow's.
    """
    if state.strategy == SHADOW and state.candidate is not None:
        raise StepError("KServe copies no requests to a version, so --strategy shadow can't be followed; use canary.")
    service = to_service_name(name)
    alone = _service(service, place, _predictor(name, state.stable, uri, place))
    if state.candidate is None:
        return [alone if place.mode == STANDARD else _at(alone, 100)]
    tried = _predictor(name, state.candidate, uri, place)
    if place.mode == KNATIVE:
        return [_at(alone, 100), _at(_service(service, place, tried), state.weight)]
    both = _service(service, place, _predictor(name, state.stable, uri, place))
    both["spec"]["canary"] = [{"trafficPercent": state.weight, "predictor": {"name": f"v{state.candidate}", **tried}}]
    return [both]


def to_service_name(name: str) -> str:
    """Returns a model's name as Kubernetes takes it: a DNS label.

    Raises:
        StepError: it has other characters than letters, digits, `_`, `.` and `-`, or is too long for the names that
            KServe makes of it.
    """
    service = name.lower().replace("_", "-").replace(".", "-").strip("-")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", service):
        raise StepError(
            f"The model name {name!r} can't be an InferenceService's. Begin it with a letter, and use up to 40 "
            "letters, digits and '-'."
        )
    return service


def _predictor(name: str, version: int, uri: Callable[[int], str], place: Place) -> Manifest:
    predictor: Manifest = {
        "minReplicas": place.min_replicas,
        "maxReplicas": place.max_replicas,
        "labels": {_VERSION_LABEL: str(version)},
        "model": {
            "name": "",  # required in `spec.canary`; KServe fills it in
            "modelFormat": {"name": FORMAT, "version": "1"},
            "runtime": RUNTIME,  # named, so that KServe doesn't choose TF Serving's old image
            "protocolVersion": "v1",
            "storageUri": uri(version),
            "args": [f"--name={name}", f"--version={version}"],
        },
    }
    if place.service_account:
        predictor["serviceAccountName"] = place.service_account
    return predictor


def _service(service: str, place: Place, predictor: Manifest) -> Manifest:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": service,
            "namespace": place.namespace,
            "annotations": {"serving.kserve.io/deploymentMode": place.mode},
        },
        "spec": {"predictor": predictor},
    }


def _at(manifest: Manifest, percent: int) -> Manifest:
    """Returns a manifest of Knative mode whose version gets that share of the traffic."""
    predictor = {**manifest["spec"]["predictor"], "canaryTrafficPercent": percent}
    return {**manifest, "spec": {"predictor": predictor}}
