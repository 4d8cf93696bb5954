"""SBOMs, provenance, scans and signatures: what they say, and that they are heeded."""

import importlib.metadata
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import small_repository

from pipeyard.commands.release import command
from pipeyard.errors import PipeyardError
from pipeyard.images import image_lock
from pipeyard.packages import dist_folder
from pipeyard.releases import provenance, sbom, supply_chain
from pipeyard.repository import changes, commits, project, venvs

ROOT = Path(__file__).parents[3]
PROJECT = project.find(ROOT)
COMMIT = commits.Commit("c" * 40, "c" * 40)
SOURCE = "https://git.example.com/pipeyard"


def _lock(*names: str, content: str = "") -> image_lock.Lock:
    images = {
        name: image_lock.Image(
            repository=f"host.io/team/{name}",
            tag=COMMIT.tag,
            content_tag="src-1",
            source="1" * 64,
            digest=small_repository.digest(name + content),
            bytes=1,
        )
        for name in names
    }
    bases = {name: f"host.io/{name}@{small_repository.digest(name)}" for name in ("python", "arrow", "tensorflow")}
    return image_lock.Lock(commit=COMMIT.tag, bases=bases, images=images)


@pytest.fixture(scope="module")
def boms():
    """SBOMs of two images of this repository: one on a shared image, one on a shared image on that."""
    built = _lock("extract", "train")
    texts = supply_chain.documents(PROJECT, built, COMMIT, SOURCE, "urn:test")
    return {name: json.loads(texts[dist_folder.sbom_path(name)]) for name in built.images}


def _packages(bom) -> set[tuple[str, str]]:
    return {(each["name"], each["version"]) for each in bom["components"] if each["type"] == "library"}


@pytest.mark.parametrize("name", ["extract", "train"])
def test_an_sbom_names_what_the_environment_holds_but_for_what_only_tests_need(boms, name):
    site = PROJECT.components[name].folder / ".venv/lib/python3.11/site-packages"
    if not site.is_dir():
        pytest.skip(f"components/{name} has no environment: make envs")
    installed = {
        (re.sub(r"[-_.]+", "-", each.name).lower(), each.version)
        for each in importlib.metadata.distributions(path=[str(site)])
    }
    packages = _packages(boms[name])
    assert packages <= installed
    names = {each for each, _ in packages}
    assert {"stepkit", "pyarrow"} <= names
    assert "pytest" not in names


def test_an_sbom_names_the_image_its_bases_and_which_packages_come_with_them(boms):
    about = boms["train"]["metadata"]["component"]
    digest = small_repository.digest("train")
    assert about["version"] == digest
    assert about["purl"] == f"pkg:oci/train@{digest.replace(':', '%3A')}?repository_url=host.io/team/train"
    bases = {each["name"]: each["version"] for each in boms["train"]["components"] if each["type"] == "container"}
    assert bases == {name: small_repository.digest(name) for name in ("python", "arrow", "tensorflow")}
    for base in ("arrow", "tensorflow"):
        held = {
            each["name"]
            for each in boms["train"]["components"]
            if {"name": sbom.IN_IMAGE, "value": base} in each.get("properties", [])
        }
        required = (ROOT / f"images/{base}/requirements.txt").read_text(encoding="utf-8")
        assert held == set(re.findall(r"^([\w.-]+)==", required, re.MULTILINE))
    below = {each["name"] for each in boms["extract"]["components"] if each["type"] == "container"}
    assert below == {"python", "arrow"}


def test_an_sbom_is_a_graph_from_the_image_to_every_package(boms):
    for bom in boms.values():
        whole = bom["metadata"]["component"]["bom-ref"]
        references = [whole, *(each["bom-ref"] for each in bom["components"])]
        assert len(set(references)) == len(references)
        edges = {each["ref"]: each.get("dependsOn", []) for each in bom["dependencies"]}
        reached, pending = set(), [whole]
        while pending:
            reference = pending.pop()
            if reference not in reached:
                reached.add(reference)
                pending += edges.get(reference, [])
        assert reached == set(references)


def test_the_same_images_have_the_same_documents_and_others_have_others():
    one, two = (supply_chain.documents(PROJECT, _lock("extract"), COMMIT, SOURCE, "urn:test") for _ in range(2))
    assert one == two
    other = supply_chain.documents(PROJECT, _lock("extract", content="2"), COMMIT, SOURCE, "urn:test")
    assert all(one[name] != other[name] for name in one)
    serials = {json.loads(each[dist_folder.sbom_path("extract")])["serialNumber"] for each in (one, other)}
    assert len(serials) == 2


def test_provenance_says_what_was_made_of_what_by_whom():
    built = _lock("train")
    document = json.loads(provenance.statement(PROJECT, built, COMMIT, SOURCE, "https://ci.example.com/main"))
    assert (document["_type"], document["predicateType"]) == (provenance.STATEMENT, provenance.PREDICATE)
    subjects = {each["name"]: each["digest"]["sha256"] for each in document["subject"]}
    assert subjects == {
        "host.io/team/train": small_repository.digest("train")[7:],
        **{f"host.io/{name}": small_repository.digest(name)[7:] for name in ("arrow", "tensorflow")},
    }
    definition, run = document["predicate"]["buildDefinition"], document["predicate"]["runDetails"]
    materials = {each.get("uri", each.get("name")): each["digest"] for each in definition["resolvedDependencies"]}
    assert materials[f"git+{SOURCE}@{COMMIT.sha}"] == {"gitCommit": COMMIT.sha}
    python = f"docker://host.io/python@{small_repository.digest('python')}"
    assert materials[python] == {"sha256": small_repository.digest("python")[7:]}
    uv_lock = (ROOT / "components/train/uv.lock").read_text(encoding="utf-8")
    assert materials["components/train/uv.lock"] == {"sha256": small_repository.digest(uv_lock)[7:]}
    assert definition["internalParameters"]["sources"] == {"train": "1" * 64}
    assert run["builder"]["id"] == "https://ci.example.com/main"
    assert run["byproducts"] == [
        {"name": image_lock.FILE, "digest": {"sha256": small_repository.digest(built.text())[7:]}}
    ]


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("https://user:secret@git.example.com/team/p.git", "https://git.example.com/team/p.git"),
        ("git@git.example.com:team/p.git", "ssh://git.example.com/team/p.git"),
        ("ssh://git@git.example.com:22/team/p.git", "ssh://git.example.com:22/team/p.git"),
        ("/srv/p.git", ""),
        ("file:///srv/p.git", ""),
        (None, ""),
    ],
)
def test_the_source_is_named_without_secrets_and_without_folders_of_a_machine(tmp_path, remote, source):
    git = changes.git_of(tmp_path)
    git(["init", "--quiet"])
    if remote:
        git(["remote", "add", "origin", remote])
    assert provenance.source_of(git) == source


def test_a_lock_that_uv_can_t_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("UV", venvs.uv(PROJECT))
    made = small_repository.make(tmp_path, components=("count",))
    (tmp_path / "components/count/uv.lock").write_text("no lock", encoding="utf-8")
    with pytest.raises(PipeyardError, match="The lock of count can't be read: (?s:.*)Run `pipeyard lock`"):
        sbom.export(made, "count")


def test_what_no_lock_tells_is_said_to_be_unknown(tmp_path):
    made = small_repository.make(tmp_path, components=("count",))
    (tmp_path / "components/count/uv.lock").unlink()
    bom = json.loads(sbom.of_image(made, "count", _lock("count"), sbom.export(made, "count")))
    assert _packages(bom) == set()
    unknown = {each for entry in bom["compositions"] for each in entry["assemblies"]}
    assert unknown == {each["bom-ref"] for each in bom["components"]}


@pytest.fixture
def shipped(tmp_path):
    made = small_repository.make(tmp_path / "repository")
    small_repository.build(made)
    return made


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Makes a program, a shell script, be found on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)

    return make


def _release(shipped, store: Path, *arguments: str):
    return CliRunner().invoke(command, [str(store), *arguments, "--project", str(shipped.root)])


def test_a_scanner_s_reports_are_kept_and_one_that_refuses_stops_the_release(tmp_path, shipped, program):
    program("scanner", 'cat "$1"; echo " of $2"; case "$2" in *count*) echo "CVE-1 is bad" >&2; exit 3;; esac')
    done = _release(shipped, tmp_path / "store", "--scan", "scanner {sbom} '{image}'")
    assert isinstance(done.exception, PipeyardError)
    assert re.search(r"scanner refuses 1 of 2 images.*count: exit code 3\nCVE-1 is bad", str(done.exception), re.DOTALL)
    assert not (tmp_path / "store").exists()
    reports = {path.name: path.read_text(encoding="utf-8") for path in (shipped.root / "dist/scans").iterdir()}
    assert set(reports) == {"count.txt", "show.txt"}  # all were scanned
    bom = (shipped.root / "dist/sboms/show.cdx.json").read_text(encoding="utf-8")
    assert reports["show.txt"] == f"{bom} of host.io/team/show@{small_repository.digest('show')}\n"
    program("scanner", "exit 0")
    assert _release(shipped, tmp_path / "store", "--scan", "scanner {sbom}").exit_code == 0
    assert (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        ("no-such-scanner sbom:{sbom}", "no-such-scanner isn't on PATH. Install it, or leave out --scan"),
        ("cat {sbm}", r"has {sbm}. Did you mean 'sbom'"),
        (" ", "--scan is empty"),
    ],
)
def test_a_scan_that_can_t_be_is_no_scan_that_passes(tmp_path, shipped, scan, message):
    done = _release(shipped, tmp_path / "store", "--scan", scan)
    assert isinstance(done.exception, PipeyardError)
    assert re.search(message, str(done.exception))
    assert not (tmp_path / "store").exists()


def test_images_are_signed_and_their_documents_attested_before_they_are_released(tmp_path, shipped, program):
    store, calls = tmp_path / "store", tmp_path / "calls"
    program("cosign", f'[ -e {store} ] && exit 9; for word; do echo "$word"; done >> {calls}; echo . >> {calls}')
    done = _release(shipped, store, "--sign", "--sign-option", "--key=a key")
    assert done.exit_code == 0, done.exception
    made = [call.split("\n") for call in calls.read_text(encoding="utf-8").strip(".\n").split("\n.\n")]
    image = f"host.io/team/count@{small_repository.digest('count')}"
    of_count = [call for call in made if call[-1] == image]
    assert of_count[0] == ["sign", "--yes", "--key=a key", image]
    assert [call[:3] for call in of_count[1:]] == [
        ["attest", "--yes", "--type=slsaprovenance1"],
        ["attest", "--yes", "--type=cyclonedx"],
    ]
    assert of_count[2][3] == f"--predicate={shipped.root}/dist/sboms/count.cdx.json"
    assert len(made) == 6


def test_what_is_attested_is_the_provenance_alone(tmp_path, shipped, program):
    program("cosign", f'case "$3" in --type=slsa*) cp "${{4#--predicate=}}" {tmp_path}/predicate;; esac')
    assert _release(shipped, tmp_path / "store", "--sign").exit_code == 0
    statement = json.loads((shipped.root / "dist" / dist_folder.PROVENANCE).read_text(encoding="utf-8"))
    assert json.loads((tmp_path / "predicate").read_text(encoding="utf-8")) == statement["predicate"]


def test_without_cosign_it_is_said(tmp_path, shipped, program):
    done = _release(shipped, tmp_path / "store", "--sign")
    assert "--sign: cosign isn't on PATH" in str(done.exception)
    assert not (tmp_path / "store").exists()
    done = _release(shipped, tmp_path / "store")
    assert "aren't signed: cosign isn't on PATH" in done.stderr
    program("cosign", "echo 'no key' >&2; exit 1")
    done = _release(shipped, tmp_path / "other", "--sign")
    assert re.search(r"cosign sign of host.io/team/count@\S+ failed \(exit code 1\): no key", str(done.exception))
    assert not (tmp_path / "other").exists()
