"""The monorepo as the toolchain sees it. Everything is found in the tree; nothing is listed by hand."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.system import yamls
from stepkit import digest

ANNOTATION_PREFIX = "pipeyard.dev/"
# Of a component's folder, what can't change what its steps compute.
_NOT_SOURCE = {"README.md", "Dockerfile", "tests"}


@dataclass(frozen=True)
class Component:
    """A folder with a `component.yaml`."""

    folder: Path

    @property
    def name(self) -> str:
        """Folder, component, image and spec are called alike."""
        return self.folder.name

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The parsed `component.yaml`.

        Raises:
            PipeyardError: it isn't YAML, or is named unlike its folder.
        """
        path = self.folder / "component.yaml"
        try:
            spec = yamls.load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise PipeyardError(f"{path} isn't valid YAML: {error}") from error
        if not isinstance(spec, dict):
            raise PipeyardError(f"{path} is no mapping. Write a component specification, or remove the folder.")
        if spec.get("name") != self.name:
            raise PipeyardError(f"{path} is named {spec.get('name')!r}; name it {self.name!r}, as its folder is.")
        return spec

    def annotation(self, key: str, default: Any) -> Any:
        """Returns the JSON (or text) value of the annotation `pipeyard.dev/<key>`."""
        text = self.spec.get("metadata", {}).get("annotations", {}).get(ANNOTATION_PREFIX + key)
        return default if text is None else yamls.load(text)

    @cached_property
    def local_packages(self) -> list[Path]:
        """Folders of the packages that its environment takes from this repository."""
        return local_packages(self.folder)

    @cached_property
    def source_digest(self) -> str:
        """Digest of all that decides what its steps compute: sources, spec, lock, and shared packages."""
        parts = [tree_digest(self.folder, _NOT_SOURCE)]
        parts += [tree_digest(package, _NOT_SOURCE) for package in self.local_packages]
        return digest.of_text("\n".join(parts))


def local_packages(folder: Path) -> list[Path]:
    """Returns the folders of the packages that a project's environment takes from this repository.

    Raises:
        PipeyardError: the folder has no `pyproject.toml`.
    """
    path = folder / "pyproject.toml"
    if not path.is_file():
        raise PipeyardError(f"{path} is missing: it says what the component's environment holds.")
    pyproject = tomllib.loads(path.read_text(encoding="utf-8"))
    sources = pyproject.get("tool", {}).get("uv", {}).get("sources", {})
    return [(folder / source["path"]).resolve() for source in sources.values() if "path" in source]


@dataclass(frozen=True)
class Project:
    """The repository at `root`."""

    root: Path

    @cached_property
    def components(self) -> dict[str, Component]:
        """Components by name."""
        found = sorted((self.root / "components").glob("*/component.yaml"))
        return {path.parent.name: Component(path.parent) for path in found}

    @cached_property
    def libraries(self) -> dict[str, Path]:
        """Folders of packages that components share, by name."""
        found = sorted((self.root / "libs").glob("*/pyproject.toml"))
        return {path.parent.name: path.parent for path in found}

    def bundled_in(self, folder: Path) -> list[str]:
        """Returns the other libraries that a library's wheel has parts of: its editable install has their folders."""
        pyproject = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        sources = pyproject.get("tool", {}).get("hatch", {}).get("build", {}).get("dev-mode-dirs", [])
        found = {(folder / source).resolve() for source in sources}
        return [name for name, other in self.libraries.items() if other != folder and other.resolve() / "src" in found]

    @cached_property
    def services(self) -> dict[str, Path]:
        """Folders of programs that run for long, and of their environments, by name; no step of a pipeline is one."""
        found = sorted((self.root / "services").glob("*/pyproject.toml"))
        return {path.parent.name: path.parent for path in found}

    @cached_property
    def bases(self) -> dict[str, Path]:
        """Folders of images that components' images are built on, by name."""
        found = sorted((self.root / "images").glob("*/Dockerfile"))
        return {path.parent.name: path.parent for path in found}

    @cached_property
    def pipelines(self) -> dict[str, Path]:
        """Folders of pipelines by name."""
        found = sorted((self.root / "pipelines").glob("*/pipeline.py"))
        return {path.parent.name: path.parent for path in found}

    def check_components(self, names: Iterable[str]) -> None:
        """Raises PipeyardError, with near misses, if a component isn't there."""
        for name in names:
            if name not in self.components:
                raise PipeyardError(f"No component {name!r}. {near_misses(name, self.components)}")

    def component_of(self, image: str) -> Component:
        """Returns the component that an image is built from: its last path segment, less tag and digest, is the name.

        Raises:
            PipeyardError: it is none of this project's.
        """
        name = last_segment(image)
        if name not in self.components:
            raise PipeyardError(
                f"the image {image!r} isn't one of this project's, so it can't run without a container engine. "
                f"{near_misses(name, self.components)}"
            )
        return self.components[name]

    def pipeline(self, name: str) -> Path:
        """Returns a pipeline's folder.

        Raises:
            PipeyardError: there is no such pipeline.
        """
        if name not in self.pipelines:
            raise PipeyardError(
                f"No pipeline {name!r} (no pipelines/{name}/pipeline.py). {near_misses(name, self.pipelines)}"
            )
        return self.pipelines[name]


def find(start: Path) -> Project:
    """Returns the project that `start` is in.

    Raises:
        PipeyardError: no parent folder has both `components/` and `pipelines/`.
    """
    for folder in [start.resolve(), *start.resolve().parents]:
        if (folder / "components").is_dir() and (folder / "pipelines").is_dir():
            return Project(folder)
    raise PipeyardError(
        f"{start} isn't in a Pipeyard project: no parent has components/ and pipelines/. "
        "Change into one, or use --project."
    )


def last_segment(image: str) -> str:
    """Returns the last segment of an image's path, less tag and digest."""
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def tree_digest(folder: Path, leave_out: frozenset[str] | set[str] = frozenset()) -> str:
    """Returns one sha256 in hex over the files below a folder, but for hidden ones and Python's bytecode.

    Args:
        leave_out: names directly in the folder that don't count.
    """

    def counts(path: Path) -> bool:
        parts = path.relative_to(folder).parts
        return parts[0] not in leave_out and parts[-1] != "__pycache__" and not parts[-1].startswith(".")

    # Pruned walk: a component's .venv holds tens of thousands of files.
    files = []
    pending = [folder]
    while pending:
        for path in sorted(pending.pop().iterdir()):
            if not counts(path):
                continue
            if path.is_dir():
                pending.append(path)
            else:
                files.append(path)
    return digest.of_files(folder, files)
