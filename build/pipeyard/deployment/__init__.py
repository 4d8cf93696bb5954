"""From packages in `dist/` to pipelines that run.

packages      a compiled pipeline, checked to be of what is checked out
desired       what is to be in force of it in an environment, checked before anything is contacted
stages        its steps, as the cache knows them
planning      what a deployment would change: a pure comparison
deploying     doing that; every step finds what an earlier try has done
launching     runs of what is deployed
approvals     of deployments, in git
bucket        Cloud Storage: what is written stays, and what moves, moves from what was seen
pointers      small objects there that move from commit to commit
uploads       packages there
records       what each environment has in force
targets       what a server can do: on_kubeflow and on_vertex do it, connecting chooses
vertex        Vertex AI's API
"""
