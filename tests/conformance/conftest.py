"""Pipelines compiled by the installed kfp, run by the local runner on tiny real processes.

What each test expects is what KFP documents for the construct, or what its backend does; never what kfp.local does.
"""

import os
import sys
import textwrap
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, components
from rich.console import Console

from pipeyard.local import ir, runner
from pipeyard.local.display import Lines
from pipeyard.local.record import Run, State, Task
from pipeyard.local.steps import Host

TOUCH = """
    import json, sys
    from pathlib import Path
    def write(path, value):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(value if isinstance(value, str) else json.dumps(value))
"""


def component(name: str, inputs: Mapping[str, str], outputs: Mapping[str, str], code: str, **texts: str):
    """Returns a container component that runs Python `code` with `IN` and `OUT` (name to text or path).

    Args:
        inputs: name to type, with "?" for an optional one and "=default" for one with a default.
    """
    lines = [f"name: {name}", "inputs:" if inputs else "inputs: []"]
    args = []
    by_value = {"String", "Integer", "Float", "Boolean", "JsonArray", "JsonObject", "PipelineTaskFinalStatus"}
    for key, declared in inputs.items():
        kind, _, default = declared.partition("=")
        optional = kind.endswith("?")
        kind = kind.rstrip("?")
        extra = ", optional: true" if optional else ""
        extra += f", default: '{default}'" if default else ""
        lines.append(f"- {{name: {key}, type: {kind}{extra}}}")
        placeholder = "inputValue" if kind in by_value else "inputPath"
        given = f'["IN:{key}", {{{placeholder}: {key}}}]'
        if optional and not default:
            args.append(f"    - if: {{cond: {{isPresent: {key}}}, then: {given}}}")
        else:
            args += [f"    - 'IN:{key}'", f"    - {{{placeholder}: {key}}}"]
    lines.append("outputs:" if outputs else "outputs: []")
    for key, kind in outputs.items():
        lines.append(f"- {{name: {key}, type: {kind}}}")
        args += [f"    - 'OUT:{key}'", f"    - {{outputPath: {key}}}"]
    program = (
        textwrap.dedent(TOUCH)
        + "pairs = list(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        + "IN = {k[3:]: v for k, v in pairs if k.startswith('IN:')}\n"
        + "OUT = {k[4:]: v for k, v in pairs if k.startswith('OUT:')}\n"
        + "RAW = dict(pairs).get('RAW')\n"
        + textwrap.dedent(code)
    )
    lines += ["implementation:", "  container:", f"    image: {texts.get('image', 'tests/python')}"]
    lines += ["    command:", "    - python", "    - -c", "    - |"]
    lines += [f"      {line}" for line in program.splitlines()]
    lines += ["    args:", *args, "    - RAW", "    - '{{$}}'"]
    return components.load_component_from_text("\n".join(lines))


class Result:
    """A finished run, easy to ask."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self.folder = folder

    def __getitem__(self, path: str) -> Task:
        return next(task for task in self.run.tasks if task.path == path)

    @property
    def states(self) -> dict[str, State]:
        return {task.path: task.state for task in self.run.tasks}

    def log(self, path: str) -> str:
        return (self.folder / self[path].attempts[-1].log).read_text()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Compiles a @dsl.pipeline with kfp and runs it; keyword arguments are its parameters."""

    def host(_image: str) -> Host:
        env = {**os.environ, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}
        return Host(component="tests", source_digest="1", env=env, meanings={})

    def go(
        pipeline: Any,
        platform: str = "",
        options: runner.Options | None = None,
        interrupts: Any = None,
        resumed: Path | None = None,
        **parameters: Any,
    ) -> Result:
        package = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(package))
        text = package.read_text() + platform
        display = Lines(Console(quiet=True))
        return Result(
            *runner.run(
                ir.parse(text),
                parameters,
                tmp_path / "runs",
                host,
                display,
                options or runner.Options(max_parallel=4),
                resumed=resumed,
                interrupts=interrupts or (lambda stop: nullcontext()),
            )
        )

    return go
