"""The server as a program, for documentation, `pipeyard ci run`, and trying things out.

python -m tests.servers.kubeflow --port 8888 --execute .
"""

import signal
import threading
from pathlib import Path

import click

from . import KubeflowServer


@click.command()
@click.option("--port", default=0, show_default="any", help="Of the loopback.")
@click.option(
    "--execute",
    "project_root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run what is submitted, with the components of the project in this folder. Otherwise all succeeds at once.",
)
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of these runs; default: runs/.kubeflow of the project.",
)
@click.option("--several-users", is_flag=True, help="Everything is in a namespace.")
@click.option("--token", "tokens", multiple=True, help="Let in only who has one of these tokens.")
def main(port: int, project_root: Path | None, runs: Path | None, several_users: bool, tokens: tuple[str, ...]) -> None:
    """Serve Kubeflow Pipelines' API until this is stopped."""
    execute = None
    if project_root:
        from pipeyard.local import runner
        from pipeyard.repository import project

        from .execution import LocalRunner

        found = project.find(project_root)
        execute = LocalRunner(runs or found.root / "runs/.kubeflow", runner.project_hosts(found))
    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    with KubeflowServer(execute=execute, several_users=several_users, port=port) as server:
        server.tokens.update(tokens)
        click.echo(server.url)
        stop.wait()


if __name__ == "__main__":
    main.main()
