"""Components that are a few lines of Python, for pipelines that the installed kfp compiles and the local runner runs.

What each test expects is what KFP documents for the construct, or what its backend does; never what kfp.local does.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path

from kfp import components

from pipeyard.runs.record import Run, State, Task

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
