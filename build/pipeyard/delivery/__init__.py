"""From packages in `dist/` to pipelines that run: uploads, plans, deployments, approvals, runs."""
