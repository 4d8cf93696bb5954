"""All that CI servers read in a project: linted, and compared with what it is rendered from."""

from collections.abc import Iterator

from pipeyard.ci import cloudbuild, cloudbuild_rules, documents, flow, rendered_files
from pipeyard.errors import PipeyardError
from pipeyard.findings import Finding
from pipeyard.repository.project import Project


def check(project: Project, filenames: tuple[str, ...] = ()) -> list[Finding]:
    """Returns what is wrong with builds, triggers and what is rendered.

    Args:
        filenames: builds, relative to the project; none: all that Pipeyard renders, with triggers and drift.
    """
    if filenames:
        return [each for name in filenames for each in _build(project, name)]
    found = [each for name in cloudbuild.FILES.values() for each in _build(project, name)]
    for path in sorted((project.root / cloudbuild.TRIGGERS).glob("*.yaml")):
        try:
            trigger = documents.load(path)
            found += cloudbuild_rules.check_trigger(
                trigger, project.root, lambda name: documents.load(project.root / name)
            )
        except PipeyardError as error:
            found.append(Finding(path.name, "yaml", str(error)))
    for server in rendered_files.SERVERS:
        for name in rendered_files.stale(project, server):
            found.append(Finding(name, "drift", "it isn't what is rendered", f"Run `pipeyard ci {server}`."))
    return found


def _build(project: Project, name: str) -> Iterator[Finding]:
    try:
        document = documents.load(project.root / name)
    except PipeyardError as error:
        yield Finding(name, "yaml", str(error))
        return
    found = cloudbuild_rules.check_build(document)
    yield from found
    if name == cloudbuild.FILES[flow.DELIVERY] and not any(each.check == cloudbuild_rules.SCHEMA for each in found):
        yield from _nothing_early(document)


def _nothing_early(document: documents.CiDocument) -> Iterator[Finding]:
    """Yields steps that deploy or run without waiting for the push, and pushes that don't wait for tests."""
    steps = {step["id"]: step for step in document.content.get("steps") or [] if step and step.get("id")}
    for name, before in (("push-images", "unit-tests"), ("push-images", "pylint"), ("deploy", "push-images")):
        if name in steps and before not in _awaited(name, steps):
            index = list(steps).index(name)
            yield Finding(
                f"{document.path.name}:{document.line_of('steps', index)}",
                "order",
                f"{name} doesn't wait for {before}",
                "Let it, or what is wrong shows too late.",
            )


def _awaited(name: str, steps: dict[str, dict]) -> set[str]:
    found: set[str] = set()
    pending = [name]
    while pending:
        waits = steps.get(pending.pop(), {}).get("waitFor") or []
        pending += [each for each in waits if each not in found]
        found.update(waits)
    return found
