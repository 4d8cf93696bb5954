"""docs/tasks/serve-on-kserve.md, followed as far as a machine without a cluster goes: `kubectl` notes what it is asked.

What deploy does in a cluster is tested in components/deploy/tests/test_kserve.py.
"""

import shlex

import yaml
from served_folders import ROOT, link_checkout
from task_pages import Walk, stand_in, terminal

PAGE = "tasks/serve-on-kserve.md"


def test_the_page_leads_to_settings_and_options_that_hold(tmp_path):
    root = link_checkout(tmp_path / "project")
    programs = tmp_path / "programs"
    programs.mkdir()
    notes = stand_in("kubectl", programs)
    instead = {
        "IMAGE_DIGEST": "0" * 64,
        "HOST/PATH": "registry.example/path",
        "BUCKET": "trips",
        "PIPELINE_BUCKET": "PIPELINE_BUCKET",
        "pipeyard sync": f"pipeyard sync --project {ROOT}",
    }
    said = Walk(root, instead, terminal(programs, {}), tmp_path).follow(PAGE)

    settings = next(text for line, text in said if " settings " in line)
    assert "serving_target" in settings and "serving-credentials" in settings
    (checked,) = [(line, text) for line, text in said if " -m deploy " in line]
    given = shlex.split(checked[0])
    options = yaml.safe_load(given[given.index("--serving-options") + 1])
    dev = yaml.safe_load((root / "settings.yaml").read_text())["environments"]["dev"]
    assert options == dev["parameters"]["serving_options"]
    asked = notes.read_text().splitlines()
    assert asked[0] == "create namespace models"
    role = next(line for line in asked if " create role pipeyard-deploy " in line)
    # What deploy asks of the API: `deploy.kubernetes_api`.
    assert "--verb=get,create,update" in role
    for resource in ("configmaps", "inferenceservices.serving.kserve.io", "servingruntimes.serving.kserve.io"):
        assert resource in role
