"""From a commit to images in a registry: what the registry has by content gets a tag, the rest is built and pushed."""

import dataclasses
import graphlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.images.builders import Builder, Job
from pipeyard.images.references import Reference, parse
from pipeyard.images.registry import Layer, Manifest, Registry
from pipeyard.repository.commits import Commit
from pipeyard.repository.dockerfiles import TEST_STAGE, Dockerfile, of_base, of_component
from pipeyard.repository.project import Project
from stepkit import digest

# Hex digits of the source's sha256 that a content tag has.
_DIGITS = 24
COMMIT_LABEL = "org.opencontainers.image.revision"
SOURCE_LABEL = "dev.pipeyard.source"
SPEC_LABEL = "dev.pipeyard.spec"
_TITLE_LABEL = "org.opencontainers.image.title"


@dataclass(frozen=True)
class ImageOutcome:
    """What was done for one image.

    Attributes:
        built: False if the registry had it.
        manifest: what the tags name.
        layers: the lowest first.
    """

    name: str
    image: image_lock.Image
    built: bool
    manifest: Manifest
    layers: Sequence[Layer]

    @property
    def reference(self) -> Reference:
        """The image by digest."""
        return self.image.reference()


@dataclass(frozen=True)
class Prepared:
    """An image that could be pushed.

    Attributes:
        reference: by digest where the registry has it, else the name that it has on this machine.
        built: False if the registry had it.
    """

    name: str
    reference: Reference
    built: bool


@dataclass(frozen=True)
class Publisher:
    """Builds and pushes.

    Attributes:
        prefix: registry and path below which every image has a repository of its name.
        python: image with Python that all are built on; by tag it is pinned to the digest that the tag has now.
        find_builder: called only where there is something to build, from any thread.
        logs: folder for what builders print.
        tests: run each image's unit tests in it before it is pushed.
        tell: hears what is being done: image, and a phrase.
    """

    project: Project
    commit: Commit
    prefix: str
    python: str
    registry: Registry
    find_builder: Callable[[], Builder]
    logs: Path
    jobs: int = 2
    tests: bool = True
    tell: Callable[[str, str], None] = lambda image, phrase: None

    def publish(self, components: Iterable[str]) -> tuple[image_lock.Lock, list[ImageOutcome]]:
        """Ensures that the registry has the components' images, under the commit's tag.

        Returns:
            The lock, and what was done, images below included.

        Raises:
            PipeyardError: something failed. Images that were done by then stay in the registry under the tag of their
                content; the commit's tag is given when all are there.
        """
        python, done = self._all(components, self._one)
        with ThreadPoolExecutor(max(1, self.jobs)) as pool:
            list(pool.map(self._tag, done.values()))
        bases = {name: str(each.reference) for name, each in done.items() if name in self.project.bases}
        images = {name: done[name].image for name in sorted(done) if name in self.project.components}
        made = image_lock.Lock(commit=self.commit.tag, bases={"python": python, **bases}, images=images)
        return made, [done[name] for name in sorted(done)]

    def prepare(self, components: Iterable[str]) -> list[Prepared]:
        """Builds and tests what the registry hasn't, and pushes only images that others are built on.

        Components' images stay on this machine; nothing gets the commit's tag. `publish` on the same machine then finds
        them in the builder's cache.

        Raises:
            PipeyardError: something failed.
        """
        _, done = self._all(components, self._prepared)
        return [done[name] for name in sorted(done)]

    def _all(
        self, components: Iterable[str], work: Callable[[Dockerfile, Mapping[str, str]], Any]
    ) -> tuple[str, dict[str, Any]]:
        """Works on images, those below first; hands each the images by digest that it is built on.

        Returns:
            The image with Python by digest, and what was done by name.
        """
        files = self._files(components)
        order = graphlib.TopologicalSorter(
            {name: {base for base in file.bases.values() if base in files} for name, file in files.items()}
        )
        done: dict[str, Any] = {}
        python = str(self._pinned(parse(self.python)))
        order.prepare()
        with ThreadPoolExecutor(max(1, self.jobs)) as pool:
            running = {}
            try:
                while order.is_active():
                    for name in order.get_ready():
                        bases = {"python": python, **{key: str(each.reference) for key, each in done.items()}}
                        running[pool.submit(work, files[name], bases)] = name
                    future = next(as_completed(running))
                    name = running.pop(future)
                    if future.exception():
                        others = ", ".join(running.values())
                        self.tell(name, f"failed; waiting for {others}" if others else "failed")
                    done[name] = future.result()
                    order.done(name)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return python, done

    def _files(self, components: Iterable[str]) -> dict[str, Dockerfile]:
        files = {name: of_component(self.project, name) for name in components}
        pending = list(files.values())
        while pending:
            file = pending.pop()
            if file.unpinned:
                raise PipeyardError(
                    f"{file.path} builds on {', '.join(file.unpinned)}, which isn't pinned. "
                    "Take it as ARG NAME_IMAGE before the first FROM, or name it by digest."
                )
            for argument, base in file.bases.items():
                if base in self.project.bases and base not in files:
                    files[base] = of_base(self.project, base)
                    pending.append(files[base])
                elif base != "python" and base not in files:
                    raise PipeyardError(
                        f"{file.path} builds on {argument}, but there is no images/{base}/Dockerfile. "
                        f"Bases are python, {', '.join(self.project.bases) or 'none other'}."
                    )
        return files

    def _one(self, file: Dockerfile, bases: Mapping[str, str]) -> ImageOutcome:
        arguments, source, content = self._content(file, bases)
        found = self.registry.manifest(content)
        built = found is None
        if found is None:
            self._build(file, arguments, source, content)
            found = self._push(file, content)
        else:
            self.tell(file.name, "in the registry already")
        layers = self.registry.layers(found)
        entry = image_lock.Image(
            repository=content.name,
            tag=self.commit.tag,
            content_tag=content.tag,
            source=source,
            digest=found.digest,
            bytes=sum(layer.bytes for layer in layers),
        )
        return ImageOutcome(file.name, entry, built, found, layers)

    def _tag(self, done: ImageOutcome) -> None:
        self.registry.tag(done.manifest, done.image.reference("tag"))

    def _prepared(self, file: Dockerfile, bases: Mapping[str, str]) -> Prepared:
        arguments, source, content = self._content(file, bases)
        found = self.registry.manifest(content)
        if found is not None:
            self.tell(file.name, "in the registry already")
            return Prepared(file.name, content.at(found.digest), False)
        self._build(file, arguments, source, content)
        if file.name in self.project.components:
            return Prepared(file.name, content, True)
        return Prepared(file.name, content.at(self._push(file, content).digest), True)

    def _content(self, file: Dockerfile, bases: Mapping[str, str]) -> tuple[dict[str, str], str, Reference]:
        """Returns the build arguments, the digest of what the image is made of, and its name by that."""
        arguments = {argument: bases[base] for argument, base in file.bases.items()}
        source = file.digest(arguments)
        image = parse(f"{self.prefix.rstrip('/')}/{file.name}")
        return arguments, source, image.tagged(f"src-{source[:_DIGITS]}")

    def _build(self, file: Dockerfile, arguments: Mapping[str, str], source: str, content: Reference) -> None:
        builder = self.find_builder()
        log = self.logs / f"{file.name}.log"
        log.unlink(missing_ok=True)
        job = Job(file.path, self.project.root, content, log, arguments=arguments, labels=self._labels(file, source))
        if self.tests and file.has_tests:
            self.tell(file.name, "building, and running its tests in the image")
            builder.build(
                Job(file.path, self.project.root, content.tagged(f"{content.tag}-test"), log, TEST_STAGE, arguments)
            )
        self.tell(file.name, "building")
        builder.build(job)
        # The work tree lies open while that goes on, minutes long: a tag must not promise what is no longer in it.
        if dataclasses.replace(file).digest(arguments) != source:
            raise PipeyardError(
                f"What {file.name} is made of was changed while it was built, so nothing of it was pushed. Run again."
            )

    def _push(self, file: Dockerfile, content: Reference) -> Manifest:
        # Another build may have been quicker: then its image is taken, and all who build this content have the same.
        if found := self.registry.manifest(content):
            return found
        self.tell(file.name, "pushing")
        self.find_builder().push(content, self.logs / f"{file.name}.log")
        found = self.registry.manifest(content)
        if found is None:
            raise PipeyardError(
                f"{content} was pushed, but the registry hasn't it. Look at the registry, and run again."
            )
        return found

    def _labels(self, file: Dockerfile, source: str) -> dict[str, str]:
        labels = {_TITLE_LABEL: file.name, COMMIT_LABEL: self.commit.sha, SOURCE_LABEL: source}
        spec = file.path.parent / "component.yaml"
        return {**labels, SPEC_LABEL: digest.of_file(spec)} if spec.exists() else labels

    def _pinned(self, image: Reference) -> Reference:
        if image.digest:
            return image
        image = image if image.tag else image.tagged("latest")
        found = self.registry.manifest(image)
        if found is None:
            raise PipeyardError(f"The base image {image} isn't in its registry. Give --python-image one that is.")
        return image.at(found.digest)
