"""A schema is inferred, compared with the data, and brought up to date: by the components' own programs."""

import json
import subprocess
from pathlib import Path

from whole_runs import PIPEYARD, SETUP, Ran


def _schema(project: Path, file: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(PIPEYARD), "schema", *arguments, "chicago_taxi", f"--project={project}", f"--file={file}"],
        capture_output=True,
        text=True,
        check=False,
        env=SETUP,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_from_the_data_to_a_schema_and_back(taxi: Ran, project: Path, tmp_path: Path) -> None:
    file = tmp_path / "schema.pbtxt"
    assert _schema(project, file, "infer")[0] == 0
    inferred = file.read_text(encoding="utf-8")
    assert inferred.count("feature {") > 10
    name = 'name: "fare"'
    assert inferred.count(name) == 1
    file.write_text(inferred.replace(name, 'name: "fee"') + 'default_environment: "TRAINING"\n', encoding="utf-8")

    code, printed = _schema(project, file, "diff", "--json")
    told = {each["column"]: each["change"] for each in json.loads(printed)["changes"]}
    assert (code, told) == (1, {"fare": "added", "fee": "removed"})
    code, printed = _schema(project, file, "update")
    assert (code, printed.splitlines()[-1]) == (0, f"{file}: 2 columns differ. Review them.")
    updated = file.read_text(encoding="utf-8")
    assert name in updated and '"fee"' not in updated
    assert 'default_environment: "TRAINING"' in updated
    extracted = [
        task["state"]
        for path in (project / "runs").glob("*-schema-*/run.json")
        for task in json.loads(path.read_text(encoding="utf-8"))["tasks"]
        if task["component"] == "extract"
    ]
    assert extracted == ["CACHED"] * 3  # what the pipeline has read isn't read again
