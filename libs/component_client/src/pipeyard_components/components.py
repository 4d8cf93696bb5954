"""What loading a specification gives: a kfp component that knows where it is from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kfp.dsl import yaml_component


@dataclass(frozen=True)
class Retyped:
    """An input whose declared type was changed: `was` is as the specification has it (None if it has none)."""

    input: str
    was: Any
    now: str


class LoadedComponent(yaml_component.YamlComponent):  # pylint: disable=abstract-method  # so is kfp's own
    """A kfp component that knows where it is from.

    Attributes:
        location: the file or URL that it was read from.
        digest: its digest in a store (see `layout.digest_of`).
        retyped: the inputs whose types were changed; empty unless that was asked for.
        rewritten: how its command line is written otherwise than in the specification, with the same meaning.
        spec: the parsed kfp 1 specification; None if it is kfp 2's.
        text: the specification as it was written.
    """

    def __init__(
        self,
        loaded: yaml_component.YamlComponent,
        location: str,
        digest: str,
        retyped: tuple[Retyped, ...],
        rewritten: tuple[str, ...],
        spec: dict[str, Any] | None,
        text: str,
    ) -> None:
        super().__init__(component_spec=loaded.component_spec, component_yaml=loaded.component_yaml)
        self.location = location
        self.digest = digest
        self.retyped = retyped
        self.rewritten = rewritten
        self.spec = spec
        self.text = text
