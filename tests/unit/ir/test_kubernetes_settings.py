"""What `kfp.kubernetes` sets for steps, in the words that plans have."""

from types import SimpleNamespace

from support.compiled_pipelines import compiled

from pipeyard import ir
from pipeyard.deployment import planner, records
from pipeyard.deployment.desired import Desired
from pipeyard.ir import derivation
from pipeyard.settings import Environment

BODY = """
from kfp import kubernetes

@dsl.container_component
def step(x: str = 'x'):
    return dsl.ContainerSpec(image='acme/step:1', command=['echo', x])

@dsl.pipeline
def p(name: str = 'db'):
    claim = kubernetes.CreatePVC(access_modes=['ReadWriteOnce'], size='1Gi', pvc_name_suffix='-x')
    first = step()
    kubernetes.use_secret_as_env(first, secret_name='db', secret_key_to_env={'password': 'PASSWORD', 'user': 'USER'})
    kubernetes.use_secret_as_env(first, secret_name=name, secret_key_to_env={'token': 'TOKEN'})
    kubernetes.use_secret_as_volume(first, secret_name='tls', mount_path='/tls')
    kubernetes.use_config_map_as_env(first, config_map_name='app', config_map_key_to_env={'mode': 'MODE'})
    kubernetes.mount_pvc(first, pvc_name='data', mount_path='/data')
    kubernetes.mount_pvc(first, pvc_name=claim.outputs['name'], mount_path='/made')
    second = step(x='y')
    kubernetes.add_node_selector(second, 'pool', 'gpu')
    kubernetes.add_toleration(second, key='gpu', operator='Exists', effect='NoSchedule')
    kubernetes.set_timeout(second, 30)
    kubernetes.add_pod_label(second, 'team', 'x')
    kubernetes.set_image_pull_policy(second, 'Always')
    kubernetes.set_image_pull_secrets(second, ['registry'])
    kubernetes.use_field_path_as_env(second, 'POD', 'metadata.name')
"""
FIRST = (
    "config map app as MODE; volume claim data at /data; volume claim of an input at /made; "
    "secret db as PASSWORD, USER; secret of an input as TOKEN; secret tls at /tls"
)
SECOND = (
    "timeout 30 s; metadata.name as POD; pull policy Always; pull secret registry; node selector pool=gpu; "
    "labels team=x; toleration gpu (NoSchedule)"
)


def test_what_is_set_compiles_and_is_told_by_step(tmp_path):
    text = compiled(tmp_path, {}, BODY).text
    place = Environment(
        name="dev", target="kfp", host="https://kfp.example", bucket="gs://acme", pipeline_root="gs://acme"
    )
    package = SimpleNamespace(pipeline="p", commit="c" * 40, sha256="0" * 64, images={}, text=text)
    lines = list(planner.plan("dev", "p", Desired(place, package, {}).state, None).lines())
    assert f"  + run kubernetes of step: {FIRST[:97]}..." in lines
    assert records.kubernetes(text) == {"kubernetes of step": FIRST, "kubernetes of step-2": SECOND}
    # The deadline of an environment isn't the step's own limit.
    limited = derivation.derive(text, 20.0, {})
    assert records.kubernetes(limited)["kubernetes of step-2"] == SECOND.removeprefix("timeout 30 s; ")
    assert ir.parse(limited).kubernetes["exec-step"]["activeDeadlineSeconds"] == "20"


def test_volumes_that_pods_make_themselves_are_told(tmp_path):
    body = """
from kfp import kubernetes

@dsl.container_component
def step():
    return dsl.ContainerSpec(image='acme/step:1', command=['true'])

@dsl.pipeline
def p():
    task = step()
    kubernetes.empty_dir_mount(task, 'room', '/room')
    kubernetes.add_ephemeral_volume(task, 'fast', '/fast', ['ReadWriteOnce'], '1Gi')
    kubernetes.set_security_context(task, run_as_user=1)
"""
    told = records.kubernetes(compiled(tmp_path, {}, body).text)
    words = "empty folder room at /room; ephemeral volume fast at /fast; securityContext"
    assert told == {"kubernetes of step": words}
