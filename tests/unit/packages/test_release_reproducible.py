"""The same commit and images give the same packages, wherever and in whichever surroundings they are compiled."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeyard.images import image_lock
from pipeyard.packages import archives, dist_folder
from pipeyard.repository import changes, commits, project

ROOT = Path(__file__).parents[3]
# What differs from machine to machine.
SURROUNDINGS = [
    {"umask": "022", "TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"},
    {"umask": "077", "TZ": "Pacific/Auckland", "PYTHONHASHSEED": "2", "LC_ALL": "C", "LANG": "C"},
]


def _clone(folder: Path) -> project.Project:
    """Clones this repository's commit, with a lock of images as a build would leave it."""
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    made = project.find(folder)
    of = commits.current(changes.git_of(folder), {})
    images = {
        name: image_lock.Image(
            repository=f"host.io/team/{name}",
            tag=of.tag,
            content_tag="src-1",
            source="1" * 64,
            digest="sha256:" + hashlib.sha256(name.encode()).hexdigest(),
            bytes=1,
        )
        for name in made.components
    }
    dist_folder.render(made, image_lock.Lock(commit=of.tag, bases={}, images=images), folder / "dist")
    return made


def _compile(made: project.Project, umask: str, **variables: str) -> dict[str, bytes]:
    """Compiles all pipelines with the clone's own toolchain, and returns the packages by their paths."""
    sources = [made.root / "build", *(folder / "src" for folder in made.libraries.values())]
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(map(str, sources))}
    program = (
        f"umask {umask}; exec {sys.executable} -c 'from pipeyard import cli; print(cli.__file__); cli.main()' compile"
    )
    done = subprocess.run(
        ["sh", "-c", program], cwd=made.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{made.root}/build/pipeyard/cli.py\n")
    folder = made.root / "dist"
    return {f"{name}/{path.name}": path.read_bytes() for name in made.pipelines for path in (folder / name).iterdir()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> list[dict[str, bytes]]:
    """The packages of two clones at different paths, in different surroundings."""
    base = tmp_path_factory.mktemp("clones")
    clones = [_clone(base / "one"), _clone(base / "another" / "deeper down")]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda made, how: _compile(made, **how), clones, SURROUNDINGS))


def test_two_clones_give_the_same_bytes(packages):
    one, two = packages
    assert sorted(one) == sorted(two)
    assert {f"{name}/{archives.WORKFLOW}" for name in project.find(ROOT).pipelines} <= set(one)
    assert [name for name in one if one[name] != two[name]] == []


def test_what_is_compared_holds_the_images_and_the_commit(packages):
    head = changes.git_of(ROOT)(["rev-parse", "HEAD"]).strip()
    for name, data in packages[0].items():
        if name.endswith(archives.WORKFLOW):
            text, described = archives.unpack(data)
            assert described["commit"] == head
            assert described["images"] and all(image.encode() in text for image in described["images"].values())
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                assert {(member.mode, member.mtime, member.uid) for member in archive} == {(0o644, 0, 0)}
