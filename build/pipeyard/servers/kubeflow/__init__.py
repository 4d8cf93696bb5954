"""Kubeflow Pipelines' API v2beta1, as far as what is built here goes there.

Why not kfp.Client: its constructor talks to the network and reads the home folder, no call has a time limit, nothing is
tried again, it waits for a canceled run forever, and more (tests/unit/servers/test_kubeflow_client_traps.py shows
each). Here the clients are used that KFP generates from its API definition (`kfp_server_api`), whose calls can have
time limits.

    connection    the server: time limits, repetition, what is said when it fails
    addresses     which may get a secret unencrypted
    client        the generated clients, made to say what went wrong
    credentials   who we are to the server; renewed when they expire
    deadlines     a call with a deadline, whatever it blocks on
    names         names and tags as the server takes them
    pages         lists that come in pages
    experiments   create-or-get
    pipelines     one pipeline of a name, a version for each content
    creation      what, done twice, would be two: made once, and looked for where that is in doubt
    runs          start, wait
    failed_steps  which steps of a run failed, and where their logs are
    cron          crontab's five fields as the six of KFP
    schedules     recurring runs
    cluster       the Kubernetes below: objects that the server made
    doctor        objects that no record knows, schedules too many
"""
