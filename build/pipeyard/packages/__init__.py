"""What `pipeyard build` and `pipeyard compile` leave in `dist/`, and how it is read again.

component_specs  a committed `component.yaml` with another image
dist_folder      what a build leaves: specs, SBOMs, provenance, and then the lock that says they are whole
builds           which build there is, and what is compiled of it
archives         `workflow.tar.gz` for KFP, one JSON document for Vertex AI
packages         a compiled pipeline, checked to be of what is checked out
"""
