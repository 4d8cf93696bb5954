"""What is done with a pipeline's intermediate representation after kfp compiled it, and what is looked for in it.

Functions from specification to specification, or to what is wrong with it; none reads or writes anything.

    defaults        writes components' defaults into the tasks that leave them out
    cache_switch    turns KFP's cache off for steps that read outside the run
    driver          what KFP's driver can't start
    argument_sizes  what is too large to start a step with
    lightweight     what steps of Python's image need of it
    local_images    what this machine can't run without a container engine
"""
