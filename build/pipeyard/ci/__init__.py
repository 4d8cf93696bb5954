"""The delivery flow on CI servers: rendered from one description, and linted. `emulator` executes it on this machine.

flow              the flow, once
rendered_files    all files that are rendered from it
cloudbuild        it as `cloudbuild.yaml` and triggers
jenkins           it as a Jenkinsfile
github            it as a workflow of GitHub Actions
yaml_style        YAML as people would write it
documents         YAML files of CI servers, with their lines
build_config      a build of Cloud Build's: steps, what each waits for, limits
substitutions     `$NAME` in a build's fields
push_triggers     which triggers a push starts
cloudbuild_rules  what is wrong with a build or a trigger, before Cloud Build tells
linter            all files of a project: linted, and compared with what they are rendered from
passed            what has passed on a tree isn't run again
"""
