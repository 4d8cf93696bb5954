"""What `kfp.kubernetes` sets for steps in the platform document of a compiled pipeline, by executor and in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

StepSettings = Mapping[str, Any]
# Those that place a pod but don't change what it computes.
PLACING = frozenset(
    {
        "enabledSharedMemory",
        "imagePullPolicy",
        "imagePullSecret",
        "nodeAffinity",
        "nodeSelector",
        "podAffinity",
        "podMetadata",
        "securityContext",
        "tolerations",
    }
)
# Images that no engine runs: KFP's driver makes and removes volumes in place of such a step.
VOLUME_IMAGES = frozenset({"argostub/createpvc", "argostub/deletepvc"})
TIMEOUT = "activeDeadlineSeconds"
SECRETS, CONFIG_MAPS, FIELDS = "secretAsEnv", "configMapAsEnv", "fieldPathAsEnv"
_NAMED = {
    SECRETS: "secret",
    "secretAsVolume": "secret",
    CONFIG_MAPS: "config map",
    "configMapAsVolume": "config map",
    "pvcMount": "volume claim",
    "emptyDirMounts": "empty folder",
    "genericEphemeralVolume": "ephemeral volume",
    "imagePullSecret": "pull secret",
}


def of_executors(platforms: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns executor label to its settings.

    Args:
        platforms: the `kubernetes` of each platform document.
    """
    found: dict[str, dict[str, Any]] = {}
    for each in platforms:
        for label, settings in each.get("deploymentSpec", {}).get("executors", {}).items():
            found.setdefault(label, {}).update(settings)
    return found


def name_of(setting: Mapping[str, Any], kind: str) -> str:
    """Returns the name of the secret, config map or claim of a setting; '': it is known only when the step runs.

    Args:
        kind: what it is of: `secret`, `configMap`, `pvc`.
    """
    parameter = setting.get(f"{kind}NameParameter")
    if parameter is None:
        return str(setting.get(f"{kind}Name") or setting.get("constant") or "")
    return str(parameter.get("runtimeValue", {}).get("constant") or "")


def key_to_env(setting: Mapping[str, Any]) -> dict[str, str]:
    """Returns key of a secret or config map to the environment variable that a step gets it as."""
    keys = ("secretKey", "configMapKey")
    return {
        next(each[key] for key in keys if key in each): each["envVar"]
        for each in setting.get("keyToEnv", ())
        if any(key in each for key in keys)
    }


def described(settings: StepSettings) -> Iterator[str]:
    """Yields what is set for a step, each in a few words."""
    for key in sorted(settings):
        value = settings[key]
        if key == TIMEOUT:
            yield f"timeout {value} s"
        elif key == "imagePullPolicy":
            yield f"pull policy {value}"
        elif key == "nodeSelector":
            labels = value.get("labels", {})
            yield f"node selector {_pairs(labels) if labels else 'of an input'}"
        elif key == "tolerations":
            yield from (f"toleration {_toleration(each)}" for each in value)
        elif key == "podMetadata":
            yield from (f"{part} {_pairs(value[part])}" for part in ("annotations", "labels") if value.get(part))
        elif key == FIELDS:
            yield from (f"{each.get('fieldPath')} as {each.get('name')}" for each in value)
        elif key in _NAMED:
            yield from (f"{_NAMED[key]} {_used(each)}" for each in value)
        else:
            yield key


def _used(setting: Mapping[str, Any]) -> str:
    names = (name_of(setting, kind) for kind in ("secret", "configMap", "pvc"))
    name = next(filter(None, names), "") or str(setting.get("volumeName") or "of an input")
    variables = key_to_env(setting)
    place = f" at {setting['mountPath']}" if setting.get("mountPath") else ""
    return f"{name}{place}{' as ' if variables else ''}{', '.join(variables.values())}"


def _toleration(setting: Mapping[str, Any]) -> str:
    key = setting.get("key") or ("of an input" if "tolerationJson" in setting else "of every taint")
    value = f"={setting['value']}" if setting.get("value") else ""
    effect = f" ({setting['effect']})" if setting.get("effect") else ""
    return f"{key}{value}{effect}"


def _pairs(labels: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
