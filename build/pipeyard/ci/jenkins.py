"""The flow as a Jenkinsfile of a multibranch pipeline."""

from pipeyard.ci import flow

FILE = "Jenkinsfile"
_WHEN = {
    flow.DELIVERY: "anyOf { branch 'main'; buildingTag() }",
    flow.DEVELOPMENT: "not { anyOf { branch 'main'; buildingTag() } }",
}
_TAB = "    "
# Steps install what they need, build images with the machine's engine, and have its logins.
_CONTAINER = (
    "-u root -v /var/run/docker.sock:/var/run/docker.sock "
    "-v $HOME/.docker:/root/.docker -v $HOME/.config/gcloud:/root/.config/gcloud"
)


def pipeline(flows: list[flow.Flow], header: str) -> str:
    """Returns both flows: stages of one run only where its branch is, those that they share always."""
    variables = {each.name: each for described in flows for each in described.variables}
    image = variables.pop("STEP_IMAGE").default
    lines = [
        *(f"// {line.removeprefix('# ')}" for line in header.strip().splitlines()),
        "pipeline {",
        f"{_TAB}agent {{ docker {{ image {_quoted(image)}; args {_quoted(_CONTAINER)} }} }}",
        f"{_TAB}options {{ disableConcurrentBuilds(); timestamps() }}",
        f"{_TAB}parameters {{",
        *(
            f"{_TAB * 2}string(name: {_quoted(each.name)}, defaultValue: {_quoted(_default(each))}, "
            f"description: {_quoted(each.meaning)})"
            for each in variables.values()
            if not each.everywhere
        ),
        f"{_TAB}}}",
        f"{_TAB}environment {{",
        f'{_TAB * 2}{flow.COMMIT} = "${{env.GIT_COMMIT}}"',
        *(f'{_TAB * 2}{each.in_shell} = "${{{_value(each)}}}"' for each in variables.values()),
        f"{_TAB}}}",
        f"{_TAB}stages {{",
    ]
    for described in flows:
        for wave in described.waves():
            if len(wave) == 1:
                lines += _stage(wave[0], described, 2)
                continue
            title = " and ".join(step.name for step in wave)
            lines += [
                f"{_TAB * 2}stage({_quoted(f'{described.name}: {title}')}) {{",
                f"{_TAB * 3}when {{ {_WHEN[described.name]} }}",
            ]
            lines += [f"{_TAB * 3}parallel {{"]
            for step in wave:
                lines += _stage(step, described, 4, alone=False)
            lines += [f"{_TAB * 3}}}", f"{_TAB * 2}}}"]
    return "\n".join([*lines, f"{_TAB}}}", "}"]) + "\n"


def _stage(step: flow.FlowStep, described: flow.Flow, depth: int, alone: bool = True) -> list[str]:
    indent = _TAB * depth
    inner = indent + _TAB
    when = [f"{inner}when {{ {_WHEN[described.name]} }}"] if alone else []
    return [
        f"{indent}// {step.title}",
        f"{indent}stage({_quoted(f'{described.name}: {step.name}')}) {{",
        *when,
        *_secrets(step, inner),
        f"{inner}options {{ timeout(time: {step.minutes}, unit: 'MINUTES') }}",
        f"{inner}steps {{",
        f"{inner}{_TAB}sh '''#!/bin/sh",
        "set -eu",
        *(line.replace("\\", "\\\\").replace("'''", "\\'\\'\\'") for line in step.commands),
        "'''",
        f"{inner}}}",
        f"{indent}}}",
    ]


def _secrets(step: flow.FlowStep, indent: str) -> list[str]:
    """Returns what gives a stage its secrets: no other has them."""
    if not step.secrets:
        return []
    given = [f"{indent}{_TAB}{name} = credentials({_quoted(name)})" for name in step.secrets]
    return [f"{indent}environment {{", *given, f"{indent}}}"]


def _default(variable: flow.Variable) -> str:
    return "" if variable.name == "ENVIRONMENT" else variable.default


def _value(variable: flow.Variable) -> str:
    if variable.everywhere:
        return f"env.{variable.name} ?: {_quoted(variable.default)}"
    if variable.name == "ENVIRONMENT":
        return f"params.ENVIRONMENT ?: (env.TAG_NAME ? '{flow.FROM_TAG}' : '{flow.FROM_MAIN}')"
    return f"params.{variable.name}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
