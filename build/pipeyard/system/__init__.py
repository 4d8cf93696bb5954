"""The machine and the network below everything: nothing here knows of pipelines."""
