"""What `pipeyard check` does: components, their programs, environments and pipelines keep what they promise each other.

checker       all of it together
spec_rules    a component.yaml by itself
arguments     which flags a spec passes
program       a spec against its program; asks it with `probe`
probe         the flags of a program, in the component's own environment
agreement     one flag of both
kinds         types of inputs that are passed by value
kfp_versions  whether specs load in both kfp's
wheels        whether a lock can be installed in an image
dry_run       whether programs write what their specs declare
single_runs   a component that no pipeline of the dry run loads, by itself
generated     whether what is made of other files is as they are
readmes       tables in READMEs, one of those
parameters    an environment's parameters against the pipelines as they would be compiled now
"""
