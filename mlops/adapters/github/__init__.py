"""GitHub: the only place that knows we are in Actions.

`event` says why a workflow runs, `runner` speaks to the runner (summary, annotations, outputs, log), `api` asks
GitHub, and beside it stands what is asked for: `comments`, `deployments`, `artifacts`, `pulls`, `settings`.
"""
