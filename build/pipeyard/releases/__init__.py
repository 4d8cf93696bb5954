"""What `pipeyard release` publishes.

shipments     what a build and a compilation left in `dist/`, checked to belong together
publication   releases in a component store, and channels that name one of them
supply_chain  all documents of a build's images: SBOMs and provenance
sbom          a software bill of materials, in CycloneDX
provenance    where images come from, as an in-toto statement
scanner       vulnerability scanners
signatures    signatures by cosign
"""
