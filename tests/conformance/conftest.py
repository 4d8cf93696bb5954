"""Runs pipelines of tiny components."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler
from rich.console import Console
from support.fake_python import FakePython
from support.tiny_components import Result

from pipeyard import ir
from pipeyard.compiling.passes import lightweight
from pipeyard.local import runner
from pipeyard.local.cluster_objects import ClusterObjects
from pipeyard.local.display import Lines
from pipeyard.local.steps import Host


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Compiles a @dsl.pipeline with kfp and runs it; keyword arguments are its parameters."""

    python = FakePython(tmp_path / "python")
    env = {**os.environ, "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}

    def go(
        pipeline: Any,
        platform: str = "",
        options: runner.Options | None = None,
        interrupts: Any = None,
        resumed: Path | None = None,
        outside: Mapping[str, Mapping[str, Any]] | None = None,
        launchers: runner.Launchers | None = None,
        objects: ClusterObjects | None = None,
        **parameters: Any,
    ) -> Result:
        package = tmp_path / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(package))
        text = package.read_text() + platform
        display = Lines(Console(quiet=True))

        def host(image: str) -> Host:
            if lightweight.is_python(image):
                return python.environments.image_host(image)
            return Host(**{"component": "tests", "source_digest": "1", "env": env} | (outside or {}).get(image, {}))

        return Result(
            *runner.run(
                ir.parse(text),
                parameters,
                tmp_path / "runs",
                host,
                display,
                options or runner.Options(max_parallel=4),
                resumed=resumed,
                launchers=launchers,
                objects=objects,
                interrupts=interrupts or (lambda stop: nullcontext()),
            )
        )

    return go
