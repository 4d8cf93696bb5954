"""A large component store, and how quickly its catalog is searched.

catalog_site.py make FOLDER COMPONENTS    writes a store: three versions of a dozen inputs each
catalog_site.py search FOLDER             searches the catalog in a browser; prints the slowest search's median as JSON
"""

import json
import shutil
import statistics
import sys
from pathlib import Path

from pipeyard_components import layout

_KINDS = ("Examples", "Schema", "SavedModel", "Statistics", "Report", "Features", "Embeddings", "Predictions")
_WORDS = ("reads", "writes", "trains", "checks", "joins", "splits", "counts", "serves", "rows", "models", "tables")
# What people type, and what finds everything.
_ASKED = (
    {"words": "trains models"},
    {"words": "e"},
    {"takes": "Examples"},
    {"takes": "Examples", "gives": "SavedModel", "words": "rows"},
    {"words": ""},
)
_SEARCH = """([asked, times]) => {
  const told = [];
  for (let turn = 0; turn < times; turn++) {
    for (const name of ["words", "takes", "gives"]) document.getElementById(name).value = asked[name] || "";
    const began = performance.now();
    document.getElementById("search").dispatchEvent(new Event("input"));
    document.body.offsetHeight;  // laid out, too
    told.push(performance.now() - began);
  }
  return told;
}"""


def _spec(number: int, version: int) -> bytes:
    takes, gives = _KINDS[number % len(_KINDS)], _KINDS[(number // 3 + 1) % len(_KINDS)]
    words = " ".join(_WORDS[(number * step) % len(_WORDS)] for step in (1, 3, 5, 7))
    lines = [
        f"name: component_{number:04}",
        f"description: Number {number} {words}.",
        "metadata:",
        "  annotations:",
        f"    pipeyard.dev/version: {version}.0.0",
        f'    pipeyard.dev/input-types: \'{{"given": "{takes}"}}\'',
        f'    pipeyard.dev/output-types: \'{{"made": "{gives}"}}\'',
        "inputs:",
        "- {name: given, type: Dataset, description: 'What it works on'}",
        *(
            f"- {{name: option_{each}, type: Integer, default: '{each + version}', optional: true, "
            f"description: 'How often {_WORDS[(number + each) % len(_WORDS)]}'}}"
            for each in range(11)
        ),
        "outputs:",
        "- {name: made, type: Dataset, description: 'What came of it'}",
        "- {name: report, type: HTML, description: 'Readable offline'}",
        "implementation:",
        "  container:",
        f"    image: host.io/team/component_{number:04}@sha256:{number * 10 + version:064x}",
        f"    command: [python, -m, component_{number:04}]",
        "    args:",
        "    - {inputPath: given}",
        *(f"    - {{inputValue: option_{each}}}" for each in range(11)),
        "    - {outputPath: made}",
        "    - {outputPath: report}",
    ]
    return "\n".join(lines).encode()


def _make(folder: Path, components: int) -> None:
    for number in range(components):
        for version in (1, 2, 3):
            spec = _spec(number, version)
            for path, data in layout.publication(f"component_{number:04}", spec, [f"v{version}"]).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)


def _search(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if not chromium:
        raise SystemExit("no chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.goto((folder / "index.html").absolute().as_uri())
        slowest = max(statistics.median(tab.evaluate(_SEARCH, [asked, 9])) for asked in _ASKED)
        browser.close()
    print(json.dumps({"search_ms": slowest}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        _make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        _search(Path(sys.argv[2]))
