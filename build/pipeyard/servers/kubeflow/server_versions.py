"""What servers of Kubeflow Pipelines differ in from version to version, and what of it a pipeline needs.

Known from: changes to kubeflow/pipelines, by number; the packages kfp-pipeline-spec and kfp-server-api of each version,
compared with each other; a driver, launcher and API server of 2.17.0 as they were seen to behave.
`docs/kubeflow.md` has this as a table, which a test compares.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeyard.ir.derivation import SpecTask, steps
from pipeyard.system import yamls

if TYPE_CHECKING:
    from pipeyard.servers.kubeflow.connection import Server

ServerVersion = tuple[int, int, int]
# Columns of the table.
SHOWN: tuple[ServerVersion, ...] = ((2, 5, 0), (2, 14, 0), (2, 16, 0), (2, 17, 0), (2, 17, 1))
NEVER: ServerVersion = (999, 0, 0)
_OF_A_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
_REFUSED = "the server refuses the pipeline: `unknown template format`"
_IGNORED = "the server ignores **all** of the Kubernetes settings, those of steps, too, without a word"


@dataclass(frozen=True)
class Difference:
    """Something that some versions can't do.

    Attributes:
        what: works elsewhere.
        lacking: half-open range of the versions that lack it.
        instead: what they do.
        source: how that is known.
        needed_by: yields what of a compiled pipeline needs it: names of steps, or `the pipeline`.
    """

    what: str
    lacking: tuple[ServerVersion, ServerVersion]
    instead: str
    source: str
    needed_by: Callable[["PipelineParts"], Iterable[str]] = lambda _: ()

    def is_lacking(self, version: ServerVersion) -> bool:
        """Whether a server of a version lacks it."""
        return self.lacking[0] <= version < self.lacking[1]


@dataclass(frozen=True)
class PipelineParts:
    """A compiled pipeline's parts, as its YAML has them.

    Attributes:
        spec: the IR's PipelineSpec.
        kubernetes: settings of the Kubernetes platform.
        steps: all tasks, at any depth.
    """

    spec: dict[str, Any]
    kubernetes: dict[str, Any]
    steps: list[SpecTask]

    def component(self, step: SpecTask) -> dict[str, Any]:
        """Returns a task's ComponentSpec."""
        return self.spec["components"][step.task["componentRef"]["name"]]

    def command(self, step: SpecTask) -> list[str]:
        """Returns a step's command and arguments; of a group none."""
        executors = self.spec.get("deploymentSpec", {}).get("executors", {})
        container = executors.get(self.component(step).get("executorLabel"), {}).get("container", {})
        return [*map(str, container.get("command", [])), *map(str, container.get("args", []))]


def _left_out(pipeline: PipelineParts) -> Iterator[str]:
    """Yields steps with an argument that isn't given and whose place in the command isn't `IfPresent`.

    Elements with an output are the launcher's, which knows defaults.
    """
    for step in pipeline.steps:
        given = step.task.get("inputs", {}).get("parameters", {})
        bare = (
            each for each in pipeline.command(step) if not each.startswith('{"IfPresent"') and "$.outputs" not in each
        )
        if any(name not in given for each in bare for name in _OF_A_PARAMETER.findall(each)):
            yield step.path


def _if_present(pipeline: PipelineParts) -> Iterator[str]:
    return (
        step.path for step in pipeline.steps if any(each.startswith('{"IfPresent"') for each in pipeline.command(step))
    )


def _if_present_of_an_artifact(pipeline: PipelineParts) -> Iterator[str]:
    for step in pipeline.steps:
        given = step.task.get("inputs", {}).get("artifacts", {})
        clauses = (each for each in pipeline.command(step) if each.startswith('{"IfPresent"'))
        if any(json.loads(each)["IfPresent"]["InputName"] in given for each in clauses):
            yield step.path


def _concat(pipeline: PipelineParts) -> Iterator[str]:
    return (step.path for step in pipeline.steps if any('{"Concat"' in each for each in pipeline.command(step)))


def _final_status(pipeline: PipelineParts) -> Iterator[str]:
    for step in pipeline.steps:
        if any("taskFinalStatus" in each for each in step.task.get("inputs", {}).get("parameters", {}).values()):
            yield step.path


def _loops(pipeline: PipelineParts) -> list[str]:
    return [step.path for step in pipeline.steps if {"parameterIterator", "artifactIterator"} & step.task.keys()]


def _retried_in_loops(pipeline: PipelineParts) -> Iterator[str]:
    loops = _loops(pipeline)
    for step in pipeline.steps:
        if "retryPolicy" in step.task and any(f"{step.path}/".startswith(f"{loop}/") for loop in loops):
            yield step.path


def _retried(pipeline: PipelineParts) -> Iterator[str]:
    return (step.path for step in pipeline.steps if "retryPolicy" in step.task)


def _collected(pipeline: PipelineParts) -> Iterator[str]:
    loops = set(_loops(pipeline))
    for step in pipeline.steps:
        prefix = step.path.rpartition("/")[0]
        inputs = step.task.get("inputs", {})
        for each in [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]:
            taken = each.get("taskOutputParameter") or each.get("taskOutputArtifact") or {}
            if f"{prefix}/{taken.get('producerTask')}".lstrip("/") in loops:
                yield step.path
                break


def _literals(pipeline: PipelineParts) -> Iterator[str]:
    for component in [pipeline.spec["root"], *pipeline.spec.get("components", {}).values()]:
        if any("literals" in each for each in component.get("inputDefinitions", {}).get("parameters", {}).values()):
            yield "the pipeline"


def _task_config(pipeline: PipelineParts) -> Iterator[str]:
    return (step.path for step in pipeline.steps if "taskConfigPassthroughs" in pipeline.component(step))


def _downloads(pipeline: PipelineParts) -> Iterator[str]:
    executors = pipeline.spec.get("deploymentSpec", {}).get("executors", {})
    for step in pipeline.steps:
        importer = executors.get(pipeline.component(step).get("executorLabel"), {}).get("importer", {})
        if importer.get("downloadToWorkspace"):
            yield step.path


def _configured(*fields: str) -> Callable[[PipelineParts], Iterator[str]]:
    def needed_by(pipeline: PipelineParts) -> Iterator[str]:
        if set(fields) & pipeline.kubernetes.get("pipelineConfig", {}).keys():
            yield "the pipeline"

    return needed_by


_FIRST: ServerVersion = (0, 0, 0)
_TTL = ("resourceTtlOnCompletion", "resourceTtlOnFailure", "resourceTtlOnSuccess")
DIFFERENCES = (
    Difference(
        "`retries` of a step",
        (_FIRST, (2, 5, 0)),
        "they are ignored",
        "kubeflow/pipelines#11673",
        _retried,
    ),
    Difference(
        "`retries` of a step in a loop",
        (_FIRST, NEVER),
        "they are reported to be ignored",
        "kubeflow/pipelines#12389, open",
        _retried_in_loops,
    ),
    Difference(
        "`deadline` of a whole run",
        (_FIRST, (2, 17, 0)),
        _IGNORED,
        "kubeflow/pipelines#13187; kfp-pipeline-spec",
        _configured("activeDeadlineSeconds"),
    ),
    Difference(
        "how long workflows are kept (`dsl.PipelineConfig(ttl_seconds_after_...)`)",
        (_FIRST, (2, 17, 0)),
        _IGNORED,
        "kfp-pipeline-spec",
        _configured(*_TTL),
    ),
    Difference(
        "a workspace (`dsl.PipelineConfig(workspace=...)`)",
        (_FIRST, (2, 14, 0)),
        _IGNORED,
        "kubeflow/pipelines#11982; kfp-pipeline-spec",
        _configured("workspace"),
    ),
    Difference(
        "an argument that is left out, outside of `if`/`isPresent`",
        ((2, 17, 0), (2, 17, 1)),
        "its step fails: `parameter ... not found in executor input`",
        "seen; kubeflow/pipelines#14175",
        _left_out,
    ),
    Difference(
        "`if`/`isPresent` in a component's command",
        (_FIRST, (2, 17, 0)),
        'the step gets `{"IfPresent": ...}` itself as an argument',
        "kubeflow/pipelines#12598",
        _if_present,
    ),
    Difference(
        "`if`/`isPresent` of an artifact",
        (_FIRST, (2, 17, 1)),
        "an artifact that is there is taken for absent",
        "kubeflow/pipelines#14175",
        _if_present_of_an_artifact,
    ),
    Difference(
        "`concat` in a component's command",
        (_FIRST, NEVER),
        'the step gets `{"Concat": ...}` itself as an argument',
        "kubeflow/pipelines#9486, closed without it",
        _concat,
    ),
    Difference(
        "the final status in an exit handler",
        (_FIRST, (2, 14, 0)),
        "its step doesn't get it",
        "kubeflow/pipelines#11953",
        _final_status,
    ),
    Difference(
        "what a loop's steps made, collected (`dsl.Collected`)",
        (_FIRST, (2, 14, 0)),
        "what takes it fails",
        "kubeflow/pipelines#11725",
        _collected,
    ),
    Difference(
        "an importer that downloads to the workspace (IR: `downloadToWorkspace`)",
        (_FIRST, (2, 15, 0)),
        "no run can be started",
        "kfp-pipeline-spec",
        _downloads,
    ),
    Difference(
        "`dsl.TaskConfig` (IR: `taskConfigPassthroughs`)",
        (_FIRST, (2, 15, 0)),
        _REFUSED,
        "kfp-pipeline-spec",
        _task_config,
    ),
    Difference(
        "`Literal` parameters (IR: `literals`)",
        (_FIRST, (2, 16, 0)),
        _REFUSED,
        "kfp-pipeline-spec",
        _literals,
    ),
    Difference(
        "tags of a version, which name its commit; at most 63 characters",
        (_FIRST, (2, 17, 0)),
        "they aren't kept; versions are found by name",
        "recorded; kfp-server-api",
    ),
)


def read(server: "Server") -> str:
    """Returns what a server calls its version, a release's number or anything else; '': it doesn't tell.

    Protocol: GET healthz, `tag_name`, which isn't in the API's definition.
    """
    import kfp_server_api

    from pipeyard.servers.kubeflow.connection import ServerError

    health = kfp_server_api.HealthzServiceApi(server.runs.api_client)
    try:
        answer = server.ask(
            "asking for its version", health.healthz_service_get_healthz, _preload_content=False, attempts=1, seconds=10
        )
        said = json.loads(answer.data)
        return str(said.get("tag_name") or "")
    except (ServerError, ValueError, AttributeError):
        return ""


def parse(name: str) -> ServerVersion | None:
    """Returns the version that a server calls by a name; None if it isn't a release."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)([-+].*)?", name)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def warnings(name: str, text: str) -> list[str]:
    """Returns what a server can't do of a compiled pipeline, in words.

    Args:
        name: that the server has for its version. If that is no release, all that depends on the version is said.
    """
    version = parse(name)
    documents = [each for each in yamls.load_all(text) if each]
    kubernetes = [each.get("platforms", {}).get("kubernetes", {}) for each in documents[1:]]
    pipeline = PipelineParts(documents[0], kubernetes[0] if kubernetes else {}, steps(text))
    needed = [(each, sorted(set(each.needed_by(pipeline)))) for each in DIFFERENCES]
    needed = [(each, by) for each, by in needed if by and (version is None or each.is_lacking(version))]
    if version is not None:
        return [f"the server, {_shown(version)}, {_lacks(each)}. Affected: {', '.join(by)}" for each, by in needed]
    told = f"calls its version {name!r}, which is no release" if name else "doesn't tell its version"
    return [f"the server {told}. Some servers {_lacks(each)}. Affected: {', '.join(by)}" for each, by in needed]


def _lacks(each: Difference) -> str:
    """Returns what follows the name of a server that lacks something."""
    first, last = each.lacking
    some = f" ({'' if first == _FIRST else f'from {_shown(first)} '}before {_shown(last)})" if last != NEVER else ""
    return f"can't do this{some}: {each.what}; {each.instead}"


def table() -> str:
    """Returns the differences as Markdown."""
    head = ["", *map(_shown, SHOWN), "without it", "known from"]
    rows = [
        [each.what, *("" if each.is_lacking(shown) else "yes" for shown in SHOWN), each.instead, each.source]
        for each in DIFFERENCES
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(version: ServerVersion) -> str:
    return ".".join(map(str, version))
