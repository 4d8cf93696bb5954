"""The flow as a workflow of GitHub Actions."""

import re
from typing import Any

from pipeyard.ci import flow
from pipeyard.ci.yaml_style import as_yaml

FILE = ".github/workflows/pipeyard.yaml"
_RELEASED = "github.ref == 'refs/heads/main' || startsWith(github.ref, 'refs/tags/')"
_WHEN = {flow.DELIVERY: _RELEASED, flow.DEVELOPMENT: f"!({_RELEASED})"}


# Actions by the commit of a release: a tag can be moved to other content, which would then have the job's rights.
_ACTIONS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/cache": ("5a3ec84eff668545956fd18022155c47e93e2684", "v4.2.3"),
    "google-github-actions/auth": ("ba79af03959ebeac9769e648f473a284504d9193", "v2.1.10"),
}
_MOST_MINUTES = 360  # GitHub's own machines end a job after this, even if it sets more


def _action(name: str) -> str:
    return f"{name}@{_ACTIONS[name][0]}"


# Google Cloud by workload identity, and its registry, where the repository's variables name them.
_GOOGLE = "vars.WORKLOAD_IDENTITY_PROVIDER != ''"
_LOGIN = [
    {
        "id": "google",
        "if": _GOOGLE,
        "uses": _action("google-github-actions/auth"),
        "with": {
            "workload_identity_provider": "${{ vars.WORKLOAD_IDENTITY_PROVIDER }}",
            "service_account": "${{ vars.SERVICE_ACCOUNT }}",
            "token_format": "access_token",
        },
    },
    {
        "if": _GOOGLE,
        "env": {"TOKEN": "${{ steps.google.outputs.access_token }}", "REGISTRY_HOST": "${{ vars.REGISTRY_HOST }}"},
        "run": "build/ci-packages docker.io=docker\n"
        'echo "$TOKEN" | docker login --username oauth2accesstoken --password-stdin "$REGISTRY_HOST"\n',
    },
]


def workflow(flows: list[flow.Flow], ignored: list[str], header: str) -> str:
    """Returns both flows, a job each; its steps share a folder, so they run one after the other.

    Args:
        ignored: patterns of files whose change alone starts nothing.
    """
    variables = {each.name: each for described in flows for each in described.variables}
    inputs = {
        name.lower(): {"description": f"{each.meaning} (default: {each.default or 'none'})", "required": False}
        for name, each in variables.items()
        if not each.everywhere
    }
    content = {
        "name": "pipeyard",
        "on": {
            "push": {"branches": ["**"], "tags": ["v*"], "paths-ignore": ignored},
            "workflow_dispatch": {"inputs": inputs},
        },
        "permissions": {"contents": "read"},
        "concurrency": {"group": "pipeyard-${{ github.ref }}", "cancel-in-progress": False},
        "jobs": {described.name: _job(described) for described in flows},
    }
    return header + _with_tags(as_yaml(content))


def _with_tags(text: str) -> str:
    """Names beside each action's commit the tag that it has, for people and for what renews it."""
    for name, (commit, tag) in _ACTIONS.items():
        text = re.sub(rf"(?m)^(.*uses: {name}@{commit})$", rf"\1  # {tag}", text)
    return text


def _job(described: flow.Flow) -> dict[str, Any]:
    image = described.variable("STEP_IMAGE")
    steps: list[dict[str, Any]] = [
        {"uses": _action("actions/checkout"), "with": {"fetch-depth": 0}},
        # Jobs in containers run as another user than the one whose checkout it is.
        {"run": 'git config --global --add safe.directory "$GITHUB_WORKSPACE"'},
        {
            "uses": _action("actions/cache"),
            "with": {"path": "~/.cache/uv", "key": "uv-${{ hashFiles('**/uv.lock') }}", "restore-keys": "uv-"},
        },
    ]
    if described.name == flow.DELIVERY:
        steps += _LOGIN
    return {
        "if": _WHEN[described.name],
        "runs-on": "ubuntu-latest",
        # A token that Google Cloud takes for the repository's word: for what deploys, not for every branch.
        **({"permissions": {"contents": "read", "id-token": "write"}} if described.name == flow.DELIVERY else {}),
        # Its rules (who approves, which branches) are GitHub's settings of the environment.
        **({"environment": _value(described.variable("ENVIRONMENT"))} if described.name == flow.DELIVERY else {}),
        "container": {"image": _value(image)},
        "timeout-minutes": min(described.minutes, _MOST_MINUTES),
        "env": {flow.COMMIT: "${{ github.sha }}", **{each.in_shell: _value(each) for each in described.variables}},
        "steps": [*steps, *map(_step, described.steps)],
    }


def _step(step: flow.FlowStep) -> dict[str, Any]:
    content: dict[str, Any] = {"name": step.name, "timeout-minutes": step.minutes}
    if step.secrets:
        content["env"] = {name: f"${{{{ secrets.{name} }}}}" for name in step.secrets}
    return {**content, "shell": "sh", "run": "\n".join(["set -eu", *step.commands]) + "\n"}


def _value(variable: flow.Variable) -> str:
    if variable.everywhere:  # of the repository; GitHub limits how many inputs there may be
        return f"${{{{ vars.{variable.name} || '{variable.default}' }}}}"
    default = f"'{variable.default}'"
    if variable.name == "ENVIRONMENT":
        default = f"(startsWith(github.ref, 'refs/tags/') && '{flow.FROM_TAG}' || {default})"
    return f"${{{{ inputs.{variable.name.lower()} || {default} }}}}"
