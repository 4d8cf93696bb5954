"""Experiments, and the rules for them.

Source: kubeflow/pipelines, backend/src/apiserver/{resource/resource_manager,storage/experiment_store}.go. Recorded:
names, archiving (also of what isn't there), deleting.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..kubernetes.cluster import new_id
from . import collation
from .catalog import LONGEST, Catalog
from .refusals import exists, internal, invalid, missing

EPOCH = "1970-01-01T00:00:00Z"


class Experiments(Catalog):
    """Experiments, by id. For a single user there is one from the beginning, for runs without one."""

    def __init__(self, several_users: bool, now: Callable[[], datetime]) -> None:
        super().__init__(several_users, now)
        self.experiments: dict[str, dict] = {}
        self._default = ""
        if not several_users:
            told = "All runs created without specifying an experiment will be grouped here."
            self._default = self.add_experiment({"display_name": "Default", "description": told})["experiment_id"]

    def add_experiment(self, body: Mapping[str, Any]) -> dict:
        name = body.get("display_name", "")
        if not name:
            raise internal("Experiment must have a non-empty name")
        if len(name.encode()) > LONGEST["experiment"]:
            raise internal(f"Experiment.Name length cannot exceed {LONGEST['experiment']}")
        namespace = self.namespace_of(body.get("namespace", ""))
        made = {
            "experiment_id": new_id(),
            "display_name": name,
            "description": body.get("description", ""),
            "created_at": self.time(),
            "last_run_created_at": EPOCH,
            "storage_state": "AVAILABLE",
            "namespace": namespace,
        }
        collation.store(made, "description")
        wanted = collation.key(name)
        for each in self.experiments_in(namespace):
            if collation.key(each["display_name"]) == wanted:
                raise exists("experiment", name)
        self.experiments[made["experiment_id"]] = made
        return made

    def experiment(self, key: str) -> dict:
        if key not in self.experiments:
            raise missing("Experiment", key)
        return self.experiments[key]

    def experiments_in(self, namespace: str) -> list[dict]:
        namespace = self.namespace_of(namespace)
        return [each for each in self.experiments.values() if each["namespace"] == namespace]

    def remove_experiment(self, key: str) -> dict:
        """Removes an experiment. Its runs and recurring runs stay, and go on."""
        if key == self._default:
            raise invalid("The default experiment cannot be deleted")
        self.experiment(key)
        del self.experiments[key]
        return {}

    def namespace_of(self, namespace: str) -> str:
        """Returns the namespace that a request is about; a single user's is ignored."""
        if not self.several_users:
            return ""
        if not namespace:
            raise invalid("Namespace cannot be empty")
        return namespace

    def experiment_for(self, key: str) -> dict:
        """Returns the experiment of a new run, which may be archived; without an id the default one."""
        if not key and not self._default:
            raise invalid("Experiment id can not be empty")
        return self.experiment(key or self._default)
