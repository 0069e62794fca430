"""A bill of materials in CycloneDX 1.6: the model with its card, the data it was made of, the packages that serve it.

Equal contents are an equal file: there is no time and nothing random in it. What is known of a package comes from its
own metadata here, and its hashes from the project's lock file, where it has one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from mlops.adapters.files import digest_bytes

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

LOCKS = ("requirements.lock", "requirements.txt")
"""Files of a project that may know the hashes of packages, the first that is there."""

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LICENCE = "License :: OSI Approved :: "
_LONGEST = 100
"""A longer licence is its whole text, and no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What there is to say of a packaged model. `files` maps the model's files to sha256, `data` each table's name.

    `features` maps a feature to the digest of its code; `requirements` are lines `name==version`.
    """

    model: str
    version: str
    description: str
    task: str
    estimator: str
    form: str
    inputs: Mapping[str, str]
    output: str
    files: Mapping[str, str]
    data: Mapping[str, str]
    features: Mapping[str, str]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    requirements: Sequence[str]
    hashes: Mapping[str, Sequence[str]] = field(default_factory=dict)  # "name==version" to sha256 of its distributions


def locked_hashes(root: Path) -> dict[str, tuple[str, ...]]:
    """`name==version` to the sha256 of each of its distributions, by the project's lock file; empty without one."""
    from packaging.utils import canonicalize_name

    file = next((root / name for name in LOCKS if (root / name).is_file()), None)
    if file is None:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        pinned = _PINNED.match(line.strip())
        if pinned:
            found[f"{canonicalize_name(pinned[1])}=={pinned[2]}"] = tuple(sorted(_HASH.findall(line)))
    return found


def document(made: Made) -> bytes:
    """The bill of materials as JSON, keys sorted."""
    from cyclonedx.output.json import JsonV1Dot6

    told: dict[str, Any] = json.loads(JsonV1Dot6(_bom(made)).output_as_string())
    told["metadata"].pop("timestamp", None)
    for component in told["components"]:
        if component["type"] == "machine-learning-model":
            component["modelCard"] = _card(made)  # which the library cannot write yet
    told.pop("serialNumber", None)
    content = json.dumps(told, sort_keys=True).encode()
    told["serialNumber"] = f"urn:uuid:{uuid5(NAMESPACE_URL, digest_bytes(content))}"
    return json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _bom(made: Made) -> Bom:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType

    root = Component(
        type=ComponentType.APPLICATION, name=made.model, version=made.version, bom_ref="bento",
        description=made.description or None,
    )  # fmt: skip
    bom = Bom()
    bom.metadata.component = root
    model, ours = _model(made), _ours()
    data = [
        Component(type=ComponentType.DATA, name=name, bom_ref=f"data:{name}", hashes=[_sha256(digest)])
        for name, digest in made.data.items()
    ]
    packages = {_name(line): _package(line, made.hashes.get(line, ())) for line in made.requirements}
    for component in (model, ours, *data, *packages.values()):
        bom.components.add(component)
    bom.register_dependency(root, [model, ours, *packages.values()])
    bom.register_dependency(model, data)
    for name, component in packages.items():
        bom.register_dependency(component, [packages[need] for need in _needs(name) if need in packages])
    return bom


def _model(made: Made) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    parts = [
        Component(type=ComponentType.FILE, name=name, bom_ref=f"file:{name}", hashes=[_sha256(digest)])
        for name, digest in made.files.items()
    ]
    told = {f"mlops:feature:{name}": digest for name, digest in made.features.items()}
    told |= {f"mlops:parameter:{name}": json.dumps(value, sort_keys=True) for name, value in made.params.items()}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL, name=made.model, version=made.version, bom_ref="model",
        description=made.description or None, components=parts,
        properties=[Property(name=name, value=value) for name, value in {"mlops:form": made.form, **told}.items()],
    )  # fmt: skip


def _card(made: Made) -> dict[str, Any]:
    """The model card: what it does, by what, on which data, how well."""
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": made.task,
            "modelArchitecture": made.estimator,
            "datasets": [{"ref": f"data:{name}"} for name in made.data],
            "inputs": [{"format": f"{name}: {kind}"} for name, kind in made.inputs.items()],
            "outputs": [{"format": made.output}],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                {"type": name, "value": repr(float(value)), "slice": "held-out rows"}
                for name, value in sorted(made.metrics.items())
            ]
        },
    }


def _ours() -> Component:
    from cyclonedx.model.component import Component, ComponentType

    found = metadata.metadata("mlops")
    return Component(
        type=ComponentType.FRAMEWORK, name="mlops", version=found["Version"], bom_ref="mlops", licenses=_licences(found)
    )


def _package(line: str, hashes: Iterable[str]) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    name, version = _name(line), line.partition("==")[2]
    link = PackageURL(type="pypi", name=name, version=version)
    known = _metadata(name, version)
    distributions = [
        ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION, url=XsUri(str(link)), hashes=[_sha256(digest)],
            comment="one of the distributions that the lock file allows",
        )
        for digest in hashes
    ]  # fmt: skip
    return Component(
        type=ComponentType.LIBRARY, name=name, version=version, bom_ref=str(link), purl=link,
        licenses=_licences(known) if known else (), external_references=distributions,
    )  # fmt: skip


def _licences(found: metadata.PackageMetadata) -> list[Any]:
    """As the package says: an SPDX expression, else the names of its classifiers, else a short name of its own."""
    from cyclonedx.factory.license import LicenseFactory
    from cyclonedx.model.license import DisjunctiveLicense

    make = LicenseFactory().make_from_string
    own = " ".join((_first(found, "License-Expression") or _first(found, "License")).split())
    stated = make(own) if own and len(own) <= _LONGEST else None
    if stated is not None and not (isinstance(stated, DisjunctiveLicense) and stated.name):
        return [stated]  # SPDX knows it
    classified = [one.removeprefix(_LICENCE) for one in found.get_all("Classifier") or () if one.startswith(_LICENCE)]
    return [DisjunctiveLicense(name=name) for name in classified] or ([stated] if stated is not None else [])


def _first(found: metadata.PackageMetadata, key: str) -> str:
    return str((found.get_all(key) or [""])[0])


def _metadata(name: str, version: str) -> metadata.PackageMetadata | None:
    """What is installed of a package here, if it is that very version."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return None
    return found if found["Version"] == version else None


def _needs(name: str) -> list[str]:
    """The packages that one needs on this machine."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    needs = [Requirement(line) for line in lines]
    return sorted(
        {str(canonicalize_name(one.name)) for one in needs if not one.marker or one.marker.evaluate({"extra": ""})}
    )


def _name(line: str) -> str:
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(line.partition("==")[0].partition("[")[0]))


def _sha256(digest: str) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
