"""The catalog: component stores as a static site. `stored_components` reads them, `catalog_pages` makes the pages."""
