"""From packages in `dist/` to pipelines that run: `pipeyard plan`, `upload`, `deploy`, `approve`.

desired        the desired state of an environment, checked before anything is contacted
cache_keys     a pipeline's steps, as the cache of Kubeflow Pipelines knows them
planner        what a deployment would change: a pure comparison
deployer       doing that; every step finds what an earlier try has done
deployed_runs  what a run on a server is started with: what is deployed
approvals      of deployments, in git
pointers       small objects in Cloud Storage that move from commit to commit
uploads        packages there
records        what each environment has in force
targets        what each target does: runs, and deployments on servers
"""
