"""Manifests of KServe: a ServingRuntime, a predictor of a version, and an InferenceService of these.

The runtime is the project's model server, or TensorFlow Serving of the image that is named.

Each version is named: by its number, by `storageUri`, and in Standard mode by a predictor's name. The runtime is named,
so that KServe chooses none itself: that of TF Serving which it brings is years old. A runtime's name has a digest of
what it says, so that another image is another runtime, and versions that serve keep theirs.

No annotation here may change while a version serves: KServe copies those of an InferenceService to its pods
(`buildPredictorResources` of kserve's pkg/controller/v1beta1/inferenceservice/components/predictor.go), and Kubernetes
starts these again when theirs change.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from deploy.kserve_options import KNATIVE, MODEL_SERVER, STANDARD, TENSORFLOW_SERVING, Place

FORMAT = "pipeyard-saved-model"
VERSION_LABEL = "pipeyard.dev/version"
# Where KServe's storage initializer puts what `storageUri` names, https://kserve.github.io/website.
_MODELS = "/mnt/models"
_CREDENTIALS = "/etc/pipeyard"
_PORT = 8080
_RUNTIMES = {MODEL_SERVER: "pipeyard-model-server", TENSORFLOW_SERVING: "pipeyard-tensorflow-serving"}
_TENSORFLOW = {"name": "tensorflow", "version": "2"}

# TensorFlow Serving wants folders of versions below its base path, and KServe puts one version's files right into its
# own (https://www.tensorflow.org/tfx/serving/serving_config).
_VERSION = "PIPEYARD_MODEL_VERSION"
_BASE = "/tmp/served"  # in the container, which is one server's
_LINK_AND_SERVE = f'mkdir -p {_BASE} && ln -sfn {_MODELS} "{_BASE}/${_VERSION}" && exec tensorflow_model_server "$@"'
_NOBODY = 65534  # its image is root's

Manifest = dict[str, Any]


def serving_runtime(place: Place) -> Manifest:
    """Returns the ServingRuntime of a place's server, which has its name of all that it says."""
    spec = _of_tensorflow_serving(place) if place.server == TENSORFLOW_SERVING else _of_model_server(place)
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": f"{_RUNTIMES[place.server]}-{digest[:12]}", "namespace": place.namespace},
        "spec": spec,
    }


def _of_tensorflow_serving(place: Place) -> Manifest:
    """It opens its port when the version is loaded: so a connection is proof enough that it is ready."""
    container: Manifest = {
        "name": "kserve-container",
        "image": place.image,
        "command": ["/bin/sh", "-c", _LINK_AND_SERVE, "serve"],
        "args": [f"--rest_api_port={_PORT}", "--port=9000", f"--model_base_path={_BASE}"],
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": _PORT}},
        "resources": dict(place.resources),
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": _NOBODY},
    }
    return {
        "supportedModelFormats": [{**_TENSORFLOW, "autoSelect": False}],
        "protocolVersions": ["v1"],
        "containers": [container],
    }


def _of_model_server(place: Place) -> Manifest:
    """In Knative mode it listens to its pod's queue-proxy alone, which asks it at 127.0.0.1
    (https://github.com/knative/serving, pkg/queue): that speaks no TLS to it.
    """
    container: Manifest = {
        "name": "kserve-container",
        "image": place.image,
        "args": [f"--path={_MODELS}", f"--port={_PORT}", *_listening(place)],
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        "readinessProbe": _probe(place),
        "resources": dict(place.resources),
        "securityContext": {"allowPrivilegeEscalation": False, "runAsNonRoot": True},
    }
    spec: Manifest = {
        "annotations": {
            "prometheus.kserve.io/path": "/metrics",
            "prometheus.kserve.io/port": str(_PORT),
        },
        "supportedModelFormats": [{"name": FORMAT, "version": "1", "autoSelect": False}],
        "protocolVersions": ["v1", "v2"],
        "containers": [container],
    }
    if place.mode == STANDARD:
        container["volumeMounts"] = [{"name": "credentials", "mountPath": _CREDENTIALS, "readOnly": True}]
        spec["volumes"] = [{"name": "credentials", "secret": {"secretName": place.secret_name}}]
    return spec


def _listening(place: Place) -> list[str]:
    if place.mode == KNATIVE:
        return ["--host=127.0.0.1"]
    return [
        "--host=0.0.0.0",
        f"--token-file={_CREDENTIALS}/token",
        f"--tls-cert={_CREDENTIALS}/tls.crt",
        f"--tls-key={_CREDENTIALS}/tls.key",
    ]


def _probe(place: Place) -> Manifest:
    if place.mode == KNATIVE:  # Knative's proxy asks, and says when
        return {"httpGet": {"path": "/v2/health/ready", "port": _PORT}}
    return {"httpGet": {"path": "/v2/health/ready", "port": _PORT, "scheme": "HTTPS"}, "periodSeconds": 2}


def predictor(model_name: str, version: int, uri: str, place: Place) -> Manifest:
    """Returns what serves a version, without its replicas.

    Args:
        model_name: as it is registered, which is how clients and metrics call it.
        uri: of the version.
    """
    model: Manifest = {
        "name": "",  # required in `spec.canary`; KServe fills it in
        "modelFormat": {"name": FORMAT, "version": "1"},
        "runtime": serving_runtime(place)["metadata"]["name"],
        "protocolVersion": "v1",
        "storageUri": uri,
        "args": [f"--name={model_name}", f"--version={version}"],
    }
    if place.server == TENSORFLOW_SERVING:
        model |= {
            "modelFormat": dict(_TENSORFLOW),
            "args": [f"--model_name={model_name}"],
            "env": [{"name": _VERSION, "value": str(version)}],
        }
    made: Manifest = {"labels": {VERSION_LABEL: str(version)}, "model": model}
    if place.mode == STANDARD:
        made["name"] = f"v{version}"
    if place.service_account:
        made["serviceAccountName"] = place.service_account
    return made


def standard(
    service: str, place: Place, main: Mapping[str, Any], canary: tuple[Mapping[str, Any], int] | None = None
) -> Manifest:
    """Returns the InferenceService of Standard mode: a main predictor, and one with a share of the traffic.

    The predictor of `spec.canary` has a Deployment of its own, named after it. As the main one is named, too, a canary
    is promoted by being the main predictor from then on, and its pods serve on
    (https://github.com/kserve/kserve/pull/5672).
    A canary has no fields of autoscaling: KServe refuses them.
    """
    spec: Manifest = {"predictor": {**main, "minReplicas": place.min_replicas, "maxReplicas": place.max_replicas}}
    if canary:
        tried, percent = canary
        spec["canary"] = [
            {"trafficPercent": percent, "predictor": {**tried, "minReplicas": place.min_replicas}},
        ]
    return _service(service, place, spec)


def knative(service: str, place: Place, main: Mapping[str, Any], percent: int) -> Manifest:
    """Returns the InferenceService of Knative mode: the predictor gets a share, the revision before it the rest."""
    return _service(
        service,
        place,
        {
            "predictor": {
                **main,
                "minReplicas": place.min_replicas,
                "maxReplicas": place.max_replicas,
                "canaryTrafficPercent": percent,
            }
        },
    )


def _service(service: str, place: Place, spec: Manifest) -> Manifest:
    annotations = {"serving.kserve.io/deploymentMode": place.mode}
    if place.mode == KNATIVE:  # the proxy's metrics have those of the server, which listens to it alone
        annotations["serving.kserve.io/enable-metric-aggregation"] = "true"
        annotations["serving.kserve.io/enable-prometheus-scraping"] = "true"
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": service, "namespace": place.namespace, "annotations": annotations},
        "spec": spec,
    }


def version_of(part: Mapping[str, Any]) -> int | None:
    """Returns the version that a predictor serves; None if it isn't one of deploy's."""
    label = (part.get("labels") or {}).get(VERSION_LABEL, "")
    return int(label) if label.isdecimal() else None
