"""The components that are checked out, as a catalog's stock, with the pipelines beside them."""

from pipeyard.catalog import stored_components
from pipeyard.catalog.catalog_stores import CatalogStore
from pipeyard.catalog.released_facts import PipelineUse
from pipeyard.catalog.stored_components import Stock
from pipeyard.repository import dependency_graph
from pipeyard.repository.project import Project


def stock(project: Project) -> Stock:
    """Returns the components of a repository, and which of its pipelines load them.

    Raises:
        PipeyardError: there are no components.
    """
    store = CatalogStore(str(project.root / "components"), project.root.name)
    uses: dict[str, list[PipelineUse]] = {}
    for name, pipeline in project.pipelines.items():
        for component in sorted(dependency_graph.loaded_components(pipeline / "pipeline.py", project.components)):
            uses.setdefault(component, []).append(PipelineUse(name))
    return stored_components.read([store], uses)
