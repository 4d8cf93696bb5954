"""The delivery flow, once: from a commit to a pipeline that runs. Every CI server's files are rendered from it.

On main and for tags all of it runs, on other branches only what needs no registry. Steps find components and pipelines
in the tree themselves, so that what is rendered changes with the tree only in limits and in which files start it.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from pipeyard import settings
from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository.project import Project
from pipeyard.system import yamls

DELIVERY = "delivery"
DEVELOPMENT = "development"
# The variable that servers set to the commit which started them; empty where none did.
COMMIT = "COMMIT_SHA"
_PIPEYARD = ".venv/bin/pipeyard"
# A workspace that is kept, as `pipeyard ci run` does, isn't tested twice on the same content.
_ONCE = f"{_PIPEYARD} ci once"
# What unit tests need besides Python: a browser opens reports, a database server is read from.
_FOR_TESTS = "chromium=chromium 'postgresql=/usr/lib/postgresql/*/bin/initdb'"


# What is deployed to if nobody says: from main, and for a tag.
FROM_MAIN, FROM_TAG = "test", "production"


@dataclass(frozen=True)
class Variable:
    """What may be set from outside. In Cloud Build a substitution: `_NAME`.

    Attributes:
        pattern: that the whole value must match.
        variable: name under which steps have it in their environment.
        everywhere: every step has it, without naming it.
    """

    name: str
    default: str
    pattern: str
    meaning: str
    variable: str = ""
    flows: tuple[str, ...] = (DELIVERY,)
    everywhere: bool = False

    @property
    def in_shell(self) -> str:
        """Name in a step's environment."""
        return self.variable or self.name


@dataclass(frozen=True)
class FlowStep:
    """One step, on every server.

    Attributes:
        title: what it does, in a line.
        commands: lines of a shell that stops at the first failure.
        needs: steps that must have succeeded.
        takes: names of variables that its commands read.
        minutes: that it may take.
        secrets: names of environment variables that the server's store of secrets fills in.
    """

    name: str
    title: str
    commands: tuple[str, ...]
    needs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    minutes: int = 10
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flow:
    """Steps in an order in which they could run one by one."""

    name: str
    steps: Sequence[FlowStep]
    variables: Sequence[Variable]

    @property
    def minutes(self) -> int:
        """That all of it may take."""
        return sum(step.minutes for step in self.steps)

    def variable(self, name: str) -> Variable:
        """Returns a variable by name."""
        return next(each for each in self.variables if each.name == name)

    @property
    def secrets(self) -> list[str]:
        """What steps need of the server's store of secrets."""
        return sorted({name for step in self.steps for name in step.secrets})

    def waves(self) -> list[list[FlowStep]]:
        """Returns the steps in groups: a group's steps may run at once, when all before are done."""
        level: dict[str, int] = {}
        for step in self.steps:
            level[step.name] = 1 + max((level[name] for name in step.needs), default=-1)
        return [[step for step in self.steps if level[step.name] == each] for each in range(max(level.values()) + 1)]


_ENVIRONMENT = Variable("ENVIRONMENT", FROM_MAIN, "[a-z][a-z0-9_-]*", "environment of settings.yaml to deploy to")
_RUN = Variable("RUN", "", "([a-z][a-z0-9_]*( |$))*", "pipelines to run when they are deployed, with spaces between")
_SINCE = Variable(
    "SINCE", "", "[A-Za-z0-9_./~^-]*", "revision; only what changes since then reach is tested", flows=(DEVELOPMENT,)
)
_PYTHON_IMAGE = Variable(
    "PYTHON_IMAGE", "python:3.11-slim", r"\S+", "image that components' images are built on", "PIPEYARD_PYTHON_IMAGE"
)
_BUILDER_OPTIONS = Variable(
    "BUILDER_OPTIONS",
    "",
    r"(--[a-z-]+=\S+( |$))*",
    "more for docker build, with spaces between",
    "PIPEYARD_BUILDER_OPTIONS",
)
_STEP_IMAGE = Variable(
    "STEP_IMAGE",
    "python:3.11-bookworm",  # whose docker.io has a client with BuildKit
    r"\S+",
    "image that the steps run in: Python 3.11, make, git",
    flows=(DELIVERY, DEVELOPMENT),
)
VARIABLES = (_ENVIRONMENT, _RUN, _SINCE, _PYTHON_IMAGE, _BUILDER_OPTIONS, _STEP_IMAGE)


def delivery(project: Project) -> Flow:
    """Returns the whole flow: nothing is pushed before tests and lint have passed, nothing deployed before the push."""
    images = len(project.components) + len(project.bases)
    needs = _needs_of_settings(project)
    build = f'{_PIPEYARD} build --env "$ENVIRONMENT"'
    building = ("PYTHON_IMAGE", "BUILDER_OPTIONS")
    steps = (
        *_checks(project, DELIVERY),
        FlowStep(
            "build-images",
            "Build the images that the registry hasn't by content, and run their tests in them.",
            ("build/ci-packages docker.io=docker", f"{build} --until build"),
            ("toolchain",),
            ("ENVIRONMENT", *building),
            15 + 8 * images,
        ),
        FlowStep(
            "push-images",
            "Push them, and give all images of the commit its tag.",
            ("build/ci-packages docker.io=docker", f"{build} --until push --no-tests"),
            ("unit-tests", "pylint", "build-images"),
            ("ENVIRONMENT", *building),
            15 + 3 * images,
        ),
        FlowStep(
            "rewrite-specs",
            "Render component.yaml files with the digests that the registry has; those in git stay as they are.",
            (build,),
            ("push-images",),
            ("ENVIRONMENT", *building),
        ),
        FlowStep(
            "compile",
            "Compile every pipeline with those specs to workflow.tar.gz.",
            (f"{_PIPEYARD} compile",),
            ("rewrite-specs",),
        ),
        FlowStep(
            "upload",
            "Upload workflow.tar.gz to Cloud Storage, by commit and content.",
            (f'{_PIPEYARD} upload --env "$ENVIRONMENT"',),
            ("compile",),
            ("ENVIRONMENT",),
        ),
        FlowStep(
            "deploy",
            "Deploy each pipeline as a version of its own, where its content is new.",
            (f'{_PIPEYARD} deploy --env "$ENVIRONMENT"',),
            ("upload",),
            ("ENVIRONMENT",),
            15,
            needs.secrets,
        ),
        FlowStep(
            "run",
            "Run the pipelines that are named, and wait for them to succeed. None are, unless you say so.",
            (f'for pipeline in $RUN; do {_PIPEYARD} run "$pipeline" --env "$ENVIRONMENT" --wait; done',),
            ("deploy",),
            ("ENVIRONMENT", "RUN"),
            180,
            needs.secrets,
        ),
    )
    return Flow(DELIVERY, steps, (*_variables(DELIVERY), *needs.variables))


def development(project: Project) -> Flow:
    """Returns what branches get: tests, and compilation with the committed specs."""
    steps = (
        *_checks(project, DEVELOPMENT),
        FlowStep(
            "compile",
            "Compile every pipeline with the committed specs: no image is needed.",
            (f"{_PIPEYARD} compile --dev",),
            ("toolchain",),
        ),
    )
    return Flow(DEVELOPMENT, steps, _variables(DEVELOPMENT))


def check_values(flow: Flow, given: Mapping[str, str], environments: Sequence[str], pipelines: Sequence[str]) -> None:
    """Checks what is set from outside.

    Args:
        given: name, as the flow's or with Cloud Build's `_` before it, to value.
        environments: names of those that can be deployed to.

    Raises:
        PipeyardError: a name or a value isn't valid.
    """
    known = {each.name: each for each in flow.variables}
    for key, value in given.items():
        name = key.removeprefix("_")
        if name not in known:
            raise PipeyardError(f"The flow {flow.name} has no variable {key}. {near_misses(name, known)}")
        if not re.fullmatch(known[name].pattern, value):
            raise PipeyardError(f"{key} is {value!r}, but it is {known[name].meaning} ({known[name].pattern}).")
    environment = given.get("_ENVIRONMENT", given.get("ENVIRONMENT"))
    if environment is not None and environment not in environments:
        raise PipeyardError(
            f"ENVIRONMENT is {environment!r}, and nothing can be deployed to that. "
            f"{near_misses(environment, environments)}"
        )
    for name in given.get("_RUN", given.get("RUN", "")).split():
        if name not in pipelines:
            raise PipeyardError(f"RUN has {name!r}, which is no pipeline. {near_misses(name, pipelines)}")


@dataclass(frozen=True)
class _Needs:
    """What `settings.yaml` wants to be set: variables, and names of secrets."""

    variables: tuple[Variable, ...]
    secrets: tuple[str, ...]


def _needs_of_settings(project: Project) -> _Needs:
    """Reads names alone, so that nothing need be set where a file is rendered."""
    path = project.root / settings.FILE
    try:
        content = yamls.load(path.read_text(encoding="utf-8")) or {}
        places = [content.get("defaults") or {}, *(content.get("environments") or {}).values()]
        auths = [place.get("auth") or {} for place in places]
        declared = dict(content.get("variables") or {})
    except (OSError, yaml.YAMLError, AttributeError, ValueError) as error:
        raise PipeyardError(f"{path} can't be read: {error}. `pipeyard settings` tells what is wrong.") from error
    values = configured(project).get("variables", {})
    variables = [
        Variable(name, str(values.get(name, "")), r"\S*", str(meaning), everywhere=True)
        for name, meaning in declared.items()
    ]
    secrets = {auth[key] for auth in auths for key in ("token_env", "cookies_env") if auth.get(key)}
    return _Needs(tuple(variables), tuple(sorted(secrets)))


def configured(project: Project) -> dict[str, Any]:
    """Returns `[tool.pipeyard.ci]` of pyproject.toml: what differs from one installation to another."""
    path = project.root / "pyproject.toml"
    content = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content.get("tool", {}).get("pipeyard", {}).get("ci", {})


def _checks(project: Project, flow: str) -> tuple[FlowStep, ...]:
    names = [each.name for each in _variables(flow) if each != _STEP_IMAGE]
    since = ("SINCE",) if flow == DEVELOPMENT else ()
    tests = 'make unit SINCE="$SINCE"' if flow == DEVELOPMENT else f"{_ONCE} unit-tests make unit"
    services = [folder for folder in project.services.values() if (folder / "tests").is_dir()]
    suites = len(project.components) + len(project.libraries) + len(services)
    return (
        FlowStep(
            "copy-source",
            "The commit that started the build, all of it committed, and no other.",
            (f'build/ci-source "${COMMIT}"',),
            (),
            (COMMIT, *since),
        ),
        FlowStep(
            "toolchain",
            "Set up the toolchain from its lock, and check what the build was given.",
            ("make setup", f"{_PIPEYARD} ci values {flow}"),
            ("copy-source",),
            tuple(names),
        ),
        FlowStep(
            "unit-tests",
            "Unit tests of components, libraries and the toolchain, each in its locked environment.",
            (f"build/ci-packages {_FOR_TESTS}", f"CI=true {tests}"),
            ("toolchain",),
            since,
            20 + 5 * suites,
        ),
        FlowStep(
            "pylint",
            "Ruff and pylint over all Python, and what is generated.",
            (f"{_ONCE} pylint make lint",),
            ("toolchain",),
            (),
            40,
        ),
        FlowStep(
            "advisories",
            "Known vulnerabilities of locked packages; if they can't be looked up, that is said, and nothing fails.",
            (f"{_PIPEYARD} check --advisories",),
            ("toolchain",),
        ),
    )


def _variables(flow: str) -> tuple[Variable, ...]:
    return tuple(each for each in VARIABLES if flow in each.flows)
