"""Kubernetes below Kubeflow Pipelines: the objects that the server makes before it records them.

A run is an Argo `Workflow`, with the run's id as the label `pipeline/runid` and its name as the annotation
`pipelines.kubeflow.org/run_name`; a schedule is a `ScheduledWorkflow`, whose UID is the recurring run's id. Source:
kubeflow/pipelines, backend/src/apiserver/template and resource.

The official client is used, which kfp brings along; import it late: it has a module an API type.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pipeyard.errors import PipeyardError
from pipeyard.servers.kubeflow import addresses

if TYPE_CHECKING:
    from pipeyard.settings import Environment

RUN_ID = "pipeline/runid"
RUN_NAME = "pipelines.kubeflow.org/run_name"
# Where Kubeflow is installed unless somebody chose otherwise.
NAMESPACE = "kubeflow"
WORKFLOW: Final = "Workflow"
SCHEDULED: Final = "ScheduledWorkflow"
# Kind to group, version and plural of the custom resource.
RESOURCES = {
    WORKFLOW: ("argoproj.io", "v1alpha1", "workflows"),
    SCHEDULED: ("kubeflow.org", "v1beta1", "scheduledworkflows"),
}
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# Seconds for a connection, and of silence.
_LIMITS = (5, 30)
_PAGE = 200


class Unreachable(PipeyardError):
    """Kubernetes can't be asked: there is no way to it, or it refuses."""


@dataclass(frozen=True)
class KubernetesObject:
    """An object of Kubernetes that the server made.

    Attributes:
        kind: `Workflow` or `ScheduledWorkflow`.
        created: by the cluster's clock; None: it doesn't say.
        run_id: of a workflow's run.
        run_name: of a workflow's run; empty: it doesn't say.
        enabled: whether a scheduled workflow starts runs.
    """

    kind: str
    name: str
    uid: str
    created: datetime | None
    run_id: str = ""
    run_name: str = ""
    enabled: bool = False


@dataclass(frozen=True)
class Cluster:
    """A namespace of a cluster.

    Attributes:
        where: which, in words.
        sure: whether settings or the pod we are in say that it is the environment's. The context that kubectl uses
            just now may be another's.
        objects: kubernetes.client.CustomObjectsApi.
    """

    where: str
    namespace: str
    sure: bool
    objects: Any

    def list(self, kind: str) -> list[KubernetesObject]:
        """Returns all objects of a kind.

        Raises:
            Unreachable: Kubernetes can't be reached, or refuses.
        """
        return [_object(kind, each) for each in self._pages(kind)]

    def remove(self, found: KubernetesObject) -> None:
        """Removes an object, if it is still the same one.

        Raises:
            Unreachable: Kubernetes can't be reached, or refuses.
        """
        options = {"preconditions": {"uid": found.uid}}
        call = self.objects.delete_namespaced_custom_object
        with contextlib.suppress(_Absent):
            self._ask(f"removing {found.name}", call, found.kind, found.name, body=options)

    def _pages(self, kind: str) -> Iterator[Mapping[str, Any]]:
        token = None
        while True:
            call = self.objects.list_namespaced_custom_object
            page = self._ask(f"listing {RESOURCES[kind][2]}", call, kind, limit=_PAGE, _continue=token)
            yield from page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return

    def _ask(self, what: str, call: Callable[..., Any], kind: str, *names: str, **options: Any) -> Any:
        import urllib3
        from kubernetes import client

        group, version, plural = RESOURCES[kind]
        given = {key: value for key, value in options.items() if value is not None}
        try:
            return call(group, version, self.namespace, plural, *names, _request_timeout=_LIMITS, **given)
        except client.ApiException as error:
            if error.status in (404, 409) and names:
                raise _Absent from None
            hint = "Check `kubernetes:` in settings.yaml."
            if error.status in (401, 403):
                hint = f"The account needs the verbs list and delete of {plural}.{group} in {self.namespace}."
            raise Unreachable(f"{self.where}: {what} failed: {error.status} {error.reason}. {hint}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"{self.where} can't be reached ({what}): {error}") from None


class _Absent(Exception):
    """The object is gone, or another has its name."""


def connect(environment: "Environment") -> Cluster:
    """Returns the cluster of an environment: that of its settings, of the pod that we are in, or else the one that
    kubectl uses just now. Nothing is sent.

    Raises:
        Unreachable: there is none.
    """
    from kubernetes import client, config

    chosen = environment.kubernetes
    namespace = chosen.namespace or environment.namespace or NAMESPACE
    configuration = client.Configuration()
    sure = bool(chosen.host or chosen.context)
    try:
        if chosen.host:
            configuration.host = chosen.host.rstrip("/")
            where = f"Kubernetes at {chosen.host}"
        elif not chosen.context and (_POD / "token").exists():
            config.load_incluster_config(client_configuration=configuration)
            where, sure = "the Kubernetes of this pod", addresses.is_in_cluster(environment.host)
        else:
            config.load_kube_config(context=chosen.context or None, client_configuration=configuration)
            named = chosen.context or config.list_kube_config_contexts()[1]["name"]
            where = f"Kubernetes in the context {named!r}"
    except (config.ConfigException, OSError, KeyError, TypeError) as error:
        raise Unreachable(
            f"There is no way to Kubernetes: {str(error).rstrip('.')}. Set `kubernetes: {{context: NAME}}` of the "
            "environment in settings.yaml to a context of your kubeconfig."
        ) from error
    configuration.retries = False
    if addresses.is_loopback(urlsplit(configuration.host).hostname or ""):
        configuration.proxy = None
    objects = client.CustomObjectsApi(client.ApiClient(configuration))
    return Cluster(f"{where}, namespace {namespace}", namespace, sure, objects)


def _object(kind: str, said: Mapping[str, Any]) -> KubernetesObject:
    meta = said.get("metadata") or {}
    created = meta.get("creationTimestamp")
    return KubernetesObject(
        kind,
        meta.get("name", ""),
        meta.get("uid", ""),
        datetime.fromisoformat(created) if created else None,
        (meta.get("labels") or {}).get(RUN_ID, ""),
        (meta.get("annotations") or {}).get(RUN_NAME, ""),
        bool((said.get("spec") or {}).get("enabled")),
    )
