"""A small repository with a build of its commit in `dist/`, for tests of what is made of it."""

import hashlib
from pathlib import Path

from pipeyard.images import image_lock
from pipeyard.packages import archives, component_specs, dist_folder
from pipeyard.releases import provenance
from pipeyard.repository import changes, commits
from pipeyard.repository.project import Project
from support import scratch_git

SPEC = """\
# What it is for stands here.
name: {name}
description: Does {name}.
outputs:
- {{name: out, type: Integer}}
implementation:
  container:
    image: dev/{name}:dev  # replaced by the build
    command: [{name}]
    args: [{{outputPath: out}}]
"""


def make(root: Path, components: tuple[str, ...] = ("count", "show")) -> Project:
    """Makes a repository with components, one pipeline and one commit."""
    files = {
        ".gitignore": "/dist/\n",
        "settings.yaml": "environments: {}\n",
        "pipelines/whole/pipeline.py": "",
        **{f"components/{name}/component.yaml": SPEC.format(name=name) for name in components},
        **{f"components/{name}/Dockerfile": "ARG PYTHON_IMAGE=python\nFROM ${PYTHON_IMAGE}\n" for name in components},
        **{f"components/{name}/pyproject.toml": "" for name in components},
        **{f"components/{name}/uv.lock": f"# {name}\n" for name in components},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    scratch_git.git(root, "init", "--quiet", "--initial-branch=main")
    scratch_git.commit(root, "first")
    return Project(root)


def digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def build(project: Project, contents: dict[str, str] | None = None) -> image_lock.Lock:
    """Leaves in `dist/` what `pipeyard build` and `pipeyard compile` leave there.

    Args:
        contents: component to what its image holds; the image's digest follows it.
    """
    of = commits.current(changes.git_of(project.root), {})
    images = {
        name: image_lock.Image(
            repository=f"host.io/team/{name}",
            tag=of.tag,
            content_tag="src-1",
            source="1" * 64,
            digest=digest((contents or {}).get(name, name)),
            bytes=1,
        )
        for name in project.components
    }
    built = image_lock.Lock(
        commit=of.tag, bases={"python": f"docker.io/library/python@{digest('python')}"}, images=images
    )
    boms = {
        dist_folder.sbom_path(name): f'{{"metadata": {{"component": {{"version": "{image.digest}"}}}}}}\n'
        for name, image in images.items()
    }
    statement = provenance.statement(project, built, of, "https://git.example.com/pipeyard", "urn:test")
    folder = project.root / "dist"
    specs = dist_folder.render(project, built, folder, "digest", {**boms, dist_folder.PROVENANCE: statement})
    used = {path.parent.name: component_specs.image_of(path) for path in specs}
    for name in project.pipelines:
        text = "".join(f"{each}: {image}\n" for each, image in used.items())
        (folder / name).mkdir(exist_ok=True)
        (folder / name / archives.PIPELINE).write_text(text, encoding="utf-8")
        packed = archives.workflow(text, archives.manifest(name, text, of.tag, used, b""))
        (folder / name / archives.WORKFLOW).write_bytes(packed)
    return built
