"""An entry put into the text of settings.yaml, which is otherwise as it was."""

import pytest
import yaml

from pipeyard.errors import PipeyardError
from pipeyard.scaffolds import settings_entry

TEXT = """\
environments:
  local:
    target: local
    parameters: {serving_uri: s}
    pipelines:
      one:  # the first
        parameters: {source: a}

      # the second
      two:
        parameters:
          note: |
            text
  # where checks run
  check:
    target: local
"""
ENTRY = {"source": "${PROJECT_ROOT}/a b.csv", "serving_uri": "t"}
LINES = """\
      new:
        parameters:
          source: ${PROJECT_ROOT}/a b.csv
"""


def test_the_entry_comes_behind_the_others_without_what_the_environment_gives_all():
    new = settings_entry.added(TEXT, "local", "new", ENTRY)
    assert new == TEXT.replace("            text\n", f"            text\n{LINES}")


@pytest.mark.parametrize("end", ["", "\n", "\n\n# the end\n"])
def test_an_environment_without_pipelines_gets_some(end):
    new = settings_entry.added(TEXT.rstrip("\n") + end, "check", "new", {"source": "a"})
    assert yaml.safe_load(new)["environments"]["check"] == {
        "target": "local",
        "pipelines": {"new": {"parameters": {"source": "a"}}},
    }
    assert new.startswith(TEXT)


SHARED = """\
environments:
  local:
    pipelines: &all
      one: {}
  other:
    pipelines: *all
"""


@pytest.mark.parametrize(
    ("text", "environment", "pipeline", "message"),
    [
        (TEXT, "local", "two", "has 'two' in environments.local already"),
        (TEXT, "lokal", "new", "no environment 'lokal'. Did you mean 'local'"),
        (
            SHARED,
            "local",
            "new",
            "can be put into environments.local.pipelines alone. Put it there by hand: new:",
        ),
        (SHARED, "other", "new", "nothing can be put into environments.other.pipelines alone"),
        ("environments: {local: {target: local}}\n", "local", "new", "no environments with a line for each"),
        ("variables: {}\n", "local", "new", "no environments with a line for each"),
        (
            "environments:\n  local:\n    target: local\n    pipelines:\n",
            "local",
            "new",
            "no environments.local.pipelines",
        ),
    ],
)
def test_what_can_t_be_put_in_is_told(text, environment, pipeline, message):
    with pytest.raises(PipeyardError, match=message):
        settings_entry.added(text, environment, pipeline, ENTRY)
