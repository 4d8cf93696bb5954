"""A catalog's pages: the search, what connects to what, and one a component.

What stores say is somebody else's text: templates escape all of it, and pages but the search have no script, which
their Content-Security-Policy says, too. Each page stands alone: styles and index are in it, and nothing is asked of
the network. The same stores give the same bytes: no page has a time.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from pipeyard.catalog import connections, snippets
from pipeyard.catalog.catalog_stores import CatalogStore
from pipeyard.catalog.connections import Beside
from pipeyard.catalog.stored_components import Stock, StoredComponent, StoredVersion
from pipeyard.runs import formats, graph
from pipeyard.runs.record import Task
from pipeyard_components import compatibility
from pipeyard_components.compatibility import Comparison
from pipeyard_components.interfaces import PREFIX, Port

SEARCH = "index.html"
GRAPH = "connections.html"
_TEMPLATES = Path(__file__).parent / "templates"
# Of what connects to a component: so many are named, the search has all.
_MOST_BESIDE = 12
_MOST_DRAWN = 7  # a side
_MOST_IN_GRAPH = 40
_SHORT = 240  # characters of a description in the search
_TONES = {"breaking": "bad", "behaviour": "warn", "compatible": "good", "yanked": "bad", "deprecated": "warn"}


@dataclass(frozen=True)
class VersionShown:
    """A version on its component's page.

    Attributes:
        comparison: with the version before it; None: there is none here.
    """

    version: StoredVersion
    comparison: Comparison | None


@dataclass(frozen=True)
class NodeDrawn:
    """A component in the drawing of what is beside another; `y` is its middle, in pixels."""

    component: StoredComponent
    labels: str
    y: int


@dataclass(frozen=True)
class Drawing:
    """What a component takes from (left) and gives to (right)."""

    left: list[NodeDrawn]
    right: list[NodeDrawn]
    height: int


def render(stock: Stock) -> dict[str, bytes]:
    """Returns the pages by path."""
    site = _Site(stock)
    pages = {SEARCH: site.search_page(), GRAPH: site.graph_page()}
    pages |= {_path(each): site.component_page(each) for each in stock.components}
    return {path: text.encode() for path, text in pages.items()}


class _Site:
    """What all pages share."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._connections = connections.of(stock.components)
        self._named: dict[str, list[StoredComponent]] = {}
        for each in stock.components:
            self._named.setdefault(each.name.replace("-", "_").lower(), []).append(each)
        self._style = (_TEMPLATES / "catalog.css").read_text(encoding="utf-8")
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_TEMPLATES),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._environment.filters |= {
            "size": formats.size,
            "counted": formats.counted,
            "is_artifact": connections.is_artifact,
            "label": connections.label,
            "domain": _domain,
            "address": _address,
        }
        self._environment.globals |= {
            "style": Markup(self._style),
            "style_hash": _hash(self._style),
            "stock": stock,
            "tones": _TONES,
            "fitted": graph.fitted,
        }

    def search_page(self) -> str:
        script = (_TEMPLATES / "search.js").read_text(encoding="utf-8")
        return self._page(
            "search",
            SEARCH,
            script=Markup(script),
            script_hash=_hash(script),
            index=Markup(_embedded(self._index)),
            labels=self._labels,
        )

    def graph_page(self) -> str:
        rows = [
            (label, self._connections.makers.get(label, []), self._connections.takers.get(label, []))
            for label in self._connections.labels
        ]
        drawn, tasks = self._drawn
        return self._page("connections", GRAPH, rows=rows, drawn=drawn, box=graph, by_path=tasks)

    def component_page(self, component: StoredComponent) -> str:
        upstream = self._connections.upstream(component, _MOST_BESIDE)
        downstream = self._connections.downstream(component, _MOST_BESIDE)
        version = component.current
        interface = version.interface
        return self._page(
            "component",
            _path(component),
            component=component,
            version=version,
            interface=interface,
            annotations={
                key.removeprefix(PREFIX): value for key, value in interface.annotations.items() if _is_text(value)
            },
            python=snippets.python(component.store, component.name, version.digest, interface),
            lock_line=snippets.lock_line(component.store, component.name, version.digest),
            upstream=upstream,
            downstream=downstream,
            drawing=_draw(upstream, downstream),
            elsewhere=[each for each in self._named[component.name.replace("-", "_").lower()] if each is not component],
            versions=_versions(component.versions),
        )

    def _page(self, template: str, path: str, **values: Any) -> str:
        up = "../" * path.count("/")
        return self._environment.get_template(f"{template}.html.j2").render(
            root=up,
            search_page=f"{up}{SEARCH}",
            graph_page=f"{up}{GRAPH}",
            page_of=lambda component: f"{up}{_address(_path(component))}",
            file_of=lambda store, file: _link(store, file, up),
            **values,
        )

    @cached_property
    def _index(self) -> dict[str, Any]:
        """What the search knows; `search.js` reads it."""
        return {
            "stores": [each.name for each in self._stock.stores],
            "components": [self._entry(each) for each in self._stock.components],
        }

    def _entry(self, component: StoredComponent) -> dict[str, Any]:
        interface, state = component.current.interface, component.current.state
        text = " ".join(interface.description.split())
        return {
            "name": component.name,
            "text": text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}\N{HORIZONTAL ELLIPSIS}",
            "page": _address(_path(component)),
            "store": self._stock.stores.index(component.store),
            "version": interface.version,
            "state": state.state if state else "",
            "takes": [_searched(each) for each in interface.inputs.values()],
            "gives": [_searched(each) for each in interface.outputs.values()],
        }

    @property
    def _labels(self) -> dict[str, list[str]]:
        """What can be looked for among inputs and among outputs: artifacts, then values."""
        found = {}
        for side in ("takes", "gives"):
            ports = {each[1] for entry in self._index["components"] for each in entry[side]}
            found[side] = sorted(ports, key=lambda each: (each.lower(), each))
        return found

    @property
    def _drawn(self) -> tuple[graph.Layout | None, dict[str, StoredComponent]]:
        """The whole graph, where it is small enough to be looked at."""
        few = self._stock.components if len(self._stock.components) <= _MOST_IN_GRAPH else ()
        makers = {_path(each): self._connections.upstream(each, _MOST_IN_GRAPH) for each in few}
        upstream = {path: {_path(made) for each in found for made in each.shown} for path, found in makers.items()}
        linked = {path for path, sources in upstream.items() if sources}.union(*upstream.values())
        by_path = {path: each for each in self._stock.components if (path := _path(each)) in linked}
        tasks = [
            Task(path=path, name=each.name, component=each.name, upstream=sorted(upstream[path]))
            for path, each in by_path.items()
        ]
        return (graph.lay_out(tasks) if tasks else None), by_path


def _path(component: StoredComponent) -> str:
    return f"components/{component.store.name}/{component.name}.html"


def _address(path: str) -> str:
    return quote(path)


def _link(store: CatalogStore, file: str, up: str) -> str:
    """Returns the address of a store's file on a page; '' where a browser can't follow any."""
    if not store.links or not file:
        return ""
    return f"{'' if '://' in store.links else up}{store.links}/{quote(file)}"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _embedded(value: Any) -> str:
    """Returns JSON that ends no element and begins no comment of HTML, whatever it holds."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _searched(port: Port) -> list[str]:
    return [port.name, connections.label(port), connections.kfp_type(port)]


def _domain(port: Port) -> str:
    """Says which values there are, as people write it."""
    domain = dict(port.domain)
    parts = []
    if isinstance(domain.get("enum"), list):
        parts.append(", ".join(each if isinstance(each, str) else json.dumps(each) for each in domain.pop("enum")))
    for key, sign in (
        ("minimum", "\N{GREATER-THAN OR EQUAL TO}"),
        ("exclusiveMinimum", ">"),
        ("maximum", "\N{LESS-THAN OR EQUAL TO}"),
        ("exclusiveMaximum", "<"),
    ):
        if key in domain:
            parts.append(f"{sign} {json.dumps(domain.pop(key))}")
    parts += [f"{key}: {json.dumps(value)}" for key, value in sorted(domain.items())]
    return "; ".join(parts)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _draw(upstream: Iterable[Beside], downstream: Iterable[Beside]) -> Drawing | None:
    sides = []
    for found in (upstream, downstream):
        labels: dict[str, tuple[StoredComponent, list[str]]] = {}
        for each in found:
            for other in each.shown:
                labels.setdefault(_path(other), (other, []))[1].append(each.label)
        sides.append(list(labels.values())[:_MOST_DRAWN])
    height = max(len(side) for side in sides) * 58 + 16
    if not any(sides):
        return None
    left, right = (
        [
            NodeDrawn(component, ", ".join(dict.fromkeys(names)), (height - len(side) * 58) // 2 + number * 58 + 29)
            for number, (component, names) in enumerate(side)
        ]
        for side in sides
    )
    return Drawing(left, right, height)


def _versions(versions: Sequence[StoredVersion]) -> list[VersionShown]:
    """Returns versions from new to old, each compared with the one before it."""
    found = [
        VersionShown(
            version, compatibility.compare(versions[number - 1].interface, version.interface) if number else None
        )
        for number, version in enumerate(versions)
    ]
    return found[::-1]
