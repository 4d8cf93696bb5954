"""What changes between releases: told, noted, refused where a version doesn't say that something breaks."""

import json
import re

import pytest
from click.testing import CliRunner
from support import scratch_git, small_repository

from pipeyard.commands.check import command as check_command
from pipeyard.commands.release import command as release_command
from pipeyard.repository import dockerfiles
from pipeyard.repository.project import Project

COMPONENTS = small_repository.COMPONENTS
VERSION = "metadata: {{annotations: {{pipeyard.dev/version: {0}}}}}\n"


@pytest.fixture
def repository(tmp_path) -> Project:
    """A repository whose first commit, with versions, is released as `latest`."""
    made = small_repository.make(tmp_path / "repository")
    for name in COMPONENTS:
        _edit(made, name, "inputs:", f"{VERSION.format('1.0.0')}inputs:")
    _commit(made)
    assert _release(made).exit_code == 0
    return made


def _edit(project: Project, name: str, was: str, now: str, file: str = "component.yaml") -> None:
    path = project.root / "components" / name / file
    text = path.read_text(encoding="utf-8")
    assert was in text
    path.write_text(text.replace(was, now), encoding="utf-8")


def _commit(project: Project) -> str:
    commit = scratch_git.commit(project.root, "changed")
    small_repository.build(Project(project.root))
    return commit


def _release(project: Project, *arguments: str):
    store = str(project.root.parent / "store")
    return CliRunner().invoke(
        release_command, [store, "--channel", "latest", *arguments, "--project", str(project.root)]
    )


def _check(project: Project, *arguments: str):
    store = str(project.root.parent / "store")
    line = ["--against", "latest", "--store", store, *arguments, "--project", str(project.root)]
    return CliRunner().invoke(check_command, line, standalone_mode=False)


def test_what_breaks_is_refused_until_the_version_says_so_and_notes_tell_it(repository):
    assert re.fullmatch(
        r"2 parts compared with \w+: no version is too small.\n", _check(repository, *COMPONENTS).stdout
    )
    done = _check(repository)  # the compiled pipeline, too; what was released as it here is another's
    assert "pipelines/whole\n  breaking: input epochs is gone\n" in done.stdout
    assert (done.return_value, "3 parts compared" in done.stdout) == (0, True)  # a pipeline has no version
    _edit(repository, "show", "name: limit", "name: most")
    _edit(repository, "show", "inputValue: limit", "inputValue: most")
    _edit(repository, "show", "USER 65532", "USER root", "Dockerfile")
    done = _check(repository, "show")
    assert done.return_value == 1
    assert "breaking: input limit is gone; " not in done.stdout  # they have no descriptions by which to know an heir
    assert "  breaking: input limit is gone\n  breaking: input most is new, and has to be given\n" in done.stdout
    assert "the image's user is root, was 65532" in done.stdout
    assert "refused: its version is 1.0.0, after 1.0.0. Such changes take 2.0.0 at least." in done.stdout
    told = json.loads(_check(repository, "show", "--json").stdout)
    assert told["refused"] == ["components/show"] and told["parts"]["components/show"]["severity"] == "breaking"

    _commit(repository)
    done = _release(repository)
    assert done.exit_code == 1
    assert "components/show: its version is 1.0.0, after 1.0.0" in str(done.exception)
    _edit(repository, "show", "1.0.0", "2.0.0")
    assert _check(repository, "show").return_value == 0
    commit = _commit(repository)
    done = _release(repository, "--json")
    assert done.exit_code == 0, done.exception
    (notes,) = json.loads(done.stdout)["notes"]
    text = (repository.root.parent / "store" / notes).read_text(encoding="utf-8")
    assert text.splitlines()[0].endswith(f" to {commit[:12]}")
    assert "## Breaking\n\n- **components/show** 1.0.0 to 2.0.0\n    - input limit is gone\n" in text
    assert "components/count" not in text
    assert "everything was there already" in _release(repository).stdout


def test_a_default_that_changed_is_a_warning(repository):
    _edit(repository, "count", "type: Integer}\nimpl", "type: Integer, default: '3', optional: true}\nimpl")
    done = _check(repository, "count")
    assert done.return_value == 0
    assert "compatible: input limit may be left out now" in done.stdout
    assert "warning: its version is 1.0.0, after 1.0.0. Such changes take 1.1.0 at least." in done.stdout


def test_what_only_one_side_has_is_told(repository):
    small_repository.write(
        repository.root / "components/other/component.yaml", small_repository.SPEC.format(name="other")
    )
    small_repository.write(repository.root / "components/other/Dockerfile", "FROM scratch\n")
    done = _check(Project(repository.root), "other")
    assert (done.return_value, "components/other\n  compatible: it is new" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "lates", "--store", "STORE"], "has no release of a commit, and no channel, 'lates'"),
        (["--against", "latest"], "takes the store that the release is in"),
        (["--against", "latest", "--fix"], "--against only compares"),
        (["shov", "--against", "latest", "--store", "STORE"], "No component 'shov'. Did you mean 'show'"),
    ],
)
def test_mistakes_say_what_to_do(repository, monkeypatch, arguments, message):
    monkeypatch.delenv("PIPEYARD_STORE", raising=False)
    given = [each.replace("STORE", str(repository.root.parent / "store")) for each in arguments]
    done = CliRunner().invoke(check_command, [*given, "--project", str(repository.root)])
    assert done.exit_code != 0
    assert message in f"{done.exception} {done.output}"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("FROM a AS b\nUSER 1\nFROM b\nUSER 2\nUSER 3:4\n", "3:4"),
        ("FROM a AS b\nUSER 1\nFROM b AS c\nRUN true\nFROM c\n", "1"),
        ("FROM a AS b\nUSER 1\nFROM other\n", None),
    ],
)
def test_the_user_of_an_image_is_that_of_the_stage_that_is_shipped(tmp_path, text, user):
    (tmp_path / "Dockerfile").write_text(text, encoding="utf-8")
    assert dockerfiles.Dockerfile("x", tmp_path / "Dockerfile", tmp_path).user == user
