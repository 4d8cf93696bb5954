"""Reads `settings.yaml`: variables, defaults, environments."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeyard.errors import PipeyardError, near_misses
from pipeyard.repository.project import Project
from pipeyard.settings import completions, explanations, layers, secret_references, secrets, variables, yaml_lines
from pipeyard.settings.model import Environment
from pipeyard.settings.problems import FILE, Problem, raise_all
from pipeyard.settings.targets import TARGETS
from pipeyard.settings.yaml_lines import Key, SettingsDocument

_log = logging.getLogger(__name__)

# Names are given to commands and CI, and stand in paths.
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
PARTS = {
    "variables": "names that values may use as ${NAME}, and what they are",
    "defaults": "what environments have in common",
    "environments": "name of each place where pipelines run, and its settings",
}


@dataclass(frozen=True)
class Settings:
    """The whole file.

    Attributes:
        names: of all environments, in the order of the file.
        targets: of those whose target is known; it can't be told where a variable that isn't set decides it.
        path: the file.
        unknown: entries for pipelines that the project doesn't have.
    """

    names: tuple[str, ...]
    targets: Mapping[str, str]
    path: Path
    _environments: Mapping[str, Environment]
    _unset: Mapping[str, Mapping[str, Problem]]
    _unfit: Mapping[str, list[Problem]]
    unknown: tuple[Problem, ...] = ()

    def check(self) -> None:
        """Checks what `load` only warns of, as it hinders nothing else.

        Raises:
            PipeyardError: there are entries for pipelines that the project doesn't have.
        """
        raise_all(self.unknown)

    def unset(self, name: str) -> list[str]:
        """Returns the variables that an environment uses, and that aren't set."""
        return sorted(self._unset.get(name, {}))

    def environment(self, name: str) -> Environment:
        """Returns an environment, with the defaults merged in.

        Raises:
            PipeyardError: there is none of that name, or variables that it uses aren't set or don't fit.
        """
        if name not in self.names:
            raise PipeyardError(f"{FILE} has no environment {name!r}. {near_misses(name, self.names)}")
        raise_all([*self._unset[name].values(), *self._unfit[name]])
        return self._environments[name]


def load(root: Path, variables: Mapping[str, str] | None = None) -> Settings:  # pylint: disable=redefined-outer-name
    """Reads `settings.yaml` of the project at `root`; `${PROJECT_ROOT}` in it is that folder.

    All environments are checked. That a variable isn't set, or doesn't fit, is an error only of those that use it. An
    entry for a pipeline that the project doesn't have hinders no other: it is logged as a warning (`Settings.check`).

    Args:
        variables: values for what the file declares; default: the environment of this process.

    Raises:
        PipeyardError: it is missing, isn't YAML, repeats a key, or doesn't fit the model; with file, line and fix.
    """
    path = root / FILE
    try:
        document = yaml_lines.read(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PipeyardError(f"{path} is missing. It says where pipelines run; copy it from the repository.") from error
    except UnicodeDecodeError as error:
        raise PipeyardError(f"{path} isn't valid YAML: it isn't UTF-8. Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        raise PipeyardError(_not_yaml(error, path.read_text(encoding="utf-8"))) from error
    return _SettingsReader(root, document, os.environ if variables is None else variables).settings()


class _SettingsReader:
    def __init__(self, root: Path, document: SettingsDocument, given: Mapping[str, str]) -> None:
        self._document = document
        self._root = root
        self._known = Project(root).pipelines
        self._problems = list(document.problems)
        self._data = document.data if isinstance(document.data, dict) else {}
        declared = self._part("variables")
        self._meanings = {variables.PROJECT_ROOT: "the folder of this file", **declared}
        # A substitution of CI that isn't there is empty.
        self._values = {name: given[name] for name in declared if given.get(name)}
        self._values[variables.PROJECT_ROOT] = str(root)
        self._environments: dict[str, Environment] = {}
        self._unset: dict[str, dict[str, Problem]] = {}
        self._unfit: dict[str, list[Problem]] = {}

    def settings(self) -> Settings:
        """Returns the whole, or raises all that is wrong."""
        self._check_parts()
        self._check_variables()
        for key, text, fix in secrets.found(self._data) if self._data else ():
            self._problem(key, text, fix)
        environments = self._part("environments")
        for name, data in environments.items():
            if not _NAME.fullmatch(name):
                self._problem(
                    ("environments", name), f"{name!r} names no environment", "Write lower case, digits, _, -."
                )
            if isinstance(data, dict):
                self._environment(name, data)
            else:
                self._problem(("environments", name), "an environment is a mapping", "Write its keys below it.")
        for name, key, text, fix in completions.problems(self._environments, environments, self._known):
            origin = self._environments[name].origin(*key)
            self._problem(origin.key if origin else ("environments", name), text, fix)
        unknown = tuple(self._unknown())
        if self._problems:
            raise_all([*self._problems, *unknown])
        for problem in unknown:
            _log.warning("warning: %s It hinders no other.", problem)
        targets = {name: data["target"] for name, data in environments.items() if data["target"] in list(TARGETS)}
        path = self._root / FILE
        return Settings(tuple(environments), targets, path, self._environments, self._unset, self._unfit, unknown)

    def _environment(self, name: str, data: dict[str, Any]) -> None:
        """Notes an environment, and what is wrong with it, apart from what variables bring or lack."""
        merged = layers.merge((("defaults",), self._part("defaults")), (("environments", name), data))
        used = [(key, each) for key, each in variables.used(merged.data) if each in self._meanings]
        lacking = {each: key for key, each in reversed(used) if each not in self._values}
        self._unset[name] = {
            each: self._at(
                merged.origin(key),
                f"the variable {each} isn't set, or is empty ({self._meanings[each]})",
                f"Set it: export {each}=...",
            )
            for each, key in lacking.items()
        }
        expanded = variables.expand(merged.data, self._values)
        told = [(*each, True) for each in secrets.found(expanded)]
        # A name in the file would be taken for a key that there is.
        given = {key: value for key, value in expanded.items() if key != "name"} | {"name": name}
        if "name" in expanded:
            told.append((("name",), "there is no key 'name' here", "The environment's key names it.", False))
        try:
            made = Environment.model_validate(given)
            self._environments[name] = made.located(layers.Origins(self._document, merged))
            told += made.target_settings.problems(made)
        except ValidationError as error:
            told += explanations.explained(error, given)
        self._unfit[name] = []
        for key, text, fix, of_value in told:
            names = [each for place, each in used if of_value and place == key]
            if not names:
                self._problem(merged.origin(key), text, fix)
            elif not set(names) & set(lacking):
                of = f"as {', '.join(f'${{{each}}}' for each in names)} is set, {text}"
                self._unfit[name].append(self._at(merged.origin(key), of, fix))

    def _check_parts(self) -> None:
        if not isinstance(self._document.data, dict):
            self._problem((), "this isn't a valid file: it has no mapping", "Write environments: and what it has.")
            return
        for name in self._data:
            if name not in PARTS:
                self._problem((name,), f"there is no key {name!r} here", near_misses(name, PARTS))
        if "environments" not in self._data:
            self._problem((), "environments is missing", f"Set environments: {PARTS['environments']}.")
        if "target" in self._part("defaults"):
            self._problem(("defaults", "target"), "target is each environment's own", "Move it into the environments.")

    def _unknown(self) -> Iterator[Problem]:
        known = self._known
        for key, names in self._pipelines():
            for name in names if known else ():
                if name not in known:
                    yield self._at((*key, name), f"there is no pipeline {name!r}", near_misses(name, known))

    def _pipelines(self) -> Iterator[tuple[Key, list[str]]]:
        """Yields where pipelines are named, and their names."""
        places: list[tuple[Key, Any]] = [(("defaults",), self._part("defaults"))]
        places += [(("environments", name), each) for name, each in self._part("environments").items()]
        for key, data in places:
            if isinstance(data, dict) and isinstance(data.get("pipelines"), dict):
                yield (*key, "pipelines"), list(data["pipelines"])

    def _check_variables(self) -> None:
        for name, meaning in self._part("variables").items():
            key: Key = ("variables", name)
            if not variables.NAME.fullmatch(name) or name == variables.PROJECT_ROOT:
                fix = (
                    "It is always there."
                    if name == variables.PROJECT_ROOT
                    else "Write capital letters, digits and _, as CI's substitutions are."
                )
                self._problem(key, f"{name!r} can't be declared", fix)
            elif secrets.is_secret_name(name):
                fix = f"Name it instead, as in auth: {{kind: token, token_env: {name}}}."
                self._problem(key, f"{name} is a secret by its name", fix)
            elif not isinstance(meaning, str) or not meaning:
                self._problem(key, "it isn't told what the variable is", f"Write {name}: what it is.")
        for key in self._document.lines:
            if key and isinstance(key[-1], str) and "${" in key[-1]:
                self._problem(key, "a variable in a key", "Write the key itself: only values can have variables.")
        for key, name in secret_references.used(self._data):
            if not {"parameters", "secrets"} & set(key):
                self._problem(
                    key,
                    f"${{secret:{name}}} stands outside of parameters and secrets",
                    "Name an environment variable or a file there, as auth.token_env and auth.token_file do.",
                )
        for key, name in variables.used(self._data):
            if name not in self._meanings:
                self._problem(
                    key,
                    f"the variable {name!r} isn't declared",
                    f"{near_misses(name, self._meanings)} Or declare it under variables.",
                )

    def _part(self, name: str) -> dict[str, Any]:
        """Returns a part of the file, which may be left out or empty."""
        part = self._data.get(name)
        if part is None:
            return {}
        if not isinstance(part, dict):
            self._problem((name,), f"{name} is a mapping", f"Write below it: {PARTS[name]}.")
            return {}
        return part

    def _problem(self, key: Key, text: str, fix: str) -> None:
        self._problems.append(self._at(key, text, fix))

    def _at(self, key: Key, text: str, fix: str) -> Problem:
        return Problem(self._document.line(key), key, text, fix)


def _not_yaml(error: yaml.YAMLError, text: str) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{FILE} isn't valid YAML: {error}. Mend what it names."
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    hint = "Mend that line or the one before: indentation, brackets, quotes."
    if "alias" in (error.context or ""):
        hint = "Put text that starts with * in quotes, as the cron of a schedule may."
    elif "${" in "".join(text.splitlines()[line - 1 : line]):
        hint = "Put text with ${...} in quotes where it stands between { and }."
    what = " ".join(filter(None, (error.context, error.problem)))
    return f"{FILE}:{line}: this isn't valid YAML: {what}. {hint}"
