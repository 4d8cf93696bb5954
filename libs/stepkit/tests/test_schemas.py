import struct

import pytest

from stepkit import schemas
from stepkit.errors import StepError

TEXT = """
feature { name: "fare" type: FLOAT }
feature { name: "company" type: BYTES lifecycle_stage: PRODUCTION }
feature { name: "area" type: INT lifecycle_stage: BETA }
feature { name: "tips" type: FLOAT not_in_environment: "SERVING" }
default_environment: "TRAINING"
default_environment: "SERVING"
"""


def names(text: str, environment: str = "") -> list[str]:
    return [feature.name for feature in schemas.in_use(schemas.parse(text, "here"), environment)]


def test_types_of_an_environment(tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text(TEXT)
    serving = {"fare": "FLOAT", "company": "BYTES", "area": "INT"}
    assert schemas.read_types(str(path), schemas.SERVING) == serving
    assert list(schemas.read_types(str(path), schemas.SERVING)) == list(serving)
    assert schemas.read_types(str(path), schemas.TRAINING) == {**serving, "tips": "FLOAT"}
    assert schemas.types(schemas.read(str(path)).feature, "here") == {**serving, "tips": "FLOAT"}


@pytest.mark.parametrize("stage", ["PLANNED", "ALPHA", "DEPRECATED", "DEBUG_ONLY", "DISABLED", "VALIDATION_DERIVED"])
def test_stages_that_are_not_in_use(stage):
    assert names(f'feature {{ name: "a" lifecycle_stage: {stage} }} feature {{ name: "b" }}') == ["b"]


def test_deprecated_feature_is_not_in_use():
    assert names('feature { name: "a" deprecated: true } feature { name: "b" deprecated: false }') == ["b"]


# What TFDV 1.16.1 requires of data in these environments; without a default_environment it refuses any.
@pytest.mark.parametrize(
    ("feature", "default", "environments"),
    [
        ("", "AB", "AB"),
        ("", "A", "A"),
        ('in_environment: "A"', "AB", "AB"),
        ('in_environment: "A"', "B", "AB"),
        ('not_in_environment: "A"', "AB", "B"),
        ('in_environment: "A" not_in_environment: "A"', "AB", "AB"),
        ("", "", "AB"),
        ('in_environment: "A"', "", "A"),
        ('not_in_environment: "A"', "", "B"),
    ],
)
def test_environments(feature, default, environments):
    text = f'feature {{ name: "f" {feature} }}' + "".join(f' default_environment: "{name}"' for name in default)
    assert [name for name in "AB" if names(text, name)] == list(environments)
    assert names(text) == ["f"]


def test_missing_values_fit_their_types():
    assert struct.pack("<q", schemas.MISSING["INT"]) == b"\0" * 7 + b"\x80"
    assert schemas.MISSING["FLOAT"] != schemas.MISSING["FLOAT"]  # NaN
    assert schemas.MISSING["BYTES"] == b""


def failure(path, environment: str = schemas.TRAINING) -> str:
    with pytest.raises(StepError) as caught:
        schemas.read_types(str(path), environment)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('feature {\n  name: "fare"\n  typo: FLOAT\n}', "error in line 3: 'typo: FLOAT'"),
        ('feature {\n  name: "fare"\n', "error in line 2"),
        ("feature { deprecated: 3 }", "error in line 1"),
        ('feature { name: "a" type: INT } feature { name: "a" type: INT }', "has the feature 'a' twice. Remove one"),
        ('feature { name: "a" type: STRUCT }', "'a' the type STRUCT, which no column has. Set it to INT, FLOAT or"),
        ('feature { name: "a" }', "'a' the type TYPE_UNKNOWN"),
        ("", "has no features in use"),
        ('feature { name: "a" type: INT not_in_environment: "TRAINING" }', "no feature in the environment TRAINING"),
    ],
)
def test_bad_schema(tmp_path, text, message):
    path = tmp_path / "schema.pbtxt"
    path.write_text(text)
    assert message in failure(path)


def test_no_file(tmp_path):
    assert "No schema at" in failure(tmp_path / "none")
    assert "No schema at" in failure(tmp_path)


def test_file_that_is_no_text(tmp_path):
    (tmp_path / "schema.pb").write_bytes(b"\n\xff\x00")
    assert "isn't UTF-8 text" in failure(tmp_path / "schema.pb")
