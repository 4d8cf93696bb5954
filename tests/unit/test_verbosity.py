"""-q tells results and errors only, -v what is done in detail; before the command and after it."""

import logging
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import click
import pytest
import requests
import tenacity
from support import trigger_projects

from pipeyard import cli
from pipeyard.compiling import compiler
from pipeyard.system import retries, verbosity
from pipeyard.system.verbosity import Verbosity


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("verbosity") / "project"
    return trigger_projects.make(root, {"read": {"parameters": {"source": "abc"}}})


@pytest.fixture
def pipeyard(project, run_pipeyard, monkeypatch):
    """Runs a command in the project, with pipelines compiled in this process."""
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(compiler, "compile_apart", compiler.compile_pipeline)
    yield run_pipeyard
    verbosity.choose(Verbosity.NORMAL)


RUN = ("run", "read", "--env", "here", "--no-prestart", "--no-cache")


def _commands(command: click.Command, words=()):
    yield words, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            below = command.get_command(click.Context(command), name)
            yield from _commands(below, (*words, name))


def test_every_command_takes_both_and_no_option_of_a_command_is_called_alike():
    found = dict(_commands(cli._group))
    assert {(), ("run",), ("runs", "list"), ("ci", "run"), ("trigger", "event")} <= set(found)
    for words, command in found.items():
        names = [name for each in command.params for name in each.opts]
        for name in ("-q", "--quiet", "-v", "--verbose"):
            assert names.count(name) == 1, f"{words}: {name}"
        shown = "-q, --quiet" in command.get_help(click.Context(command))
        assert shown == (words == ()), words


def test_a_run_tells_its_progress_and_its_end(pipeyard):
    code, out, err = pipeyard(*RUN)
    assert (code, out) == (0, "")
    assert "RUNNING    read" in err and "SUCCEEDED  read" in err and "\nReport: " in err


@pytest.mark.parametrize("arguments", [("-q", *RUN), (*RUN, "-q"), ("--quiet", *RUN), (RUN[0], "--quiet", *RUN[1:])])
def test_quiet_leaves_the_end_of_a_run_alone(pipeyard, arguments):
    code, out, err = pipeyard(*arguments)
    assert (code, out) == (0, "")
    assert "RUNNING" not in err and "SUCCEEDED  read" not in err
    assert " SUCCEEDED in " in err and "\nReport: " in err
    assert "RUNNING    read" in pipeyard(*RUN)[2]  # it was of that command alone


def test_quiet_tells_why_a_run_failed(pipeyard):
    code, _, err = pipeyard("-q", *RUN, "--param", "source=bad")
    assert code == 1
    assert "read failed: " in err and "bad data" in err and "RUNNING" not in err


def test_quiet_tells_errors_and_results_and_no_warnings(pipeyard):
    warned = pipeyard("compile", "read", "--dev")
    quiet = pipeyard("compile", "read", "--dev", "-q")
    assert warned[:2] == quiet[:2] and warned[1].endswith("workflow.tar.gz\n")
    assert "warning: read: its images are those of the committed specs" in warned[2]
    assert quiet[2] == ""
    assert pipeyard("-q", "compile", "raed")[2].startswith("pipeyard: error: ")


def test_quiet_silences_what_is_logged_too(pipeyard):
    assert pipeyard("-q", "settings") == (0, "here         local\n", "")
    assert not logging.getLogger("pipeyard.anything").isEnabledFor(logging.WARNING)
    verbosity.choose(Verbosity.NORMAL)
    assert logging.getLogger("pipeyard.anything").isEnabledFor(logging.WARNING)
    assert not logging.getLogger("pipeyard.anything").isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize("before", [True, False])
def test_verbose_tells_commands_and_what_the_cache_has(pipeyard, before):
    run = [each for each in RUN if each != "--no-cache"]
    pipeyard(*run)
    code, out, err = pipeyard(*(["-v", *run] if before else [*run, "--verbose"]))
    assert (code, out) == (0, "")
    assert "pipeyard.system.verbosity: starts " in err
    assert "git -C " in err
    assert "pipeyard.local.step_cache: step cache: " in err and " is of read in read-" in err
    assert "CACHED     read" in err


def test_both_at_once_are_wrong_usage(pipeyard):
    for arguments in (("-q", "-v", "runs", "list"), ("-q", "runs", "list", "-v"), ("runs", "-v", "list", "-q")):
        code, _, err = pipeyard(*arguments)
        assert (code, "-q and -v exclude each other" in err) == (2, True)
    assert pipeyard("-q", "settings", "-q")[0] == 0


@pytest.fixture
def flaky():
    """A server that answers every second request."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(503 if len(asked) % 2 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def detailed():
    verbosity.choose(Verbosity.DETAILED)
    yield
    verbosity.choose(Verbosity.NORMAL)


def test_verbose_tells_requests_and_their_repetitions_without_credentials(flaky, detailed, capsys):
    policy = retries.RetryPolicy(attempts=3, pause=0.001, longest_pause=0.002)
    url = f"http://user:hunter2@{flaky}/objects/a?signature=hunter3"
    assert retries.answering(policy)(requests.get, url, timeout=5).status_code == 200
    told = capsys.readouterr().err
    assert '"GET /objects/a?... HTTP/1.1" 503' in told and '"GET /objects/a?... HTTP/1.1" 200' in told
    assert "pipeyard.system.retries: Retrying requests.api.get in " in told
    assert "hunter" not in told


def test_what_fails_without_an_answer_is_told_with_its_repetition(detailed, capsys):
    policy = retries.RetryPolicy(attempts=2, pause=0.001, longest_pause=0.002)

    def call():
        raise requests.ConnectionError("cut at https://user:hunter2@host/x?token=hunter3")

    with pytest.raises(requests.ConnectionError):
        retries.retrying(policy, tenacity.retry_if_exception_type(requests.ConnectionError))(call)
    told = capsys.readouterr().err
    assert "raised ConnectionError: cut at https://...@host/x?..." in told
    assert "hunter" not in told


def test_a_long_command_is_cut(detailed, capsys):
    subprocess.run(["true", "x" * 10_000], check=True)
    assert len(capsys.readouterr().err) < 600


def test_without_it_nothing_is_told_of_commands(detailed, capsys):
    verbosity.choose(Verbosity.NORMAL)
    subprocess.run(["true"], check=True)
    assert capsys.readouterr().err == ""
