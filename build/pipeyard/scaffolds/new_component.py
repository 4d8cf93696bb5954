"""A component's files: spec, program, tests, environment, Dockerfile, README."""

import builtins
import json
import keyword
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeyard.checks import dockerfile_template, kinds, readmes
from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository import uv_locks, venvs
from pipeyard.repository.project import Component, Project
from pipeyard.scaffolds import component_listings, literals, placement
from pipeyard.scaffolds.rendering import check_name, rendered


@dataclass(frozen=True)
class ValueType:
    """A type of values, as KFP calls it.

    Attributes:
        parser: what reads it on the command line.
        annotation: its type in Python.
        json_types: types of its values in JSON.
        sample: a value, as JSON.
    """

    parser: str
    annotation: str
    json_types: tuple[type, ...]
    sample: str


VALUES = {
    "String": ValueType("str", "str", (str,), '"text"'),
    "Integer": ValueType("cli.integer", "int", (int,), "3"),
    "Float": ValueType("float", "float", (int, float), "0.5"),
    "Boolean": ValueType("cli.boolean", "bool", (bool,), "true"),
    "JsonArray": ValueType("cli.json_array", "list[Any]", (list,), '["a"]'),
    "JsonObject": ValueType("cli.json_object", "dict[str, Any]", (dict,), '{"a": 1}'),
}
# kfp's other names of them.
_ALSO = {
    "int": "Integer",
    "double": "Float",
    "str": "String",
    "text": "String",
    "bool": "Boolean",
    "dict": "JsonObject",
    "list": "JsonArray",
}
_PORT = re.compile(r"([a-z][a-z0-9_]*):([A-Za-z][A-Za-z0-9]*)(?:=(.*))?", re.DOTALL)
# What every program has, or Python; `l` looks like 1.
_TAKEN = {"executor_input", "help", "args", "json", "told", "l", *keyword.kwlist, *dir(builtins)}
# What the program is scaffolded to write, by type; of all others a text.
_COMPUTED = {
    "Integer": "len(told)",
    "Float": "float(len(told))",
    "Boolean": "bool(told)",
    "JsonArray": "sorted(told)",
    "JsonObject": "told",
}
_TEMPLATES = {
    "component.yaml": "component.yaml.j2",
    "pyproject.toml": "component_pyproject.toml.j2",
    "README.md": "component_readme.md.j2",
    "src/{name}/__init__.py": "component_init.py.j2",
    "src/{name}/__main__.py": "component_main.py.j2",
    "src/{name}/cli.py": "component_cli.py.j2",
    "src/{name}/computing.py": "component_computing.py.j2",
    "tests/test_{name}.py": "component_test.py.j2",
    "tests/test_same_bytes.py": "component_same_bytes.py.j2",
}


@dataclass(frozen=True)
class Port:
    """An input or output.

    Attributes:
        type: one of VALUES, or an artifact's.
        default: an input's, as the spec has it; None: it has to be given.
    """

    name: str
    type: str
    default: str | None = None

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def value(self) -> ValueType | None:
        """What its values are; None: it is an artifact, passed as a file."""
        return VALUES.get(self.type)

    @property
    def annotation(self) -> str:
        """Its type in Python."""
        return self.value.annotation if self.value else "Path"

    @property
    def default_literal(self) -> str:
        """Its default, in Python."""
        return literals.of_json(_parsed(self.type, self.default or ""))

    @property
    def sample(self) -> str:
        """A value's text on the command line."""
        assert self.value
        return str(json.loads(self.value.sample)) if self.type == "String" else self.value.sample


def port(text: str, side: str) -> Port:
    """Parses NAME:TYPE, of inputs NAME:TYPE=DEFAULT, too.

    Args:
        side: `input` or `output`.

    Raises:
        PipeyardError: it is something else.
    """
    found = _PORT.fullmatch(text)
    if not found or (found[3] is not None and side == "output"):
        form = "NAME:TYPE or NAME:TYPE=DEFAULT" if side == "input" else "NAME:TYPE"
        raise PipeyardError(f"--{side} {text!r} isn't {form}, as in rows:Integer. Write the name in lower case.")
    made = Port(found[1], found[2], found[3])
    kind = {**{each.lower(): each for each in VALUES}, **_ALSO}.get(made.type.lower(), made.type)
    if kind != made.type:
        raise PipeyardError(f"--{side} {text!r}: the type is written {kind}.")
    if kind == kinds.FINAL_STATUS:
        raise PipeyardError(
            f"--{side} {text!r}: only tasks of exit handlers are given it. Write it into component.yaml by hand."
        )
    if made.name in _TAKEN:
        raise PipeyardError(
            f"--{side} {text!r}: every program has something called {made.name!r}. Choose another name."
        )
    if made.default is not None and not made.value:
        raise PipeyardError(
            f"--{side} {text!r}: {made.type} is an artifact, which has no default. {near_misses(made.type, VALUES)}"
        )
    if made.default is not None and made.value:
        value = _parsed(made.type, made.default)
        if type(value) not in made.value.json_types:
            raise PipeyardError(f"--{side} {text!r}: {made.default!r} is no {made.type}.")
    return made


def _parsed(kind: str, text: str) -> object:
    if kind == "String":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return None


def write(
    project: Project,
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    say: Callable[[str], None],
    lock: Callable[[Path, str], object] = uv_locks.lock,
) -> list[Path]:
    """Writes a component whose program passes its inputs on, and its line in what lists components.

    Args:
        inputs: NAME:TYPE or NAME:TYPE=DEFAULT.
        outputs: NAME:TYPE; without inputs and outputs it has a text of each.
        say: hears what takes time.
        lock: locks the environment of a folder, by the uv at a path.

    Returns:
        The files that are new or changed.

    Raises:
        PipeyardError: the name is taken, an input or output isn't one, or its environment can't be locked. Nothing is
            written then.
    """
    check_name(name, "a component")
    folder = project.root / "components" / name
    placement.refuse_taken(folder)
    if name in {"stepkit", "pipeyard", "kfp", *sys.stdlib_module_names}:
        raise PipeyardError(f"{name!r} is another package's name, which it would hide. Choose another name.")
    takes, gives = _ports(inputs or (() if outputs else ("text:String",)), outputs or ("result:String",))
    told = {
        "name": name,
        "inputs": takes,
        "outputs": gives,
        "artifacts": _artifacts,
        "texts": _texts,
        "computed": _COMPUTED,
    }
    contents = {path.format(name=name): rendered(template, **told) for path, template in _TEMPLATES.items()}
    say("locking its environment")
    with tempfile.TemporaryDirectory() as scratch:
        whole = _whole(project, Path(scratch), name, contents, lock)
        servers = component_listings.kept(project)
        with placement.new_folder(folder, whole):
            pass
    return [*(folder / each for each in whole), *component_listings.renew(Project(project.root), servers)]


def _artifacts(ports: Sequence[Port]) -> str:
    """Returns what artifacts mean, as JSON; empty if there are none."""
    found = {each.name: each.type for each in ports if not each.value}
    return json.dumps(found) if found else ""


def _texts(ports: Sequence[Port]) -> bool:
    return any(each.type not in _COMPUTED for each in ports)


def _ports(inputs: Sequence[str], outputs: Sequence[str]) -> tuple[list[Port], list[Port]]:
    takes, gives = [port(each, "input") for each in inputs], [port(each, "output") for each in outputs]
    names = [each.name for each in (*takes, *gives)]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise PipeyardError(f"{', '.join(twice)} is there twice among inputs and outputs. Name each otherwise.")
    return takes, gives


def _whole(
    project: Project, scratch: Path, name: str, contents: dict[str, str], lock: Callable[[Path, str], object]
) -> dict[str, str]:
    """Returns the files with those that are made of them: lock, Dockerfile and the README's table."""
    component = Component(scratch / "components" / name)
    for path, text in contents.items():
        (component.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (component.folder / path).write_text(text, encoding="utf-8")
    (scratch / "libs").symlink_to(project.root.resolve() / "libs")
    lock(component.folder, venvs.uv(project))
    made = {**readmes.of_component(component), **dockerfile_template.of_component(project, component)}
    locked = (component.folder / uv_locks.LOCK).read_text(encoding="utf-8")
    return {**contents, uv_locks.LOCK: locked, **{path.name: text for path, text in made.items()}}
