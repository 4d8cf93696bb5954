from pathlib import Path

import pytest

from pipeyard import settings
from pipeyard.errors import PipeyardError

ROOT = Path(__file__).parents[2]


def _load(tmp_path: Path, text: str) -> settings.Settings:
    (tmp_path / "settings.yaml").write_text(text)
    return settings.load(tmp_path)


def test_the_project_s_own_settings_load():
    local = settings.load(ROOT).environment("local")
    assert local.pipeline_root == f"{ROOT}/runs"
    assert local.pipelines["chicago_taxi"].parameters["source"].startswith(f"{ROOT}/pipelines")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "environments: {local: {target: local, pipeline_root: r, hue: red}}",
            r"settings.yaml:1: environments\.local\.hue: there is no key 'hue' here\. There are: ",
        ),
        (
            "environments: {local: {target: moon, pipeline_root: r}}",
            r"environments\.local\.target: target is none of 'local', 'kfp' or 'vertex'",
        ),
        ("environments: {a: {target: local, pipeline_root: r}, a: {}}", "the key 'a' stands twice"),
        (
            "environments: {a: {target: local, pipeline_root: '${HOME}'}}",
            "the variable 'HOME' isn't declared. There are: 'PROJECT_ROOT'",
        ),
        ("environments: [", "isn't valid YAML"),
        ("", "valid"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(PipeyardError, match=message) as error:
        _load(tmp_path, text)
    assert "settings.yaml" in str(error.value)


def test_environments_can_share_by_merge_keys(tmp_path):
    text = "environments:\n  a: &a {target: local, pipeline_root: one}\n  b:\n    <<: *a\n    pipeline_root: two\n"
    loaded = _load(tmp_path, text)
    assert [loaded.environment(name).pipeline_root for name in "ab"] == ["one", "two"]


def test_an_unknown_environment_names_near_misses(tmp_path):
    loaded = _load(tmp_path, "environments: {local: {target: local, pipeline_root: r}}")
    with pytest.raises(PipeyardError, match="no environment 'locl'. Did you mean 'local'"):
        loaded.environment("locl")


def test_without_the_file_it_says_which(tmp_path):
    with pytest.raises(PipeyardError, match="settings.yaml is missing"):
        settings.load(tmp_path)
