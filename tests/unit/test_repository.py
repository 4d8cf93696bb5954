"""Rules of the repository that no other tool keeps."""

import ast
import re
from pathlib import Path

import pytest
from support import checkout

from pipeyard.repository import project

ROOT = Path(__file__).parents[2]
PROJECT = project.find(ROOT)
PARTS = ["component.yaml", "Dockerfile", "pyproject.toml", "uv.lock", "README.md", "src", "tests"]


def _tracked() -> list[Path]:
    return [ROOT / name for name in checkout.listed() if (ROOT / name).is_file()]


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_no_line_names_a_package_index_or_a_path_of_a_machine():
    # Assembled, so that this file doesn't name them either.
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "repo.maven." + "apache.org"]
    forbidden = re.compile("|".join([*map(re.escape, hosts), r"(?<![\w.~-])/(?:home|Users|root)/\w"]))
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{n}" for n, line in enumerate(text.splitlines(), 1) if forbidden.search(line)
        ]
    assert found == []


@pytest.mark.parametrize("name", sorted(PROJECT.components))
def test_a_component_is_whole(name):
    folder = PROJECT.components[name].folder
    assert [part for part in PARTS if not (folder / part).exists()] == []
    assert (folder / "src" / name / "__main__.py").is_file()
    assert list((folder / "tests").glob("test_*.py"))


@pytest.mark.parametrize("name", sorted(PROJECT.components))
def test_a_component_imports_neither_the_toolchain_nor_another(name):
    others = (set(PROJECT.components) | {"pipeyard", "kfp"}) - {name}
    for path in (PROJECT.components[name].folder / "src").rglob("*.py"):
        assert not _imports(path) & others, path


def test_the_toolchain_imports_no_component():
    inside = set(PROJECT.components)
    for path in (ROOT / "build/pipeyard").rglob("*.py"):
        assert not _imports(path) & inside, path


def test_a_class_of_the_toolchain_has_its_name_for_itself():
    """Type aliases count too, and an underscore makes no other name: a search finds one thing."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "build/pipeyard").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        for node in tree.body:
            if isinstance(node, ast.Assign):
                names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        for name in names:
            if re.fullmatch(r"_*[A-Z]\w*[a-z]\w*", name):
                places.setdefault(name.lstrip("_"), []).append(str(path.relative_to(ROOT)))
    assert len(places) > 200
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_module_of_the_toolchain_has_its_name_for_itself():
    """A command is called as what it commands; servers, targets and rooms that share a name mean the same by it."""
    places: dict[str, set[str]] = {}
    for path in (ROOT / "build/pipeyard").rglob("*.py"):
        room = path.relative_to(ROOT / "build/pipeyard").parent
        if path.stem not in ("__init__", "__main__") and room.name != "commands":
            places.setdefault(path.stem, set()).add("servers" if room.parts[:1] == ("servers",) else str(room))
    assert len(places) > 150
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_shared_versions_agree():
    """One TensorFlow layer for all images that can share it."""
    pins = {}
    for name, component in PROJECT.components.items():
        match = re.search(r'name = "tensorflow-cpu"\nversion = "([^"]+)"', (component.folder / "uv.lock").read_text())
        if match:
            pins[name] = match.group(1)
    del pins["data_validation"]  # TFDV holds it back
    assert len(set(pins.values())) == 1, pins


@pytest.mark.parametrize("component", PROJECT.components.values(), ids=lambda each: each.name)
def test_what_a_component_preloads_is_there(component) -> None:
    for reference in component.annotation("preload", []):
        name, _, function = reference.partition(":")
        sources = [folder / "src" for folder in (component.folder, *component.local_packages)]
        files = [source / f"{name.replace('.', '/')}.py" for source in sources]
        found = next((file for file in files if file.is_file()), None)
        assert found, f"{reference}: none of {files}"
        defined = {node.name for node in ast.parse(found.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert not function or function in defined, f"{reference}: {found} defines {sorted(defined)}"


def test_the_changelog_has_the_version_of_the_package():
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    pinned = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest and pinned and newest[1] == pinned[1]


def test_the_architecture_has_a_paragraph_for_each_package():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    packages = {path.parent.name for path in (ROOT / "build/pipeyard").glob("*/__init__.py")}
    assert {name for name in packages if f"**`{name}/`**" not in page} == set()
    assert {name for name in re.findall(r"\*\*`(\w+)/`\*\*", page) if name not in packages} == set()


def test_each_script_of_the_build_has_a_line():
    page = (ROOT / "build/README.md").read_text(encoding="utf-8")
    files = {path.relative_to(ROOT / "build").parts[0] for path in _tracked() if path.is_relative_to(ROOT / "build")}
    assert {name for name in files - {"README.md"} if f"| `{name}" not in page} == set()


def test_recipes_and_pages_name_files_that_are_there():
    """Whoever follows CONTRIBUTING or the architecture finds what they name."""
    for page in ("CONTRIBUTING.md", "docs/architecture.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for name in re.findall(r"`((?:build|components|docs|libs|pipelines|tests)/[\w./-]+)`", text):
            assert (ROOT / name).exists(), f"{page} names {name}"
