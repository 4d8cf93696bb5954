"""Where pipelines are deployed and run, a module a target.

interface  what each can do: `Runs` all, `Deployments` servers
choice     which one an environment has: the table
local      this machine
server     what servers have in common
kfp        Kubeflow Pipelines
vertex     Vertex AI
"""
