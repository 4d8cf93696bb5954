"""The same model and data give the same bytes, whatever process deploys."""

import json
import shutil
from dataclasses import replace

from stepkit import testing


def test_the_same_inputs_give_the_same_bytes(files, tmp_path):
    given_names = ("model", "examples", "schema", "metrics", "statistics")
    for name in given_names:
        source = getattr(files, name)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, _made(tmp_path / "inputs") / name)

    def arguments(given, out):
        return replace(files, workspace=out, **{name: given / name for name in given_names}).argv()

    # Of what was pushed where and when the step's record has to tell; all else is the same.
    first, second = (
        {
            name: sha256
            for name, sha256 in place.items()
            if name.startswith(("outputs/infra", "outputs/version", "serv"))
        }
        for place in testing.run_in_unlike_places("deploy", tmp_path / "inputs", arguments, tmp_path)
    )
    records = [
        json.loads((tmp_path / place / "out" / "outputs" / "pushed_model").read_text(encoding="utf-8"))
        for place in ("place", "place-elsewhere")
    ]
    assert [record.pop("uri").endswith("serving/taxi/1") for record in records] == [True, True]
    assert records[0] == records[1]
    for name in ("serving/taxi/1/pipeyard.json", "serving/taxi/rollout.json"):
        assert first.pop(name) != second.pop(name)
    assert {"outputs/infra_validation", "serving/taxi/1/saved_model.pb"} < set(first)
    assert first == second


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder
