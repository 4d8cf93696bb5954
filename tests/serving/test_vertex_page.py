"""docs/tasks/serve-on-vertex.md, as far as this machine goes: what is set is what deploy takes, and follows a rollout.

What a run of the pipeline would do in its last step is done by deploy's target, for two versions, against the loopback
server of deploy's own tests; the clock is the server's.
"""

import json

from served_folders import link_checkout
from task_pages import Walk, terminal

from pipeyard.repository import component_programs, project

_DEPLOYS = """\
import dataclasses, json, os, sys
import yaml
from deploy import parameters
from deploy.cli import build_parser
from deploy.desired_target import Rules
from deploy.vertex import target
from deploy.vertex.client import Client, Patience
from deploy.vertex.place import Place
from rollout import loop
from vertex_server import PROJECT, Listening, VertexServing

settings = yaml.safe_load(os.path.expandvars(open("settings.yaml").read()))["environments"]["vertex"]
given = settings["pipelines"]["chicago_taxi"]["parameters"]
flags = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
flags |= {"serving_uri": settings["parameters"]["serving_uri"], "model_name": "chicago_taxi"}
needed = ("model", "examples", "schema", "metrics", "statistics", "infra_validation", "pushed_model")
flags |= dict.fromkeys(needed, "x") | {"registry_uri": settings["parameters"]["registry_uri"]}
flags.pop("source")
args = build_parser().parse_args([f"--{name.replace('_', '-')}={value}" for name, value in flags.items()])
parameters.check(args)
server = VertexServing()
with Listening(server) as listening:
    place = Place.from_json(args.serving_options)
    assert place.project == PROJECT
    place = dataclasses.replace(place, api_endpoint=listening.url, monitoring_endpoint=listening.url)
    client = Client(place, server.now, server.sleep, Patience())
    rules = Rules(args.strategy, parameters.policy(args.rollout_policy), args.registry_uri, "run", server.now)
    opened = target.with_client(client, f"{args.serving_uri}/chicago_taxi/{{}}".format, "chicago_taxi", rules)
    for version in (1, 2):
        opened.stage(version)
        state = loop.follow(opened, version, loop.Edges(server.now, server.sleep), opened.rhythm)
(endpoint,) = server.endpoints.values()
(versions,) = server.models.values()
print(json.dumps({"action": state.decided.action, "endpoint": endpoint, "gaps": server.gaps, "models": versions}))
"""


def test_the_page_leads_to_a_promoted_version(tmp_path):
    root = link_checkout(tmp_path / "project")
    (tmp_path / "deploys.py").write_text(_DEPLOYS)
    component_programs.run(project.find(root), "deploy", ["-c", ""], "a version is deployed", print)
    sources = [root / "components/deploy/src", root / "components/deploy/tests"]
    sources += [root / f"libs/{name}/src" for name in ("rollout", "stepkit")]
    deploys = f"PYTHONPATH={':'.join(map(str, sources))} components/deploy/.venv/bin/python {tmp_path}/deploys.py"
    instead = {
        ".venv/bin/pipeyard run chicago_taxi --env vertex --wait": deploys,
        "GCP_PROJECT=PROJECT": "GCP_PROJECT=acme-models",
        "PIPELINE_BUCKET=BUCKET": "PIPELINE_BUCKET=acme",
        "HOST/PATH": "europe-west1-docker.pkg.dev/acme-models/images",
    }
    said = Walk(root, instead, terminal(tmp_path, {}), tmp_path).follow("tasks/serve-on-vertex.md")
    found = json.loads(said[-1][1].splitlines()[-1])
    assert (found["action"], found["gaps"]) == ("promoted", [])
    assert found["endpoint"]["trafficSplit"] == {"2": 100}
    (deployed,) = found["endpoint"]["deployedModels"]
    assert deployed["dedicatedResources"]["maxReplicaCount"] == 3
    last = found["models"][-1]
    assert last["artifactUri"] == "gs://acme/vertex/serving/chicago_taxi/2"
    assert "champion" in last["versionAliases"]
    assert last["containerSpec"]["imageUri"].endswith("@sha256:" + "0" * 64)
