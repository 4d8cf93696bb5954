"""Pipelines and their versions, and the rules for them. Everything is as JSON, as the API shows it."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from . import packages
from .refusals import exists, invalid, missing

# Characters. Source: kubeflow/pipelines, backend/src/apiserver/validation.
_LONGEST = {"experiment": 128, "pipeline": 128, "pipeline version": 127}


class Catalog:
    """Pipelines and versions, by id.

    Args:
        several_users: everything is in a namespace.
        now: the server's clock.
    """

    def __init__(self, several_users: bool, now: Callable[[], datetime]) -> None:
        self.several_users = several_users
        self.pipelines: dict[str, dict] = {}
        self.versions: dict[str, dict] = {}
        self._now = now

    def time(self) -> str:
        """Now, in whole seconds as the database keeps them."""
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def add_pipeline(self, name: str, display_name: str, namespace: str, description: str = "") -> dict:
        named("pipeline", name)
        namespace = namespace if self.several_users else ""
        if any((each["name"], each.get("namespace", "")) == (name, namespace) for each in self.pipelines.values()):
            raise exists("pipeline", name)
        made = {
            "pipeline_id": str(uuid.uuid4()),
            "name": name,
            "display_name": display_name or name,
            "description": description,
            "created_at": self.time(),
            **({"namespace": namespace} if namespace else {}),
        }
        self.pipelines[made["pipeline_id"]] = made
        return made

    def pipeline(self, key: str) -> dict:
        if key not in self.pipelines:
            raise missing("Pipeline", key)
        return self.pipelines[key]

    def pipeline_named(self, name: str, namespace: str) -> dict:
        for each in self.pipelines_in(namespace):
            if each["name"] == name:
                return each
        raise missing("Pipeline", name)

    def pipelines_in(self, namespace: str) -> list[dict]:
        """Those of a namespace; without one, those that all share."""
        return [
            each for each in self.pipelines.values() if not self.several_users or each.get("namespace", "") == namespace
        ]

    def remove_pipeline(self, key: str) -> dict:
        self.pipeline(key)
        if any(each["pipeline_id"] == key for each in self.versions.values()):
            raise invalid(f"pipeline {key} has versions; delete them first")
        del self.pipelines[key]
        return {}

    def add_version(self, pipeline_id: str, name: str, display_name: str, text: str, tags: Mapping[str, str]) -> dict:
        spec = packages.specification(text)
        named("pipeline version", name)
        self.pipeline(pipeline_id)
        if any((each["pipeline_id"], each["name"]) == (pipeline_id, name) for each in self.versions.values()):
            raise exists("pipeline version", name)
        if any("." in key for key in tags):
            raise invalid("a tag's key has a dot")
        made = {
            "pipeline_id": pipeline_id,
            "pipeline_version_id": str(uuid.uuid4()),
            "name": name,
            "display_name": display_name or name,
            "created_at": self.time(),
            "pipeline_spec": spec,
            "tags": dict(tags),
        }
        self.versions[made["pipeline_version_id"]] = made
        return made

    def version(self, pipeline_id: str, key: str) -> dict:
        found = self.versions.get(key)
        if found is None or (pipeline_id and found["pipeline_id"] != pipeline_id):
            raise missing("PipelineVersion", key)
        return found

    def latest_version(self, pipeline_id: str) -> dict:
        """The first of those with the latest time, as far as whole seconds tell."""
        self.pipeline(pipeline_id)
        found = [each for each in self.versions.values() if each["pipeline_id"] == pipeline_id]
        if not found:
            raise missing("PipelineVersion of pipeline", pipeline_id)
        return max(found, key=lambda each: each["created_at"])


def named(what: str, name: str) -> None:
    """Refuses names that are too long, or empty."""
    if not name:
        raise invalid(f"the {what}'s name is empty")
    if len(name) > _LONGEST[what]:
        raise invalid(f"the {what}'s name is longer than {_LONGEST[what]}")
