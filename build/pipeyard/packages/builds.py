"""Compiled pipelines with the images of a commit, as they are shipped."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeyard import settings
from pipeyard.compiling import compiler
from pipeyard.compiling.passes import lightweight
from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.packages import archives, component_specs, dist_folder
from pipeyard.repository import changes, commits, interpreters, venvs
from pipeyard.repository.project import Project
from pipeyard.settings import fit
from pipeyard.system import files

UNCOMMITTED = "dev"


@dataclass(frozen=True)
class Build:
    """Where components' specs are, and what they are of.

    Attributes:
        commit: the commit, or the mark of a dirty tree, or `dev`.
        images: component to image.
        specs: folder of the specs.
    """

    commit: str
    images: Mapping[str, str]
    specs: Path


# The files of one compiled pipeline: name to content.
PackageFiles = Mapping[str, str | bytes]


def committed(project: Project) -> Build:
    """Returns the build that isn't one: the committed specs, with images that no registry has."""
    specs = project.root / "components"
    images = {name: component_specs.image_of(specs / name / "component.yaml") for name in project.components}
    return Build(UNCOMMITTED, images, specs)


def built(project: Project, folder: Path, allow_dirty: bool = False) -> Build:
    """Returns the build in `folder`, if it was made of the commit that is checked out.

    Raises:
        PipeyardError: there is none, it lacks a component, or it was made of another commit.
    """
    path = folder / image_lock.FILE
    if not path.exists():
        raise PipeyardError(
            f"{path} is missing: no images were built. Run `pipeyard build`; only `pipeyard compile --dev` needs none."
        )
    made = image_lock.read(path)
    now = commits.current(changes.git_of(project.root), os.environ, allow_dirty)
    if made.commit != now.tag:
        raise PipeyardError(
            f"{path} was built from {made.commit}, but {now.tag} is checked out. Run `pipeyard build` again."
        )
    missing = sorted(set(project.components) - set(made.images))
    if missing:
        raise PipeyardError(f"{path} has no image of {', '.join(missing)}. Run `pipeyard build` for all components.")
    specs = folder / dist_folder.COMPONENTS
    images = {name: component_specs.image_of(specs / name / "component.yaml") for name in made.images}
    return Build(made.commit, images, specs)


def package(project: Project, pipeline: str, build: Build) -> tuple[PackageFiles, tuple[str, ...]]:
    """Compiles a pipeline with a build's specs.

    Returns:
        The package, and what its user should know.

    Raises:
        PipeyardError: see `compiler.compile_pipeline`.
    """
    compiled = compiler.compile_pipeline(project.pipeline(pipeline), {project.root / "components": build.specs})
    text = compiled.shipped()
    config = (project.root / settings.FILE).read_bytes()
    used = {name: image for name, image in build.images.items() if image in text}
    described = archives.manifest(pipeline, text, build.commit, used, config)
    contents: dict[str, str | bytes] = {
        archives.PIPELINE: text,
        archives.WORKFLOW: archives.workflow(text, described),
    }
    warnings = [*compiled.warnings, *with_settings(project, pipeline, text)]
    dev = build.commit == UNCOMMITTED
    warnings += elsewhere(text, partial(check_here, project, dev))
    try:
        contents[archives.VERTEX] = archives.vertex(text)
    except PipeyardError as error:
        warnings.append(f"no {archives.VERTEX}: {error}")
    if dev:
        warnings.append(
            "its images are those of the committed specs, which no registry has: it runs on this machine only"
        )
    return contents, tuple(warnings)


def check_here(project: Project, whole: bool, container: Mapping[str, Any]) -> None:
    """Checks that a container can run on a machine without a container engine.

    Args:
        whole: on this one, too: what its environment is made of is there.

    Raises:
        PipeyardError: it can't.
    """
    if lightweight.is_python(container["image"]):
        step = lightweight.needed(container)
        if whole:
            interpreters.find(venvs.uv(project), step.version)
        return
    component = project.component_of(container["image"])
    lightweight.check_component(component.name, container)
    if whole:
        venvs.check(component)


def elsewhere(text: str, find: Callable[[Mapping[str, Any]], object]) -> list[str]:
    """Returns the steps of a compiled pipeline that this machine can't run without a container engine, with reasons.

    Args:
        find: see `local_images.problems`.
    """
    from pipeyard import ir
    from pipeyard.compiling.passes import local_images

    always, perhaps = local_images.problems(ir.parse(text), find)
    return [*always, *perhaps]


def with_settings(project: Project, pipeline: str, text: str) -> Iterator[str]:
    """Yields what will go wrong, or nearly, with the parameters that settings give a pipeline.

    Raises:
        PipeyardError: a step can't be started with the parameters of a server.
    """
    from pipeyard import ir

    try:
        loaded = settings.load(project.root)
    except PipeyardError:
        return  # told by what needs the settings
    compiled = ir.parse(text)
    inputs = compiled.spec.root.input_definitions
    unset = {
        name for name, each in inputs.parameters.items() if not each.is_optional and not each.HasField("default_value")
    }
    for name in loaded.names:
        try:
            environment = loaded.environment(name)
        except PipeyardError:
            unset.clear()  # a variable isn't set here, so it isn't known what it sets
            continue
        given = environment.parameters_of(pipeline, inputs.parameters)
        unset -= set(given)
        if not environment.on_server:
            continue
        if pipeline in environment.chosen(project.pipelines):
            try:
                fit.check(environment, pipeline, inputs)
            except PipeyardError as error:
                yield str(error)
        told = compiler.sizes_of(compiled, given, f"{pipeline} with the parameters of {name} in {settings.FILE}")
        yield from (f"{name}: {each}" for each in told if each not in compiler.sizes_of(compiled, {}, pipeline))
    for name in sorted(unset):
        yield f"the parameter {name!r} has no default, and no environment sets it: each run needs --param {name}=..."


def write(made: PackageFiles, folder: Path) -> list[Path]:
    """Writes a package's files, each whole, the archive last; a file of an earlier one that isn't in it goes.

    `packages.package_files` tells one that was broken off: the pipeline, which is written first, isn't the archive's.
    Of two that are written at once the last one's files are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = [archives.PIPELINE, *sorted(set(made) - {archives.PIPELINE, archives.WORKFLOW}), archives.WORKFLOW]
    with files.holding(folder):
        files.sweep(folder)
        for name in order:
            files.write_whole(folder / name, made[name])
            if name == archives.PIPELINE and archives.VERTEX not in made:
                (folder / archives.VERTEX).unlink(missing_ok=True)
    return [folder / name for name in order]
