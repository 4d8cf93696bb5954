"""One dependency graph of the repository, from its tree: what does a change of a file reach, and why?

Tests, lint, image builds, compilation and deployment all go by it. Nothing is listed by hand: parts are folders, and
what a part needs stands in its own files (a component's `pyproject.toml`, what its `Dockerfile` takes, the components
that a `pipeline.py` loads). A file that no rule knows reaches everything.
"""

import ast
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeyard.repository.dockerfiles import of_base, of_component
from pipeyard.repository.project import Project, local_packages

# What is done with parts, in the order in which it is done.
ACTIONS = ("lint", "test", "image", "compile", "deploy")

# What nothing is made of: folders, suffixes, names of files.
WITHOUT_EFFECT = ("docs", "notebooks")
DOCUMENTS = {".md", ".png", ".svg", ".ipynb"}
UNREAD = {".gitignore", "LICENSE"}
# Folders of folders, each of which is a part of that kind.
_PARTS = {"images": "base", "pipelines": "pipeline"}
_TOOLCHAIN = {"pyproject.toml", "uv.lock"}
# What CI servers read, rendered by the toolchain and compared by its tests.
_SERVERS = {"cloudbuild.yaml", "cloudbuild.development.yaml", "Jenkinsfile", ".gcloudignore"}
# Suites that test the toolchain; any other folder of tests/ is a suite of its own.
_TOOLCHAIN_TESTS = {"unit", "conformance"}
# The package of servers that suites start instead of those on the network, which counts as one, and the helpers that
# suites share, of which each counts alone.
_TEST_SERVERS = "servers"
_TEST_HELPERS = "support"
# The suite that builds all images, and runs them.
_ENGINE_TESTS = "engine"
# The suite that serves, with the router, and stand-ins for model servers.
_SERVING_TESTS = "serving"
_SERVING_FILES = "tests/serving/*.py"
# The suite that delivers a small project, from a commit to a run, and follows these pages.
_DELIVERY_TESTS = "delivery"
_FOLLOWED = "docs/tasks/*.md"


@dataclass(frozen=True, order=True)
class Node:
    """A part of the repository, or an action on one.

    Attributes:
        kind: an action, or what a part is: component, library, service, base, pipeline, toolchain, settings,
            environments.
        name: of the part; for actions `component/<name>` and the like, '' where there is but one.
    """

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}" if self.name else self.kind


# `pipeyard check`, as a suite.
_CONTRACTS = Node("test", "contracts")


@dataclass(frozen=True)
class Reached:
    """An action that a change makes necessary.

    Attributes:
        because: the way from the changed file to it, both left out: the parts between.
    """

    action: str
    part: str
    file: str
    because: tuple[str, ...]


def loaded_components(pipeline: Path, known: Iterable[str]) -> set[str]:
    """Returns the components that a `pipeline.py` loads.

    Where it names them other than by literals, all of `known` are taken for loaded.
    """
    known = set(known)
    found: set[str] = set()
    for node in ast.walk(ast.parse(pipeline.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr == "load_component":
            names: list[ast.expr | None] = list(node.args[:1]) or [k.value for k in node.keywords if k.arg == "name"]
        elif node.func.attr == "load_components":
            names = [key for arg in node.args for key in (arg.keys if isinstance(arg, ast.Dict) else [arg])]
        else:
            continue
        for name in names:
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                return known
            found.add(name.value.replace("-", "_"))
    return found & known


class Graph:
    """The graph of a project as its tree is now."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._edges: dict[Node, set[Node]] = {}
        self._taken: dict[str, set[Node]] = {}
        folders = (project.root / "tests").glob("*/")
        self._suites = {folder.name for folder in folders if list(folder.rglob("test_*.py"))}
        self._build()

    def reached(self, files: Iterable[str]) -> list[Reached]:
        """Returns what changes of files reach, each action on a part once, by the shortest way.

        Args:
            files: paths relative to the repository, with slashes; deleted files too.
        """
        ways: dict[Node, tuple[str, tuple[Node, ...]]] = {}
        pending: list[Node] = []
        for file in sorted(set(files)):
            for node in self.nodes_of(file):
                if node not in ways:
                    ways[node] = (file, ())
                    pending.append(node)
        while pending:
            following = []
            for node in pending:
                file, way = ways[node]
                for to in sorted(self._edges.get(node, ())):
                    if to not in ways:
                        ways[to] = (file, (*way, node))
                        following.append(to)
            pending = following
        found = [
            Reached(node.kind, node.name, file, tuple(map(str, way)))
            for node, (file, way) in ways.items()
            if node.kind in ACTIONS
        ]
        return sorted(found, key=lambda each: (ACTIONS.index(each.action), each.part))

    def nodes_of(self, file: str) -> list[Node]:
        """Returns the nodes that a file is a part of: none for documentation, all roots for a file nobody knows."""
        path = PurePosixPath(file)
        images = [node for each in (path, *path.parents) for node in self._taken.get(str(each), ())]
        return [*images, *self._part_of(file, path)]

    def _part_of(self, file: str, path: PurePosixPath) -> list[Node]:
        top, rest = path.parts[0], path.parts[1:]
        if path.suffix in DOCUMENTS or top in WITHOUT_EFFECT or path.name in UNREAD:
            return []
        if top == "components" and len(rest) > 1:
            return self._in_component(rest[0], rest[1])
        if top == "libs" and len(rest) > 1:
            part = f"library/{rest[0]}"
            return [Node("test", part), Node("lint")] if rest[1] == "tests" else [Node("library", rest[0])]
        if top == "services" and len(rest) > 1:
            return self._in_service(rest[0], rest[1])
        if top in _PARTS and len(rest) > 1:
            return [Node(_PARTS[top], rest[0])]
        if top in ("benchmarks", "triggers", ".github") or file in _SERVERS:
            return [Node("test", "toolchain"), Node("lint")]
        if top == "tests":
            return self._in_tests(rest)
        if top == "approvals":
            return [Node("deploy", f"pipeline/{name}") for name in self._project.pipelines]
        if file == "build/sync-env":
            return [Node("environments")]
        if top == "build" or file in _TOOLCHAIN:
            return [Node("toolchain")]
        if file == "settings.yaml":
            return [Node("settings")]
        return [Node("everything")]

    def _in_tests(self, rest: tuple[str, ...]) -> list[Node]:
        if len(rest) == 1:
            return [node for node in self._edges[Node("everything")] if node.kind in ("test", "lint")]
        own = {_suite(rest[0])} if rest[0] in self._suites | _TOOLCHAIN_TESTS else set()
        if not own and rest[0] not in (_TEST_SERVERS, _TEST_HELPERS):  # an environment that tests and checks use
            return [Node("test", "toolchain"), _CONTRACTS]
        return sorted({*own, *self._suites_that_import(rest), Node("lint")})

    def _suites_that_import(self, rest: tuple[str, ...]) -> set[Node]:
        """Returns the suites that import a file of tests/, by themselves or through a shared helper."""
        changed = f"{_TEST_HELPERS}.{PurePosixPath(rest[1]).stem}" if rest[0] == _TEST_HELPERS else rest[0]
        wanted = _with_importers(changed, self._imports_of_helpers)
        return {_suite(name) for name, imports in self._imports_of_suites.items() if imports & wanted}

    @functools.cached_property
    def _imports_of_helpers(self) -> dict[str, set[str]]:
        folder = self._project.root / "tests" / _TEST_HELPERS
        return {f"{_TEST_HELPERS}.{path.stem}": _imported(path) for path in folder.glob("*.py")}

    @functools.cached_property
    def _imports_of_suites(self) -> dict[str, set[str]]:
        """What the files of each suite import. Read once: each changed file is asked for it."""
        tests = self._project.root / "tests"
        return {
            name: set().union(*(_imported(path) for path in (tests / name).rglob("*.py") if ".venv" not in path.parts))
            for name in self._suites | _TOOLCHAIN_TESTS
        }

    def _in_component(self, name: str, inner: str) -> list[Node]:
        if name not in self._project.components:  # removed: what still names it shows in these
            return [Node("toolchain")]
        if inner == "Dockerfile":  # also one of the files that its image is made of
            return [_CONTRACTS]
        return [Node("tests" if inner == "tests" else "component", name)]

    def _in_service(self, name: str, inner: str) -> list[Node]:
        if name not in self._project.services:
            return [Node("toolchain")]
        return [Node("test", f"service/{name}"), Node("lint")] if inner == "tests" else [Node("service", name)]

    def _edge(self, start: Node, *ends: Node) -> None:
        self._edges.setdefault(start, set()).update(ends)

    def _build(self) -> None:
        self._toolchain()
        for name in self._project.components:
            self._component(name)
        self._libraries()
        self._services()
        self._bases()
        self._pipelines()
        self._suites_of_their_own()
        self._everything()  # last: it goes by all edges that there are

    def _toolchain(self) -> None:
        pipelines = [Node("pipeline", name) for name in self._project.pipelines]
        tools = [Node("test", "toolchain"), Node("test", "pipelines"), _CONTRACTS, Node("lint")]
        self._edge(Node("toolchain"), *tools, *pipelines)
        self._edge(Node("settings"), Node("test", "toolchain"), _CONTRACTS, *pipelines)

    def _libraries(self) -> None:
        for folder in self._project.libraries.values():
            own = Node("library", folder.name)
            self._edge(own, Node("test", f"library/{folder.name}"), Node("lint"), Node("toolchain"))
            self._edge(Node("environments"), own)
            for bundled in self._project.bundled_in(folder):
                self._edge(Node("library", bundled), Node("test", f"library/{folder.name}"))

    def _services(self) -> None:
        """What serves is tested by itself where it has tests, and served in the suite that delivers."""
        for name, folder in self._project.services.items():
            own = Node("service", name)
            self._edge(own, Node("lint"), *([Node("test", f"service/{name}")] if (folder / "tests").is_dir() else []))
            if _SERVING_TESTS in self._suites:
                self._edge(own, Node("test", _SERVING_TESTS))
            self._edge(Node("environments"), own)
            for package in local_packages(folder):
                self._edge(Node("library", package.name), own)

    def _bases(self) -> None:
        for name in self._project.bases:
            self._edge(Node("base", name), Node("image", f"base/{name}"), _CONTRACTS)
            for below in of_base(self._project, name).bases.values():
                self._edge(Node("base", below), Node("base", name))

    def _pipelines(self) -> None:
        for name, folder in self._project.pipelines.items():
            compile_, deploy = Node("compile", f"pipeline/{name}"), Node("deploy", f"pipeline/{name}")
            self._edge(Node("pipeline", name), Node("test", "pipelines"), _CONTRACTS, Node("lint"), compile_)
            self._edge(compile_, deploy)
            for component in loaded_components(folder / "pipeline.py", self._project.components):
                self._edge(Node("component", component), Node("test", "pipelines"))
                self._edge(Node("image", f"component/{component}"), compile_)

    def _suites_of_their_own(self) -> None:
        for suite in self._suites - _TOOLCHAIN_TESTS:
            self._edge(Node("everything"), Node("test", suite))
        if _ENGINE_TESTS in self._suites:
            reached = {end for ends in (*self._edges.values(), *self._taken.values()) for end in ends}
            for node in (Node("toolchain"), *(node for node in reached if node.kind == "image")):
                self._edge(node, Node("test", _ENGINE_TESTS))
        if _SERVING_TESTS in self._suites:
            for node in (Node("toolchain"), *self._run_by_serving_tests()):
                self._edge(node, Node("test", _SERVING_TESTS))
        if _DELIVERY_TESTS in self._suites:
            for node in (Node("toolchain"), Node("settings"), *self._run_by_pages()):
                self._edge(node, Node("test", _DELIVERY_TESTS))

    def _everything(self) -> None:
        for images in self._taken.values():
            self._edge(Node("everything"), *images)
        roots = [node for node in self._edges if node.kind not in (*ACTIONS, "everything")]
        self._edge(Node("everything"), *roots, *(end for root in roots for end in self._edges[root]))

    def _run_by_pages(self) -> list[Node]:
        pages = "".join(page.read_text(encoding="utf-8") for page in self._project.root.glob(_FOLLOWED))
        return [Node("component", name) for name in self._project.components if f"components/{name}/" in pages]

    def _run_by_serving_tests(self) -> list[Node]:
        tests = "".join(file.read_text(encoding="utf-8") for file in self._project.root.glob(_SERVING_FILES))
        return [Node("component", name) for name in self._project.components if f'"{name}"' in tests]

    def _component(self, name: str) -> None:
        component = self._project.components[name]
        image = Node("image", f"component/{name}")
        test = Node("test", f"component/{name}")
        self._edge(Node("component", name), test, _CONTRACTS, Node("test", "toolchain"), Node("lint"))
        self._edge(Node("tests", name), test, Node("lint"))
        self._edge(Node("environments"), Node("component", name))
        for package in component.local_packages:
            self._edge(Node("library", package.name), Node("component", name))
        dockerfile = of_component(self._project, name)
        for path in dockerfile.inputs:
            self._taken.setdefault(path, set()).add(image)
        for base in dockerfile.bases.values():
            self._edge(Node("base", base), image)


def suites(reached: Iterable[Reached]) -> Iterator[str]:
    """Yields the Makefile's targets that lint and test what was reached."""
    for each in reached:
        if each.action in ("lint", "test"):
            yield f"{each.action}/{each.part}" if each.part else each.action


def _imported(path: Path) -> set[str]:
    """Returns what a file imports, and what that is in: `a.b.c`, `a.b` and `a`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[:end]) for name in names for end in range(1, name.count(".") + 2)}


def _with_importers(module: str, imports: Mapping[str, set[str]]) -> set[str]:
    """Returns a module and those of `imports` (module to what it imports) that import it, through others too."""
    found, pending = {module}, [module]
    while pending:
        wanted = pending.pop()
        importers = {name for name, imported in imports.items() if wanted in imported} - found
        found |= importers
        pending += importers
    return found


def _suite(folder: str) -> Node:
    """Returns the tests of a folder in tests/."""
    return Node("test", "toolchain" if folder in _TOOLCHAIN_TESTS else folder)
