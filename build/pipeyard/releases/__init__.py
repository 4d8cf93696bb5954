"""What `pipeyard release` publishes.

shipments     what a build and a compilation left in `dist/`, checked to belong together
publication   releases in a component store, and channels that name one of them
writable_registry  the same in an OCI registry
kfp_repository  pipelines and components in an Artifact Registry repository of format KFP
supply_chain  all documents of a build's images: SBOMs and provenance
sbom          a software bill of materials, in CycloneDX
provenance    where images come from, as an in-toto statement
scanner       vulnerability scanners
signatures    signatures by cosign
"""
