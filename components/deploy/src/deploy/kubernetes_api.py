"""A cluster's API, by the official client: objects of a namespace as JSON has them.

Credentials are the pod's own, or the kubeconfig's. A request that failed for a transient reason (a connection that
broke, 429 with its Retry-After, 5xx) is repeated by urllib3, also one that writes: objects are created by name and
replaced by their resourceVersion, so that what was done already is refused the second time, as a `Conflict`.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Protocol

from stepkit.errors import StepError

Manifest = dict[str, Any]

INFERENCE_SERVICE = ("serving.kserve.io", "v1beta1", "inferenceservices")
SERVING_RUNTIME = ("serving.kserve.io", "v1alpha1", "servingruntimes")
REVISION = ("serving.knative.dev", "v1", "revisions")
CONFIG_MAP = ("", "v1", "configmaps")
Kind = tuple[str, str, str]

_TRANSIENT = (408, 429, 500, 502, 503, 504)
_ATTEMPTS = 6
_PAUSE = 0.5
_TIMEOUT = (10, 60)  # seconds: to connect, to answer
_NOT_FOUND, _CONFLICT = 404, 409


class Conflict(Exception):
    """Somebody else has made or changed the object meanwhile: read it again."""


class Cluster(Protocol):
    """Objects of one namespace."""

    def read(self, kind: Kind, name: str) -> Manifest | None:
        """Returns an object; None if there is none."""
        raise NotImplementedError

    def create(self, kind: Kind, manifest: Manifest) -> None:
        """Makes an object.

        Raises:
            Conflict: there is one of the name.
        """

    def replace(self, kind: Kind, manifest: Manifest) -> None:
        """Replaces an object, which has the resourceVersion that it was read with.

        Raises:
            Conflict: it has changed since.
        """


def connect(namespace: str, context: str, pause: float = _PAUSE) -> "KubernetesCluster":
    """Returns a namespace of a cluster; contacts nothing yet.

    Args:
        context: of the kubeconfig; empty: its current context, or, in a pod without KUBECONFIG, the pod's own service
            account.
        pause: seconds before the second repetition of a request; doubles each time.

    Raises:
        StepError: there are no credentials.
    """
    from kubernetes import client, config
    from urllib3.util import Retry

    configuration = client.Configuration()
    try:
        file = os.environ.get("KUBECONFIG") or None
        if not context and not file and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(file, context=context or None, client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise StepError(
            f"There are no credentials for the cluster ({error}). Run the step in a pod whose service account may "
            "write there, or give a kubeconfig, by KUBECONFIG and the option 'context' of --serving-options."
        ) from error
    configuration.retries = Retry(
        total=_ATTEMPTS,
        backoff_factor=pause,
        status_forcelist=_TRANSIENT,
        allowed_methods=None,
        respect_retry_after_header=True,
        raise_on_status=False,
    )
    return KubernetesCluster(client.ApiClient(configuration), namespace)


class KubernetesCluster:
    """See `Cluster`."""

    def __init__(self, api: Any, namespace: str) -> None:
        """Args: api: the client's ApiClient."""
        self._api = api
        self._namespace = namespace

    def read(self, kind: Kind, name: str) -> Manifest | None:
        """See `Cluster`."""
        return self._call("GET", kind, name)

    def create(self, kind: Kind, manifest: Manifest) -> None:
        """See `Cluster`."""
        self._call("POST", kind, manifest["metadata"]["name"], manifest)

    def replace(self, kind: Kind, manifest: Manifest) -> None:
        """See `Cluster`."""
        self._call("PUT", kind, manifest["metadata"]["name"], manifest)

    def _call(self, method: str, kind: Kind, name: str, body: Manifest | None = None) -> Manifest | None:
        group, version, plural = kind
        base = f"/apis/{group}/{version}" if group else f"/api/{version}"
        path = f"{base}/namespaces/{self._namespace}/{plural}" + ("" if method == "POST" else f"/{name}")
        with _told(f"{method} {plural}/{name} in namespace {self._namespace!r}"):
            return self._request(method, path, body)

    def _request(self, method: str, path: str, body: Manifest | None) -> Manifest | None:
        from kubernetes.client import ApiException

        try:
            found = self._api.call_api(
                path,
                method,
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                # A field that the API doesn't know is an error, and not left out in silence.
                query_params=[("fieldValidation", "Strict")] if body is not None else [],
                body=body,
                auth_settings=["BearerToken"],
                response_type="object",
                _return_http_data_only=True,
                _request_timeout=_TIMEOUT,
            )
        except ApiException as error:
            if error.status == _NOT_FOUND and method == "GET" and _is_status(error):
                return None
            if error.status == _CONFLICT:
                raise Conflict(path) from error
            raise
        return dict(found)


def _is_status(error: Any) -> bool:
    """True if the API says that the object isn't there, and not that it doesn't know the kind."""
    return '"details"' in (error.body or "")


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        advice = {
            401: "The credentials aren't taken: check the kubeconfig, or the pod's service account.",
            403: "Give the service account the role that docs/tasks/serve-on-kserve.md names.",
            404: "Is KServe installed in this cluster, and the namespace there?",
            400: "Does the cluster have the KServe that docs/tasks/serve-on-kserve.md asks for?",
            422: "Does the cluster have the KServe that docs/tasks/serve-on-kserve.md asks for?",
        }.get(error.status, "Run the step again when the cluster's API answers.")
        said = " ".join((error.body or error.reason or "").split())[:500]
        raise StepError(f"The cluster refuses {what} with {error.status}: {said}. {advice}") from error
    except HTTPError as error:
        raise StepError(f"The cluster's API can't be reached for {what}: {error}. Run the step again.") from error
