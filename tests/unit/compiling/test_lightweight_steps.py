"""What steps of Python's image need: which Python, which packages; and what can't run without a container."""

import pytest
from kfp import dsl

from pipeyard.compiling.passes import lightweight
from pipeyard.errors import PipeyardError

IMAGES = {
    "python:3.11": "3.11",
    "python:3.12-slim": "3.12",
    "python:3.12.4-slim-bookworm": "3.12.4",
    "python:3.13-alpine": "3.13",
    "docker.io/library/python:3.10": "3.10",
    "mirror.example/docker/library/python:3.9": "3.9",
    f"python:3.11@sha256:{'0' * 64}": "3.11",
}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_which_python(image):
    assert lightweight.is_python(image)
    assert lightweight.needed({"image": image, "command": ["python3", "-c", ""]}).version == IMAGES[image]


@pytest.mark.parametrize(
    "image", ["acme/python:3.11", "pipeyard/extract:dev", "python-tools:3.11", "a.example/python:3"]
)
def test_other_images_are_not_python_s(image):
    assert not lightweight.is_python(image)


@pytest.mark.parametrize("tag", ["", ":latest", ":3", ":slim", ":2.7", ":3.11-windowsservercore"])
def test_an_image_that_does_not_say_which_python_is_refused(tag):
    with pytest.raises(PipeyardError, match="doesn't say which Python 3 it has, .* Write the version: python:3.11."):
        lightweight.needed({"image": f"python{tag}", "command": ["python3"]})


def _function() -> str:
    return ""


def _needed(**how):
    container = dsl.component(base_image="python:3.11", **how)(_function).component_spec.implementation.container
    return lightweight.needed({"image": container.image, "command": container.command, "args": container.args})


def test_a_function_s_packages_are_those_of_its_command():
    plain = _needed()
    assert (plain.name, plain.own) == ("_function", "")
    assert "'kfp==" in plain.bootstrap and plain.bootstrap.rstrip().endswith('&& "$0" "$@"')
    assert "'acme==1'" in _needed(packages_to_install=["acme==1"]).bootstrap
    assert "--index-url https://i.example" in _needed(pip_index_urls=["https://i.example"]).bootstrap
    assert "'acme'" in _needed(packages_to_install=["acme"], install_kfp_package=False).bootstrap
    with pytest.raises(PipeyardError, match="'_function' is called by kfp, which the image 'python:3.11' hasn't got"):
        _needed(install_kfp_package=False)


def test_commands_that_install_packages_share_no_environment():
    def own(text):
        return lightweight.needed({"image": "python:3.11", "command": ["sh", "-c", text]}).own

    assert own("echo done") == own("python3 -c ''") == ""
    assert len({own("pip install a"), own("pip install b"), own("python3 -m pip install a"), ""}) == 4


@pytest.mark.parametrize("command", ["apt-get update && apt-get install -y git", "apk add git"])
def test_a_command_that_would_change_the_machine_is_refused(command):
    with pytest.raises(PipeyardError, match=r"its command calls ap[tk-]+(get)?, which would change this machine"):
        lightweight.needed({"image": "python:3.11-alpine", "command": ["sh", "-c", command]})
