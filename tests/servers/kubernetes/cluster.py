"""Objects of a cluster, as JSON, as Kubernetes' API shows them."""

import copy
import itertools
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# Of a name that Kubernetes generates. Source: k8s.io/apimachinery/pkg/util/rand.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_PREFIX = 63 - 5
# Ids rise, so that what was made within a second is listed in the same order each time. The real ones are random.
_IDS = itertools.count(random.randrange(2**31))


def new_id() -> str:
    """Returns an id that is greater than all before it."""
    return f"{next(_IDS):08x}{str(uuid.uuid4())[8:]}"


@dataclass(frozen=True)
class Kind:
    """A kind of object: its API and its names in it."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


WORKFLOWS = Kind("argoproj.io", "v1alpha1", "Workflow", "workflows")
SCHEDULED_WORKFLOWS = Kind("kubeflow.org", "v1beta1", "ScheduledWorkflow", "scheduledworkflows")
KINDS = (WORKFLOWS, SCHEDULED_WORKFLOWS)


class NotFound(Exception):
    """There is no such object."""


class Cluster:
    """What a cluster has.

    Args:
        now: the cluster's clock.

    Attributes:
        lock: held while an object is read or changed; those who share the cluster hold it for what belongs together.
        controllers: called before objects are read, as controllers that reconcile all the time.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.now = now
        self.lock = threading.RLock()
        self.controllers: list[Callable[[], None]] = []
        self._objects: dict[tuple[Kind, str, str], dict[str, Any]] = {}
        self._version = 1000

    def create(self, kind: Kind, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Makes an object, named after its metadata's `generateName`, and returns it."""
        with self.lock:
            made = copy.deepcopy(dict(manifest))
            prefix = made["metadata"]["generateName"]
            name = prefix[:_LONGEST_PREFIX] + "".join(random.choices(_LETTERS, k=5))
            made = {"apiVersion": kind.api_version, "kind": kind.kind, **made}
            made["metadata"] = {
                **made["metadata"],
                "name": name,
                "namespace": namespace,
                "uid": new_id(),
                "creationTimestamp": self._time(),
                "generation": 1,
                "resourceVersion": self._next_version(),
            }
            self._objects[kind, namespace, name] = made
            return copy.deepcopy(made)

    def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Returns an object.

        Raises:
            NotFound: there is none.
        """
        with self.lock:
            self.reconcile()
            return copy.deepcopy(self._found(kind, namespace, name))

    def all(self, kind: Kind, namespace: str = "") -> list[dict[str, Any]]:
        """Returns a kind's objects, by name; without a namespace those of all."""
        with self.lock:
            self.reconcile()
            keys = sorted(key[1:] for key in self._objects if key[0] == kind and namespace in ("", key[1]))
            return [copy.deepcopy(self._objects[kind, *key]) for key in keys]

    def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any]) -> None:
        """Merges a change into an object (RFC 7386)."""
        with self.lock:
            found = self._found(kind, namespace, name)
            before = copy.deepcopy(found.get("spec"))
            _merge(found, change)
            found["metadata"]["generation"] += found.get("spec") != before
            found["metadata"]["resourceVersion"] = self._next_version()

    def delete(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Removes an object and returns what it was."""
        with self.lock:
            self._found(kind, namespace, name)
            return self._objects.pop((kind, namespace, name))

    def reconcile(self) -> None:
        """Lets the controllers do what is due."""
        with self.lock:
            for each in self.controllers:
                each()

    def peek(self, kind: Kind) -> list[dict[str, Any]]:
        """Returns a kind's objects without letting controllers act; for controllers."""
        return [each for key, each in self._objects.items() if key[0] == kind]

    def version(self) -> str:
        """Returns the resource version of a list."""
        return str(self._version)

    def _found(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self._objects[kind, namespace, name]
        except KeyError:
            raise NotFound(f"{kind.plural}.{kind.group} {name!r} not found") from None

    def _next_version(self) -> str:
        self._version += 1
        return str(self._version)

    def _time(self) -> str:
        return self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _merge(into: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value
