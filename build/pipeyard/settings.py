"""`settings.yaml`: where each environment runs its pipelines, and with which parameters."""

import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeyard.errors import PipeyardError, near_misses

FILE = "settings.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class PipelineSettings(BaseModel):
    """What an environment sets for one pipeline."""

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, Any] = Field(default_factory=dict)


class Environment(BaseModel):
    """One place where pipelines run.

    Attributes:
        target: what runs them; `local`: this machine.
        pipeline_root: where runs keep their artifacts.
        parameters: for every pipeline that has an input of the name.
        pipelines: for one pipeline, over those.
    """

    model_config = ConfigDict(extra="forbid")

    target: Literal["local"]
    pipeline_root: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    pipelines: dict[str, PipelineSettings] = Field(default_factory=dict)

    def parameters_of(self, pipeline: str, declared: Container[str]) -> dict[str, Any]:
        """Returns the parameters for every pipeline, where they apply, with those for this one over them.

        Args:
            pipeline: name of the pipeline's folder.
            declared: names of the inputs that it has.
        """
        given = {name: value for name, value in self.parameters.items() if name in declared}
        if pipeline in self.pipelines:
            given |= self.pipelines[pipeline].parameters
        return given


class Settings(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    environments: dict[str, Environment]

    def environment(self, name: str) -> Environment:
        """Returns an environment.

        Raises:
            PipeyardError: there is none of that name.
        """
        if name not in self.environments:
            raise PipeyardError(f"{FILE} has no environment {name!r}. {near_misses(name, self.environments)}")
        return self.environments[name]


def load(root: Path) -> Settings:
    """Reads `settings.yaml` of the project at `root`; `${PROJECT_ROOT}` in it is that folder.

    Raises:
        PipeyardError: it is missing, isn't YAML, repeats a key, or doesn't fit the model; with file and line or key.
    """
    path = root / FILE
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # a SafeLoader
        return Settings.model_validate(_expand(raw, {"PROJECT_ROOT": str(root)}, path))
    except FileNotFoundError as error:
        raise PipeyardError(f"{path} is missing. It says where pipelines run; copy it from the repository.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PipeyardError(f"{path} isn't valid YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise PipeyardError(f"{path} doesn't fit: {problems}") from error


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<: *anchor`; what it brings gives way to keys that stand here
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _expand(value: Any, variables: Mapping[str, str], path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, variables, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, variables, path) for item in value]
    if not isinstance(value, str):
        return value

    def lookup(match: re.Match[str]) -> str:
        if match.group(1) not in variables:
            raise PipeyardError(f"{path} uses ${{{match.group(1)}}}. {near_misses(match.group(1), variables)}")
        return variables[match.group(1)]

    return _VARIABLE.sub(lookup, value)
