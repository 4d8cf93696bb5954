"""Whether what a lock names can be installed in an image: wheels by their tags, for its Python and its C library.

An image has no compiler, so a package with wheels must have one that fits; one with a source distribution alone is
taken for Python that needs none. Tags: the platform compatibility tags of the Python packaging specifications.
"""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging import tags
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename

from pipeyard.errors import PipeyardError
from pipeyard.findings import Finding

# glibc 2.x of the Debian releases that images of Python are made of. A tag that names no release moves from one to the
# next, so the older of those in use counts.
_GLIBC = {"bullseye": 31, "bookworm": 36, "trixie": 41}
_OLDEST_IN_USE = "bookworm"
_PYTHON_IMAGE = re.compile(r"(?:^|/)python:(?P<major>\d+)\.(?P<minor>\d+)[.\d]*(?:-slim)?(?:-(?P<release>[a-z]+))?")
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_MANYLINUX = 5
_EXPORT = ("export", "--quiet", "--frozen", "--no-header", "--no-annotate", "--no-hashes", "--no-emit-local")


@dataclass(frozen=True)
class WheelPlatform:
    """Where wheels are installed.

    Attributes:
        python: major and minor version of CPython.
        glibc: minor version of the C library, 2.x.
        image: that has them, for messages.
    """

    python: tuple[int, int] = (3, 11)
    glibc: int = _GLIBC[_OLDEST_IN_USE]
    image: str = "the base image"
    machine: str = "x86_64"

    @property
    def tags(self) -> frozenset[tags.Tag]:
        """All tags of wheels that can be installed there."""
        names = []
        for minor in range(self.glibc, _OLDEST_MANYLINUX - 1, -1):
            names.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in _OLD_NAMES:
                names.append(f"{_OLD_NAMES[minor]}_{self.machine}")
        names.append(f"linux_{self.machine}")
        interpreter = f"cp{self.python[0]}{self.python[1]}"
        return frozenset(
            [
                *tags.cpython_tags(self.python, platforms=names),
                *tags.compatible_tags(self.python, interpreter, names),
            ]
        )

    @property
    def marker_environment(self) -> dict[str, str]:
        """Values of the environment markers there."""
        version = f"{self.python[0]}.{self.python[1]}"
        return {
            "python_version": version,
            "python_full_version": f"{version}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "platform_machine": self.machine,
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
        }


def target_of(image: str) -> WheelPlatform:
    """Returns what an image like `python:3.11-slim-bookworm` holds; what its name doesn't say is as in Target."""
    match = _PYTHON_IMAGE.search(image)
    if not match:
        return WheelPlatform(image=image or WheelPlatform.image)
    glibc = _GLIBC.get(match["release"] or _OLDEST_IN_USE, WheelPlatform.glibc)
    return WheelPlatform((int(match["major"]), int(match["minor"])), glibc, image)


def findings(folder: Path, part: str, uv: str, target: WheelPlatform) -> Iterator[Finding]:
    """Yields what of a folder's `uv.lock` can't be installed in images, tests' packages included.

    Args:
        part: what findings call the folder.

    Raises:
        PipeyardError: the lock can't be read.
    """
    lock = tomllib.loads((folder / "uv.lock").read_text(encoding="utf-8"))
    version = ".".join(map(str, target.python))
    if not SpecifierSet(lock.get("requires-python", "")).contains(version):
        yield Finding(
            part,
            "wheels",
            f"its lock is for Python {lock['requires-python']}, but {target.image} has {version}",
            "Correct requires-python in pyproject.toml and run `pipeyard lock`, or build on another image.",
        )
        return
    fitting = target.tags
    packages = {(canonicalize_name(each["name"]), each.get("version")): each for each in lock.get("package", [])}
    for name, release in _required(folder, uv, target):
        why = _misfit(packages.get((name, release), {}), fitting, target)
        if why:
            yield Finding(
                part, "wheels", f"{name} {release} {why}", "Hold it to a version that does, or build on newer."
            )


def _required(folder: Path, uv: str, target: WheelPlatform) -> Iterator[tuple[NormalizedName, str]]:
    """Yields name and version of each package that is installed on the target."""
    done = subprocess.run([uv, *_EXPORT], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PipeyardError(f"its lock can't be read: {done.stderr.strip()}. Run `pipeyard lock`.")
    environment = target.marker_environment
    for line in done.stdout.splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield canonicalize_name(requirement.name), str(requirement.specifier).removeprefix("==")


def _misfit(package: dict[str, Any], fitting: frozenset[tags.Tag], target: WheelPlatform) -> str:
    wheels = [_file_name(each) for each in package.get("wheels", [])]
    if not wheels:
        return "" if "sdist" in package else "has neither a wheel nor a source distribution"
    tagged = [tag for wheel in wheels for tag in _tags_of(wheel)]
    if any(tag in fitting for tag in tagged):
        return ""
    abis = {tag for tag in tagged if tag.platform.endswith((target.machine, "any"))}
    shown = ", ".join(sorted({str(tag) for tag in abis})) or "none for this machine"
    python = ".".join(map(str, target.python))
    return (
        f"has no wheel for {target.image} (Python {python}, glibc 2.{target.glibc}, {target.machine}); it has {shown}"
    )


def _tags_of(wheel: str) -> frozenset[tags.Tag]:
    try:
        return parse_wheel_filename(wheel)[3]
    except InvalidWheelFilename:
        return frozenset()


def _file_name(entry: dict[str, Any]) -> str:
    return str(entry.get("path") or entry.get("url") or entry.get("filename", "")).rpartition("/")[2]
