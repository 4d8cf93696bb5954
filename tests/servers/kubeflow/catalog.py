"""Pipelines and their versions, and the rules for them. Everything is as JSON, as the API shows it.

Source: kubeflow/pipelines, backend/src/apiserver/{validation/length,model/pipeline_tags,resource/resource_manager}.go.
Recorded: limits in bytes, names that are the same, tags, and which refusal is which.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..kubernetes.cluster import new_id
from . import collation, packages
from .refusals import Refused, exists, internal, invalid, missing

# Bytes.
LONGEST = {"experiment": 128, "pipeline": 128, "pipeline version": 127}
# Characters, and number.
_TAG, _TAGS = 63, 20


class Catalog:
    """Pipelines and versions, by id.

    Args:
        several_users: everything is in a namespace. Otherwise namespaces are ignored.
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

    def add_pipeline(self, body: Mapping[str, Any]) -> dict:
        """Makes a pipeline without a version."""
        name = body.get("name") or body.get("display_name", "")
        if len(name.encode()) > LONGEST["pipeline"]:
            raise internal(f"Pipeline.Name length cannot exceed {LONGEST['pipeline']}")
        if not name:
            raise invalid("pipeline's name cannot be empty")
        tags(body.get("tags", {}))
        return self._pipeline({**body, "name": name})

    def add_pipeline_with_version(self, body: Mapping[str, Any], text: bytes) -> dict:
        """Makes a pipeline with a version that is called as the pipeline is, and returns the pipeline."""
        self._template(text)
        tags(body.get("tags", {}))
        made = self._pipeline(body)
        self.add_version({**body, "pipeline_id": made["pipeline_id"], "tags": {}}, text)
        return made

    def _pipeline(self, body: Mapping[str, Any]) -> dict:
        namespace = body.get("namespace", "") if self.several_users else ""
        made = {
            "pipeline_id": new_id(),
            "name": body["name"],
            "display_name": body.get("display_name") or body["name"],
            "description": body.get("description", ""),
            "created_at": self.time(),
            "namespace": namespace,
            "tags": dict(body.get("tags", {})),
        }
        collation.store(made, "display_name")
        if self._named(self.pipelines_in(namespace), made["name"]):
            raise exists("pipeline", made["name"])
        self.pipelines[made["pipeline_id"]] = made
        return made

    def pipeline(self, key: str) -> dict:
        if key not in self.pipelines:
            raise missing("Pipeline", key)
        return self.pipelines[key]

    def pipeline_named(self, name: str, namespace: str) -> dict:
        if found := self._named(self.pipelines_in(namespace), name):
            return found
        raise missing("Pipeline", name)

    def pipelines_in(self, namespace: str) -> list[dict]:
        """Those of a namespace; without one, those that all share."""
        return [each for each in self.pipelines.values() if not self.several_users or each["namespace"] == namespace]

    def remove_pipeline(self, key: str, cascade: bool = False) -> dict:
        """Removes a pipeline that has no versions, or together with them."""
        self.pipeline(key)
        versions = [one for one, each in self.versions.items() if each["pipeline_id"] == key]
        if versions and not cascade:
            raise invalid(f"Failed to delete pipeline with id {key} as it has existing pipeline versions")
        for each in versions:
            del self.versions[each]
        del self.pipelines[key]
        return {}

    def add_version(self, body: Mapping[str, Any], text: bytes) -> dict:
        """Makes a version of the pipeline `pipeline_id`."""
        spec = self._template(text)
        tags(body.get("tags", {}))
        made = {
            "pipeline_id": body["pipeline_id"],
            "pipeline_version_id": new_id(),
            "name": body["name"],
            "display_name": body.get("display_name") or body["name"],
            "description": body.get("description", ""),
            "created_at": self.time(),
            "code_source_url": body.get("code_source_url", ""),
            "pipeline_spec": spec,
            "tags": dict(body.get("tags", {})),
        }
        collation.store(made, "display_name", "code_source_url")
        of_pipeline = [each for each in self.versions.values() if each["pipeline_id"] == body["pipeline_id"]]
        if self._named(of_pipeline, made["name"]):
            raise exists("pipeline version", made["name"])
        self.versions[made["pipeline_version_id"]] = made
        return made

    def version(self, key: str) -> dict:
        """Returns a version. The API has its pipeline's id in the address, and ignores it."""
        if key not in self.versions:
            raise missing("PipelineVersion", key)
        return self.versions[key]

    def remove_version(self, key: str) -> dict:
        self.version(key)
        del self.versions[key]
        return {}

    def latest_version(self, pipeline_id: str) -> dict:
        """The first of those with the latest time, as far as whole seconds tell."""
        self.pipeline(pipeline_id)
        found = [each for each in self.versions.values() if each["pipeline_id"] == pipeline_id]
        if not found:
            raise missing("PipelineVersion of pipeline", pipeline_id)
        return max(found, key=lambda each: each["created_at"])

    @staticmethod
    def _template(text: bytes) -> dict:
        if not text:
            raise Refused(500, "InternalServerError: Failed to fetch a template: the pipeline spec is empty")
        spec = packages.specification(text)
        packages.check_name(spec)
        return spec

    @staticmethod
    def _named(things: list[dict], name: str) -> dict | None:
        wanted = collation.key(name)
        return next((each for each in things if collation.key(each["name"]) == wanted), None)


def tags(given: Mapping[str, str]) -> None:
    """Refuses tags that break the limits."""
    if len(given) > _TAGS:
        raise invalid(f"number of tags ({len(given)}) exceeds maximum of {_TAGS} per entity")
    for key, value in given.items():
        if not key:
            raise invalid("tag key cannot be empty")
        if "." in key:
            raise invalid(f"tag key {key!r} must not contain '.' character")
        if len(key) > _TAG:
            raise invalid(f"tag key {key!r} exceeds maximum length of {_TAG} characters")
        if len(value) > _TAG:
            raise invalid(f"tag value {value!r} for key {key!r} exceeds maximum length of {_TAG} characters")
