"""Writes defaults into the tasks that leave an input out.

The driver of KFP 2.17.0 resolves a container's arguments before it fills in defaults (kubeflow/pipelines#12598, mended
by #14175), and refuses the task: `parameter "format" not found in executor input`. A constant is there on any server.
"""

from pipeyard.compiling.passes.traversal import iterated
from pipeyard.ir.protobuf import pb


def written(spec: pb.PipelineSpec) -> pb.PipelineSpec:
    """Returns the pipeline with every defaulted input that a task leaves out as a constant of the task.

    Defaults of the pipeline's own parameters stay where they are: a run may give other values. Inputs without a default
    stay out.
    """
    changed = pb.PipelineSpec()
    changed.CopyFrom(spec)
    for component in (changed.root, *changed.components.values()):
        for task in component.dag.tasks.values():
            declared = changed.components[task.component_ref.name].input_definitions.parameters
            for name, definition in declared.items():
                if name in task.inputs.parameters or name == iterated(task):
                    continue
                if definition.default_value.WhichOneof("kind") not in (None, "null_value"):
                    task.inputs.parameters[name].runtime_value.constant.CopyFrom(definition.default_value)
    return changed
