"""Stubs of a store's components: a type checker takes what is right and refuses what isn't."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from support import component_stores

from pipeyard_components.__main__ import main

ROOT = Path(__file__).parents[3]
USE = """\
from mine import components

def pipeline(source: str) -> None:
    extracted = components.extract(source=source, format="csv", splits={"train": 1})
    checked = components.data_validation(examples=extracted.outputs["examples"])
    checked.set_caching_options(False)
    components.extract(source=source, rows_per_shard=extracted.outputs["row_count"])
    components.extract(source=1)
    components.extract(source=source, sauce="x")
    components.extract()
    components.data_validation(examples="text")
    components.extract(source=extracted.outputs["row_count"])
    extracted.outputs["exampels"]
    components.extrakt
"""
FIRST_WRONG = 8


def test_mypy_takes_a_use_and_refuses_each_misuse(tmp_path):
    assert main(["stubs", str(tmp_path / "mine.pyi"), "--store", str(ROOT / "components")]) == 0
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    checker = [
        sys.executable,
        "-m",
        "mypy",
        "--python-version=3.11",
        "--ignore-missing-imports",
        "--follow-imports=silent",
    ]
    line = [*checker, "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "mine.pyi", "use.py"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    refused = [int(number) for number in re.findall(r"^use.py:(\d+): error", done.stdout, re.MULTILINE)]
    assert refused == list(range(FIRST_WRONG, len(USE.splitlines()) + 1)), done.stdout + done.stderr
    assert "mine.pyi" not in done.stdout


def test_names_that_python_has_no_words_for_make_no_broken_stub(tmp_path):
    spec = component_stores.spec(name="odd").replace(b"text", b"Class name").replace(b"Says it.", b'It\'s "odd" \\n.')
    component_stores.write(tmp_path / "store", {"group/my-odd/component.yaml": spec})
    assert main(["stubs", str(tmp_path / "mine.pyi"), "--store", str(tmp_path / "store")]) == 0
    text = (tmp_path / "mine.pyi").read_text(encoding="utf-8")
    ast.parse(text)
    assert "    my_odd: _GroupMyOdd\n" in text and "class_name: str | Value[str]" in text


def test_what_can_t_be_written_says_why(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["stubs", str(tmp_path / "mine.py"), "--store", str(ROOT / "components")]) == 1
    assert "is no name of a stub. Write" in capsys.readouterr().err
    assert main(["stubs", str(tmp_path / "mine.pyi"), "--store", str(tmp_path / "empty")]) == 1
    assert "has no components, or can't be listed" in capsys.readouterr().err
    assert not (tmp_path / "mine.pyi").exists()
