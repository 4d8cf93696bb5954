"""The same run gives the same summary, whatever process writes it."""

from stepkit import testing


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    version = tmp_path / "inputs" / "serving" / "taxi" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"model")
    serving = str(tmp_path / "inputs" / "serving")

    def arguments(given, out):
        del given  # the serving folder is at one place for all
        status = '{"state": "FAILED", "error": {"message": "x", "code": 9}}'
        return [
            *("--status", status, "--pipeline", "taxi", "--run-id", "run-7", "--summary", str(out / "summary.md")),
            *("--serving-uri", serving, "--model-name", "taxi", "--outcome", str(out / "outcome")),
        ]

    first, second = testing.run_in_unlike_places("summarize", tmp_path / "inputs", arguments, tmp_path)
    assert first.keys() == {"summary.md", "outcome"}
    assert first == second
