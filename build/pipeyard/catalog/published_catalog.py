"""The catalog of a store, published in it beside its releases.

Whoever publishes looks at the manifest first, reads the store, writes pages, and the manifest last, if it is still what
it was. Else somebody else published meanwhile, and all begins anew: so pages end as those of the newest state.
"""

from concurrent.futures import ThreadPoolExecutor

from pipeyard.catalog import catalog_folder, catalog_pages, stored_components
from pipeyard.catalog.catalog_stores import CatalogStore
from pipeyard.errors import PipeyardError
from pipeyard.releases.publication import Ledger
from pipeyard.releases.writable_places import NO_FILE, PlaceChanged
from pipeyard_components import layout
from pipeyard_components.places import FileMissing

# Where it is in a store; its pages lead to the store's files by RELATIVE.
FOLDER = f"{layout.RELEASES}/catalog"
RELATIVE = "../.."
_ATTEMPTS = 20
_THREADS = 8


def publish(ledger: Ledger, place: str) -> list[str]:
    """Publishes the catalog of a store in it; returns what of it couldn't be read.

    Args:
        place: the store, as pages name it.

    Raises:
        PipeyardError: the store can't be read or written.
    """
    store = CatalogStore(place, "components", RELATIVE)
    manifest = f"{FOLDER}/{catalog_folder.MANIFEST}"
    for _ in range(_ATTEMPTS):
        try:
            _, mark = ledger.look(manifest)
        except FileMissing:
            mark = NO_FILE
        stock = stored_components.read([store], ledger_of=lambda _: ledger)
        pages = catalog_pages.render(stock)
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda each: _write(ledger, *each), pages.items()))
        new = catalog_folder.manifest(pages)
        try:
            if ledger.read(manifest) != new:
                ledger.write(manifest, new, mark)
            return list(stock.problems)
        except PlaceChanged:
            continue
    raise PipeyardError(f"{ledger.place.location(FOLDER)} is changed by others all the time. Run again.")


def _write(ledger: Ledger, path: str, data: bytes) -> None:
    if ledger.read(f"{FOLDER}/{path}") != data:
        ledger.write(f"{FOLDER}/{path}", data)
