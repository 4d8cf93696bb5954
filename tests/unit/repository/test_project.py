"""A component as the project has it."""

import shutil
from pathlib import Path

from pipeyard.repository import project

ROOT = Path(__file__).parents[3]


def test_source_digest_counts_what_decides_the_result(tmp_path):
    shutil.copytree(
        ROOT / "components/summarize", tmp_path / "components/summarize", ignore=shutil.ignore_patterns(".venv")
    )
    shutil.copytree(ROOT / "libs", tmp_path / "libs", ignore=shutil.ignore_patterns(".venv"))

    def digest() -> str:
        return project.Component(tmp_path / "components/summarize").source_digest

    first = digest()
    (tmp_path / "components/summarize/README.md").write_text("other words")
    (tmp_path / "components/summarize/tests/test_new.py").write_text("")
    assert digest() == first
    digests = {first}
    for name in (
        "components/summarize/uv.lock",
        "components/summarize/component.yaml",
        "libs/stepkit/src/stepkit/cli.py",
    ):
        with (tmp_path / name).open("a") as stream:
            stream.write("\n# changed\n")
        digests.add(digest())
    assert len(digests) == 4
