"""Where pipelines are deployed and run, a module a target.

interface  what each can do
choice     which one an environment has
kfp        Kubeflow Pipelines
vertex     Vertex AI
"""
