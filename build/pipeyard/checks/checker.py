"""All checks together. What they find is collected; one that can't be made keeps no other from being made."""

import functools
import itertools
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeyard.checks import dockerfile_template, dry_run, generated, kfp_versions, program, readmes, spec_rules, wheels
from pipeyard.compiling import compiler
from pipeyard.errors import PipeyardError, near_misses
from pipeyard.findings import Finding
from pipeyard.local.display import Display
from pipeyard.packages import builds
from pipeyard.repository import dependency_graph, uv_locks, venvs
from pipeyard.repository.dockerfiles import Dockerfile, of_component, stack
from pipeyard.repository.project import Component, Project
from pipeyard.settings import schema
from stepkit import machine

_PYTHON_IMAGE = "PYTHON_IMAGE"
# Checks whose findings keep no component from running here.
_HARMLESS = {"readme", "locks", "wheels", "base", "dockerfile", "schema", "parameters"}


@dataclass(frozen=True)
class Report:
    """What was looked at, and what is to mend.

    Attributes:
        components, pipelines: names of those that were checked.
        findings: sorted, each once.
        notes: what wasn't checked, and why.
    """

    components: Sequence[str]
    pipelines: Sequence[str]
    findings: Sequence[Finding]
    notes: Sequence[str] = field(default=())


def check(
    project: Project,
    names: Sequence[str],
    say: Callable[[str], None],
    display: Display | None,
    fix: bool = False,
) -> Report:
    """Checks components, the pipelines that load them, and, if no names are given, what all share.

    Args:
        names: components; none: all.
        say: hears what takes time.
        display: shows dry runs; None: there are none.
        fix: rewrite the tables in READMEs, and the schema of settings.

    Raises:
        PipeyardError: there is no such component, or no uv.
    """
    strangers = [name for name in names if name not in project.components]
    if strangers:
        raise PipeyardError(f"No component {strangers[0]!r}. {near_misses(strangers[0], project.components)}")
    chosen = [project.components[name] for name in dict.fromkeys(names or project.components)]
    uv = venvs.uv(project)
    with ThreadPoolExecutor(machine.cpus()) as pool:
        looked = [pool.submit(_component, project, each, uv, fix, say) for each in chosen]
        shared = [] if names else [pool.submit(_shared, project, uv, fix)]
        found = [*_kfp(project, chosen, say)]
        found += itertools.chain.from_iterable(each.result() for each in [*looked, *shared])
    pipelines = _pipelines_of(project, {each.name for each in chosen})
    notes: list[str] = []
    for name in pipelines:
        found += _tried(f"pipelines/{name}", "compile", _compiled, project, name, notes)
    if display is None:
        notes.append("No dry run was made: nobody looked whether components write their outputs.")
    elif any(each.check not in _HARMLESS for each in found):
        notes.append("The dry run waits until this is mended.")
    else:
        wanted = [each.name for each in chosen]
        say("running components on little data")
        found += _tried("pipelines", "outputs", dry_run.findings, project, wanted, display, notes)
    return Report([each.name for each in chosen], pipelines, sorted(set(found)), notes)


def _tried(part: str, name: str, look: Callable[..., Iterable[Finding]], *arguments: Any) -> list[Finding]:
    """Returns what the check called `name` finds; an error that ends it is one more finding."""
    found: list[Finding] = []
    try:
        for each in look(*arguments):
            found.append(each)
    except PipeyardError as error:
        found.append(Finding(part, name, str(error)))
    except OSError as error:
        found.append(Finding(part, name, f"{error.strerror or error}: {error.filename}"))
    except tomllib.TOMLDecodeError as error:
        found.append(Finding(part, name, f"pyproject.toml or uv.lock can't be read: {error}", "Correct it."))
    return found


def _component(project: Project, component: Component, uv: str, fix: bool, say: Callable[[str], None]) -> list[Finding]:
    """Makes the checks of one component that need no other."""
    part = f"components/{component.name}"
    broken = _tried(part, "spec", spec_rules.malformed, component, part)
    if broken:
        return broken
    found = _tried(part, "spec", spec_rules.findings, component, part)
    found += _tried(part, "readme", _rendered, part, "readme", fix, readmes.of_component, component)
    found += _tried(
        part, "dockerfile", _rendered, part, "dockerfile", fix, dockerfile_template.of_component, project, component
    )
    found += _tried(part, "locks", generated.stale_lock, part, component.folder, uv)
    dockerfile = of_component(project, component.name)
    found += _tried(part, "base", _unpinned, dockerfile, part)
    if not (component.folder / uv_locks.LOCK).exists():
        return found  # so it has no environment either
    target = wheels.target_of(_python_image(project, dockerfile))
    found += _tried(part, "wheels", wheels.findings, component.folder, part, uv, target)
    return found + _tried(part, "flags", _program, project, component, part, say)


def _rendered(part: str, name: str, fix: bool, wanted: Callable[..., dict[Path, str]], *of: Any) -> Iterator[Finding]:
    yield from generated.stale_files(part, name, wanted(*of), fix)


def _program(project: Project, component: Component, part: str, say: Callable[[str], None]) -> Iterator[Finding]:
    venvs.sync(project, component.folder, say)
    yield from program.findings(component, part)


def _shared(project: Project, uv: str, fix: bool) -> list[Finding]:
    """Runs the checks of what components share, and of folders that should be components."""
    found = _tried("README.md", "readme", _rendered, "README.md", "readme", fix, readmes.of_project, project)
    found += _tried(schema.PATH.as_posix(), "schema", generated.stale_schema, project, fix)
    components = {component.folder for component in project.components.values()}
    for folder in uv_locks.projects(project.root):
        if folder not in components:
            name = folder.relative_to(project.root).as_posix()
            part = "pyproject.toml" if name == "." else name
            found += _tried(part, "locks", generated.stale_lock, part, folder, uv)
    found += _tried("images", "locks", generated.stale_base_lists, project, uv)
    for name, folder in project.bases.items():
        part = f"images/{name}"
        dockerfile = Dockerfile(name, folder / "Dockerfile", project.root)
        found += _tried(part, "base", _unpinned, dockerfile, part)
    for folder in sorted(path.parent for path in (project.root / "components").glob("*/pyproject.toml")):
        if folder not in components:
            part = f"components/{folder.name}"
            found.append(Finding(part, "spec", "it has no component.yaml", "Write one, or remove the folder."))
    return found


def _unpinned(dockerfile: Dockerfile, part: str) -> Iterator[Finding]:
    for image in dockerfile.unpinned:
        yield Finding(
            part,
            "base",
            f"its Dockerfile takes {image}, which may be another image tomorrow",
            "Take it by a build argument <NAME>_IMAGE, which builds pin, or write its digest: NAME@sha256:...",
        )


def _python_image(project: Project, dockerfile: Dockerfile) -> str:
    try:
        return stack(project, dockerfile)[-1].arguments.get(_PYTHON_IMAGE, "")
    except PipeyardError:  # told by the check of its base
        return ""


def _kfp(project: Project, chosen: Sequence[Component], say: Callable[[str], None]) -> list[Finding]:
    readable = [each for each in chosen if not _tried("", "", spec_rules.malformed, each, "")]
    found = _tried("components", "loads", _kfp_1, project, readable, say)
    for component in readable:
        loaded = kfp_versions.load_2(component.folder / "component.yaml")
        found += kfp_versions.findings(component, f"components/{component.name}", "2", loaded)
    return found


def _kfp_1(project: Project, readable: Sequence[Component], say: Callable[[str], None]) -> Iterator[Finding]:
    folder = project.root / kfp_versions.KFP_1
    if not folder.is_dir():
        raise PipeyardError(
            f"{kfp_versions.KFP_1} is missing: it locks the kfp 1 that specs are loaded in. Restore it."
        )
    venvs.sync(project, folder, say)
    every = kfp_versions.load_1(project.root, [component.folder / "component.yaml" for component in readable])
    for component, loaded in zip(readable, every, strict=True):
        yield from kfp_versions.findings(component, f"components/{component.name}", "1", loaded)


def _pipelines_of(project: Project, names: set[str]) -> list[str]:
    if names == set(project.components):
        return list(project.pipelines)
    return [name for name, folder in project.pipelines.items() if names & _loaded(project, folder)]


def _loaded(project: Project, pipeline: Path) -> set[str]:
    try:
        return dependency_graph.loaded_components(pipeline / "pipeline.py", project.components)
    except SyntaxError:  # which compiling it tells
        return set(project.components)


def _compiled(project: Project, name: str, notes: list[str]) -> Iterator[Finding]:
    """Yields what is wrong with a pipeline, alone or with its settings; appends to `notes` what can't run here."""
    compiled = compiler.compile_pipeline(project.pipeline(name))
    here = functools.partial(builds.check_here, project, False)
    notes += [f"pipelines/{name}: {each}" for each in builds.elsewhere(compiled.text, here)]
    for each in builds.with_settings(project, name, compiled.text):
        yield Finding(f"pipelines/{name}", "parameters", each)
