"""What goes wrong in builds and pushes: each time a clear error, nothing half-published, and then success."""

import pytest
from gate import Gate
from projects import finished
from sandbox import engine as engines
from tiny_project import COMPONENTS, dockerfile

MIB = 1 << 20
FILL = "dd if=/dev/zero of=/large bs=1M count=500"


def _nothing_published(project, registry):
    assert project.published() == []
    for name in COMPONENTS:
        repository = f"{project.prefix.split('/', 1)[1]}/{name}"
        assert project.head not in registry.tags(repository)
        assert registry.missing(repository) == []


def _all_published(project, registry, built):
    assert built.code == 0, built.said
    assert "images.lock.json" in project.published()
    for name in COMPONENTS:
        repository = f"{project.prefix.split('/', 1)[1]}/{name}"
        assert project.head in registry.tags(repository)
        assert registry.missing(repository) == []


def test_an_engine_that_is_killed_in_a_build(make_project, registry, base_image):
    with engines.running() as own, Gate().serving() as gate:
        project = make_project(using=own)
        project.commit({"components/hello/Dockerfile": dockerfile("hello", gate.step)})
        process = project.start_build()
        assert gate.arrived.wait(120), "the build has not come so far"
        own.kill()
        built = finished(process)
        assert built.code == 1
        assert "building" in built.said
        assert "the engine doesn't answer any more" in built.said
        assert "Traceback" not in built.said
        _nothing_published(project, registry)
        gate.open()
        own.start()
        _all_published(project, registry, project.build())


@pytest.mark.parametrize("fault", ["manifests fail", "uploads break"])
def test_a_registry_that_is_broken(make_project, registry, bad_day, fault):
    project = make_project(bad_day.host)
    bad_day.break_down(fault)
    built = project.build()
    assert built.code == 1
    assert f"pushing {bad_day.host}" in built.said
    assert "Pushes tried: " in built.said
    assert "Traceback" not in built.said
    assert bad_day.happened >= 2  # each push is tried again; whether the second image's begins is a matter of time
    _nothing_published(project, registry)
    bad_day.heal()
    _all_published(project, registry, project.build())


@pytest.mark.parametrize("fault", ["manifests fail", "uploads break"])
def test_a_registry_that_fails_once(make_project, registry, bad_day, fault):
    project = make_project(bad_day.host)
    bad_day.break_down(fault, times=1)
    _all_published(project, registry, project.build())
    assert bad_day.happened == 1


def test_a_full_disk(make_project, registry):
    with engines.state_folder(400 * MIB) as folder:
        own = engines.Engine(folder)
        try:
            project = make_project(using=own)
            project.commit({"components/hello/Dockerfile": dockerfile("hello", FILL)})
            built = project.build()
            assert built.code == 1
            assert "The disk is full: make room" in built.said
            assert "Traceback" not in built.said
            _nothing_published(project, registry)
            engines.resize(folder, 2000 * MIB)
            _all_published(project, registry, project.build())
        finally:
            own.stop()
