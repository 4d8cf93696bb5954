"""Tables of READMEs, rendered from specs."""

from pipeyard.checks import readmes
from pipeyard.repository import project


def test_readme_tables_are_written_between_their_markers(tmp_path):
    folder = tmp_path / "components" / "demo"
    folder.mkdir(parents=True)
    (tmp_path / "pipelines").mkdir()
    (folder / "component.yaml").write_text(
        "name: demo\ndescription: Shows | tells.\n"
        "inputs:\n"
        "- {name: a, type: Integer, default: '3', optional: true, description: x | y}\n"
        "- {name: b, type: Dataset}\n"
        "outputs: [{name: c, type: Model, description: z}]\n"
    )
    (folder / "README.md").write_text("# demo\n<!-- interface:begin -->\nold\n<!-- interface:end -->\nend\n")
    (tmp_path / "README.md").write_text("<!-- components:begin --><!-- components:end -->")
    wanted = readmes.expected(project.find(tmp_path))
    text = wanted[folder / "README.md"]
    assert "| `a` | Integer | `3` | x \\| y |" in text
    assert "| `b` | Dataset | required |  |" in text
    assert "| `c` | Model | z |" in text
    assert "old" not in text
    assert text.endswith("\nend\n")
    assert "| [demo](components/demo) | Shows \\| tells. |" in wanted[tmp_path / "README.md"]
