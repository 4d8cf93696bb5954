"""What an image is made of, as its Dockerfile says: files of the repository, and images below it."""

import io
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

from pipeyard.errors import PipeyardError
from pipeyard.repository import project
from stepkit import digest

TEST_STAGE = "test"
_BASE = re.compile(r"([A-Z0-9_]+)_IMAGE$")
_ARGUMENT = re.compile(r"\$\{?(\w+)\}?$")
_FROM = re.compile(r"(?P<base>\S+)(?:\s+as\s+(?P<name>\S+))?$", re.IGNORECASE)
_MOUNT = re.compile(r"--mount=(\S+)")


@dataclass(frozen=True)
class _Stage:
    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Dockerfile:
    """A Dockerfile that is built with the repository's root as context.

    Attributes:
        name: the image's.
        extra: files, relative to the root, that count as the image's though it has no copy of them.
    """

    name: str
    path: Path
    root: Path
    extra: tuple[str, ...] = ()

    @cached_property
    def arguments(self) -> dict[str, str]:
        """Arguments that stand before the first stage, with their defaults: images to build on."""
        found = {}
        for instruction in self._structure:
            if instruction["instruction"] == "FROM":
                break
            if instruction["instruction"] == "ARG":
                name, _, default = instruction["value"].partition("=")
                found[name.strip()] = default.strip().strip("\"'")
        return found

    @cached_property
    def bases(self) -> dict[str, str]:
        """Arguments that name images (`<NAME>_IMAGE`) to the image's name in lower case."""
        return {name: match[1].lower() for name in self.arguments if (match := _BASE.match(name))}

    @cached_property
    def parent(self) -> str:
        """The image, of `bases`, whose layers this one has; '' if it is built on none of them."""
        by_name = {stage.name: stage for stage in self._stages}
        stage = self._stages[-1]
        while stage.base in by_name:
            stage = by_name[stage.base]
        return self.bases.get(stage.base.strip("${}"), "")

    @cached_property
    def has_tests(self) -> bool:
        """True if there is a stage that runs the unit tests."""
        return any(stage.name == TEST_STAGE for stage in self._stages)

    @cached_property
    def user(self) -> str | None:
        """What the last USER says of the image that is shipped; None if that is up to the image below."""
        by_name = {stage.name: stage for stage in self._stages}
        stage: _Stage | None = self._stages[-1]
        while stage:
            said = [value.strip() for instruction, value in stage.instructions if instruction == "USER"]
            if said:
                return said[-1]
            stage = by_name.get(stage.base)
        return None

    @cached_property
    def inputs(self) -> list[str]:
        """Files and folders of the repository that the image is made of, relative to its root. Tests aren't in it.

        Raises:
            PipeyardError: an instruction takes files in a way that can't be followed.
        """
        found = {self.path.relative_to(self.root).as_posix(), *self.extra}
        for stage in self._shipped:
            for instruction, value in stage.instructions:
                found.update(self._taken(instruction, value))
        return sorted(found)

    @cached_property
    def unpinned(self) -> list[str]:
        """Images that are built on, or copied from, by what stands in the file: nobody can pin them from outside."""
        names = {"scratch", *(stage.name for stage in self._stages), *map(str, range(len(self._stages)))}
        taken = [stage.base for stage in self._stages]
        taken += [image for stage in self._stages for each in stage.instructions for image in _froms(*each)]
        return [image for image in dict.fromkeys(taken) if image not in names and not self._is_pinned(image)]

    def digest(self, arguments: Mapping[str, str]) -> str:
        """Returns the sha256 in hex of all that decides what the image holds.

        Args:
            arguments: build arguments; images among them by digest.

        Raises:
            PipeyardError: a file that it is made of is missing.
        """
        parts = [f"{name}={value}" for name, value in sorted(arguments.items())]
        parts += [f"{instruction} {value}" for stage in self._shipped for instruction, value in stage.instructions]
        for name in self.inputs:
            path = self.root / name
            if path == self.path:
                continue
            if not path.exists():
                raise PipeyardError(f"{self.path} takes {name!r}, which isn't there. Correct the path.")
            content = project.tree_digest(path) if path.is_dir() else digest.of_file(path)
            parts.append(f"{name} {content}")
        return digest.of_text("\n".join(parts))

    def _is_pinned(self, image: str) -> bool:
        argument = _ARGUMENT.match(image)
        return argument[1] in self.bases if argument else "@" in image

    @cached_property
    def _structure(self) -> list[dict[str, Any]]:
        try:
            text = self.path.read_bytes()
        except FileNotFoundError as error:
            raise PipeyardError(f"{self.path} is missing: an image is built from it.") from error
        parser = DockerfileParser(fileobj=io.BytesIO(text))  # type: ignore[arg-type]  # the stubs know text alone
        return [dict(each) for each in parser.structure if each["instruction"] != "COMMENT"]

    @cached_property
    def _stages(self) -> list[_Stage]:
        stages: list[_Stage] = []
        current: list[tuple[str, str]] = []
        for each in self._structure:
            if each["instruction"] == "FROM":
                match = _FROM.match(each["value"].strip())
                if not match:
                    raise PipeyardError(
                        f"{self.path}: `FROM {each['value']}` isn't understood: write FROM IMAGE AS NAME."
                    )
                current = []
                stages.append(_Stage(match["name"] or str(len(stages)), match["base"], ()))
            current.append((each["instruction"], each["value"]))
            if stages:
                stages[-1] = _Stage(stages[-1].name, stages[-1].base, tuple(current))
        if not stages:
            raise PipeyardError(f"{self.path} has no FROM.")
        return stages

    @cached_property
    def _shipped(self) -> list[_Stage]:
        """The last stage and those that it is made of, in the file's order."""
        by_name = {stage.name: stage for stage in self._stages}
        wanted: set[str] = set()
        pending = [self._stages[-1].name]
        while pending:
            stage = by_name[pending.pop()]
            if stage.name in wanted:
                continue
            wanted.add(stage.name)
            used = {stage.base}
            for instruction, value in stage.instructions:
                used.update(_froms(instruction, value))
            pending += [name for name in used if name in by_name]
        return [stage for stage in self._stages if stage.name in wanted]

    def _taken(self, instruction: str, value: str) -> list[str]:
        if instruction == "RUN":
            return [
                options["source"]
                for options in _mounts(value)
                if options.get("type", "bind") == "bind" and "from" not in options and "source" in options
            ]
        if instruction not in ("COPY", "ADD"):
            return []
        words = shlex.split(value)
        flags = [word for word in words if word.startswith("--")]
        if any(flag.startswith("--from=") for flag in flags):
            return []
        sources = [word for word in words if not word.startswith("--")][:-1]
        strange = [source for source in sources if "://" in source or any(letter in source for letter in "$*?[")]
        if strange or not sources:
            raise PipeyardError(
                f"{self.path}: `{instruction} {value}` can't be followed to files. Name files and folders as they are."
            )
        return [source.strip("/") for source in sources]


def of_component(repository: project.Project, name: str) -> Dockerfile:
    """Returns a component's Dockerfile. Its spec counts as the image's: the image is labelled with it."""
    folder = f"components/{name}"
    return Dockerfile(name, repository.root / folder / "Dockerfile", repository.root, (f"{folder}/component.yaml",))


def of_base(repository: project.Project, name: str) -> Dockerfile:
    """Returns a base image's Dockerfile."""
    return Dockerfile(name, repository.bases[name] / "Dockerfile", repository.root)


def stack(repository: project.Project, file: Dockerfile) -> list[Dockerfile]:
    """Returns an image's Dockerfile and those of images/ whose layers it has, down to the one on an image from outside.

    Raises:
        PipeyardError: images are built on each other in a circle.
    """
    found = [file]
    while (parent := found[-1].parent) in repository.bases:
        if parent in (each.name for each in found):
            raise PipeyardError(f"images/{parent} is built on itself. Build it on an image from outside.")
        found.append(of_base(repository, parent))
    return found


def below(repository: project.Project, file: Dockerfile) -> list[str]:
    """Returns the names of the images whose layers an image has, the nearest first; `python` the last.

    Raises:
        PipeyardError: images are built on each other in a circle.
    """
    return [each.parent for each in stack(repository, file) if each.parent]


def _mounts(value: str) -> list[dict[str, str]]:
    return [dict(item.partition("=")[::2] for item in options.split(",")) for options in _MOUNT.findall(value)]


def _froms(instruction: str, value: str) -> list[str]:
    if instruction == "RUN":
        return [options["from"] for options in _mounts(value) if "from" in options]
    return re.findall(r"--from=(\S+)", value) if instruction in ("COPY", "ADD") else []
