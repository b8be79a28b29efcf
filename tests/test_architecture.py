"""Imports follow the data flow; checked on the syntax trees, so that nothing need be installed.

Every import counts, also one inside a function; imports for type checkers only do not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("brevitas_quantizers", "qfx_plugin")

# A package may import itself, `errors` modules, and what stands here with all that is inside it.
ALLOWED = {
    "brevitas_quantizers": set(),
    "brevitas_quantizers.fixed_point": set(),
    "brevitas_quantizers.onnx_files": {"brevitas_quantizers.fixed_point"},
    "brevitas_quantizers.autograd": {"brevitas_quantizers.fixed_point"},
    "brevitas_quantizers.injectors": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.autograd",
    },
    "brevitas_quantizers.nn": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.injectors",
    },
    "brevitas_quantizers.convert": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.nn",
    },
    "brevitas_quantizers.text": {"brevitas_quantizers.fixed_point"},
    "brevitas_quantizers.prepare": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.text",
    },
    "brevitas_quantizers.plots": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.text",
    },
    "brevitas_quantizers.overview": {
        "brevitas_quantizers.cost",
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.post_training",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.qonnx",
        "brevitas_quantizers.text",
    },
    "brevitas_quantizers.training": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.nn",
        "brevitas_quantizers.prepare",
    },
    "brevitas_quantizers.progress": set(),
    "brevitas_quantizers.post_training": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.autograd",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.nn",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.progress",
        "brevitas_quantizers.text",
    },
    # What only the plugin knows it asks of it by name, where it is installed: `cost.deployment`.
    "brevitas_quantizers.cost": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.autograd",
        "brevitas_quantizers.convert",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.nn",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.progress",
        "brevitas_quantizers.qonnx",
        "brevitas_quantizers.text",
    },
    "brevitas_quantizers.distillation": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.cost",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.training",
    },
    "brevitas_quantizers.qonnx": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.onnx_files",
        "brevitas_quantizers.autograd",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.nn",
        "brevitas_quantizers.prepare",
    },
    "qfx_plugin": {"brevitas_quantizers"},
    "qfx_plugin.errors": set(),
    "qfx_plugin.files": set(),
    "qfx_plugin.plugins": {"qfx_plugin.config"},
    "qfx_plugin.needs": set(),
    "qfx_plugin.tools": set(),
    "qfx_plugin.ir": {"brevitas_quantizers.fixed_point"},
    "qfx_plugin.qonnx_import": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.onnx_files",
        "qfx_plugin.ir",
    },
    "qfx_plugin.hls4ml_backend": {
        "brevitas_quantizers.fixed_point",
        "qfx_plugin.config",
        "qfx_plugin.boards",
        "qfx_plugin.ir",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.tools",
    },
    # Libraries of the targets: they know no target.
    "qfx_plugin.units": {"brevitas_quantizers.fixed_point", "qfx_plugin.ir"},
    "qfx_plugin.simulation": {"qfx_plugin.tools"},
    "qfx_plugin.synthesis": {"qfx_plugin.boards", "qfx_plugin.tools"},
    "qfx_plugin.rtl": {
        "brevitas_quantizers.fixed_point",
        "qfx_plugin.boards",
        "qfx_plugin.config",
        "qfx_plugin.ir",
        "qfx_plugin.simulation",
        "qfx_plugin.synthesis",
        "qfx_plugin.tools",
        "qfx_plugin.units",
        "qfx_plugin.qonnx_import",
    },
    "qfx_plugin.driver": {"brevitas_quantizers.fixed_point"},
    "qfx_plugin.shell": {
        "brevitas_quantizers.fixed_point",
        "qfx_plugin.boards",
        "qfx_plugin.driver",
        "qfx_plugin.ir",
        "qfx_plugin.rtl",
        "qfx_plugin.simulation",
        "qfx_plugin.tools",
        "qfx_plugin.units",
    },
    "qfx_plugin.proofs": {
        "brevitas_quantizers.fixed_point",
        "qfx_plugin.ir",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.rtl",
        "qfx_plugin.tools",
        "qfx_plugin.units",
    },
    "qfx_plugin.config": {"qfx_plugin.files"},
    "qfx_plugin.finn_plugin": {
        "qfx_plugin.config",
        "brevitas_quantizers.fixed_point",
        "qfx_plugin.ir",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.simulation",
        "qfx_plugin.synthesis",
        "qfx_plugin.tools",
        "qfx_plugin.units",
    },
    "qfx_plugin.boards": {"qfx_plugin.config"},
    "qfx_plugin.build": {
        "qfx_plugin.needs",
        "qfx_plugin.plugins",
        "brevitas_quantizers",
        "qfx_plugin.boards",
        "qfx_plugin.config",
        "qfx_plugin.driver",
        "qfx_plugin.files",
        "qfx_plugin.finn_plugin",
        "qfx_plugin.hls4ml_backend",
        "qfx_plugin.ir",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.report",
        "qfx_plugin.rtl",
        "qfx_plugin.shell",
        "qfx_plugin.simulation",
        "qfx_plugin.synthesis",
        "qfx_plugin.tools",
    },
    "qfx_plugin.executors": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.nn",
        "brevitas_quantizers.onnx_files",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.qonnx",
        "qfx_plugin.finn_plugin",
        "qfx_plugin.hls4ml_backend",
        "qfx_plugin.ir",
        "qfx_plugin.plugins",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.rtl",
        "qfx_plugin.tools",
    },
    "qfx_plugin.agreement": {"brevitas_quantizers.text", "qfx_plugin.ir"},
    "qfx_plugin.verify": {
        "qfx_plugin.config",
        "brevitas_quantizers.fixed_point",
        "qfx_plugin.agreement",
        "qfx_plugin.executors",
        "qfx_plugin.ir",
        "qfx_plugin.qonnx_import",
    },
    "qfx_plugin.report": {
        "brevitas_quantizers.fixed_point",
        "brevitas_quantizers.text",
        "qfx_plugin.files",
    },
    "qfx_plugin.fracbnn": {
        "brevitas_quantizers",
        "qfx_plugin.ir",
        "qfx_plugin.simulation",
        "qfx_plugin.units",
    },
    "qfx_plugin.demo": {
        "brevitas_quantizers",
        "qfx_plugin.ir",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.report",
        "qfx_plugin.verify",
    },
    "qfx_plugin.cli": {
        "qfx_plugin.needs",
        "brevitas_quantizers",
        "qfx_plugin.boards",
        "qfx_plugin.build",
        "qfx_plugin.config",
        "qfx_plugin.demo",
        "qfx_plugin.executors",
        "qfx_plugin.files",
        "qfx_plugin.proofs",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.report",
        "qfx_plugin.tools",
        "qfx_plugin.verify",
    },
}

# Host libraries and the only packages or modules that may import them.
HOSTS = {
    "torch": {
        "brevitas_quantizers.autograd",
        "brevitas_quantizers.convert",
        "brevitas_quantizers.cost",
        "brevitas_quantizers.distillation",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.nn",
        "brevitas_quantizers.overview",
        "brevitas_quantizers.plots",
        "brevitas_quantizers.post_training",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.qonnx",
        "brevitas_quantizers.training",
        "qfx_plugin.build.export",
        "qfx_plugin.demo",
        "qfx_plugin.fracbnn",
        "qfx_plugin.executors.torch",
    },
    "brevitas": {
        "brevitas_quantizers.convert",
        "brevitas_quantizers.cost",
        "brevitas_quantizers.injectors",
        "brevitas_quantizers.nn",
        "brevitas_quantizers.post_training",
        "brevitas_quantizers.prepare",
        "brevitas_quantizers.qonnx",
        "qfx_plugin.demo",
        "qfx_plugin.fracbnn",
    },
    # The adapter calls hls4ml; hls4ml calls the backend, which extends its classes.
    # K-hot layers are hls4ml passes and templates; `host_view` wraps hls4ml's own passes.
    "hls4ml": {
        "qfx_plugin.hls4ml_backend.adapter",
        "qfx_plugin.hls4ml_backend.host.backend",
        "qfx_plugin.hls4ml_backend.host.layers",
        "qfx_plugin.hls4ml_backend.host.parser",
        "qfx_plugin.hls4ml_backend.host.passes",
        "qfx_plugin.hls4ml_backend.host.view",
        "qfx_plugin.hls4ml_backend.khot.passes",
    },
    "finn": {"qfx_plugin.finn_plugin"},
    "alkaid": {"qfx_plugin.rtl.graph.alkaid_adapter"},
    "pyosys": {"qfx_plugin.tools.yosys"},
    "pynq": {"qfx_plugin.driver.pynq_backend"},
    "serial": {"qfx_plugin.shell.serial_board"},
    "onnx": {
        "brevitas_quantizers.onnx_files",
        "brevitas_quantizers.qonnx",
        "qfx_plugin.executors",
        "qfx_plugin.finn_plugin",
        "qfx_plugin.hls4ml_backend.host.parser",
        "qfx_plugin.qonnx_import",
        "qfx_plugin.verify",
    },
    "onnxruntime": {"qfx_plugin.executors.onnxruntime"},
    "qonnx": {
        "brevitas_quantizers.qonnx",
        "qfx_plugin.executors",
        "qfx_plugin.finn_plugin",  # FINN is built on qonnx: the adapter for both
    },
    "sklearn": {"qfx_plugin.demo"},
    "PIL": {"qfx_plugin.demo"},
    "rich": {"qfx_plugin.report", "qfx_plugin.cli"},
    "packaging": {"qfx_plugin.needs"},
    "matplotlib": {"brevitas_quantizers.plots"},
}

# Each target stands alone; what they share are the libraries below them.
OUTPUTS = ("qfx_plugin.hls4ml_backend", "qfx_plugin.finn_plugin", "qfx_plugin.rtl")

# Modules that import each other because they are one thought in two files.
CIRCLES = {
    "a format quantizes, and what quantizes is described by formats": {
        "brevitas_quantizers.fixed_point.arguments",
        "brevitas_quantizers.fixed_point.format",
        "brevitas_quantizers.fixed_point.quantize",
    },
    "a graph reads and writes its own file form": {
        "qfx_plugin.ir.graph",
        "qfx_plugin.ir.json_form",
    },
}

# Names that two public classes have, for a reason; of all others there is one each.
SHARED_NAMES = {
    "Add": "messages of `quantize` call the module that a + b becomes as torch calls it",
    "ExecutorAgreement": "a report's own row of it: plain data that needs no executor",
    "MatMul": "likewise, of a @ b",
    "QFXGather": "a host's name of an operation: FINN's node, hls4ml's layer",
    "QFXLookup": "a host's name of an operation: FINN's node, hls4ml's layer",
    "QFXGlobalSum": "a host's name of an operation: FINN's node, hls4ml's layer",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from runtime_nodes(other)
            continue
        yield node
        yield from runtime_nodes(node)


@cache
def imported(module: str) -> set[str]:
    """Full names of all modules that `module` imports; also by a literal `import_module`."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {resolve(node, alias.name, package) for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            literal = node.args[0] if node.args else None
            if isinstance(literal, ast.Constant) and not str(literal.value).startswith("."):
                found.add(str(literal.value))
    return found


def resolve(node: ast.ImportFrom, name: str, package: str) -> str:
    """`from X import name` as X.name if that is a module of ours, else as X."""
    parents = package.split(".")
    base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
    source = ".".join(part for part in (base, node.module) if part)
    return f"{source}.{name}" if f"{source}.{name}" in MODULES else source


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def home(module: str) -> str:
    """The package of `ALLOWED` that `module` belongs to."""
    return max((name for name in ALLOWED if within(module, name)), key=len, default="")


def is_ours(module: str) -> bool:
    return module.split(".")[0] in PACKAGES


def is_errors(module: str) -> bool:
    return module.rpartition(".")[2] == "errors"


@pytest.mark.parametrize("module", MODULES)
def test_directions(module):
    own = home(module)
    for target in sorted(filter(is_ours, imported(module))):
        other = home(target)
        allowed = any(within(target, package) for package in ALLOWED[own])
        assert other == own or is_errors(target) or allowed, (
            f"{module} imports {target}, but {own} may only import {sorted(ALLOWED[own])}"
        )


def test_what_is_permitted_is_used():
    used = {(home(m), t) for m in MODULES for t in imported(m) if is_ours(t)}
    unused = [
        f"{own}: {package}"
        for own, packages in ALLOWED.items()
        for package in sorted(packages)
        if not any(user == own and within(target, package) for user, target in used)
    ]
    assert not unused


def test_circles_are_named():
    """Groups of modules that reach each other by imports; those of a package's `__init__` too."""
    reach = {module: reached(module) for module in MODULES}
    circles = {
        frozenset({module} | {other for other in found if module in reach[other]})
        for module, found in reach.items()
        if module in found
    }
    assert circles == {frozenset(modules) for modules in CIRCLES.values()}


def reached(module: str) -> set[str]:
    """All modules that `module` imports, and that these import."""
    found: set[str] = set()
    ahead = [module]
    while ahead:
        new = {target for target in imported(ahead.pop()) if target in MODULES} - found
        found |= new
        ahead += new
    return found


@pytest.mark.parametrize("module", MODULES)
def test_host_libraries_have_one_adapter(module):
    for target in sorted(imported(module)):
        users = HOSTS.get(target.split(".")[0])
        assert users is None or any(within(module, user) for user in users), (
            f"{module} imports {target}, which only {sorted(users)} may do"
        )


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m.startswith("brevitas_quantizers.fixed_point")]
)
def test_fixed_point_needs_only_numpy(module):
    outside = {name.split(".")[0] for name in imported(module) if not is_ours(name)}
    assert outside - {"numpy"} <= sys.stdlib_module_names


@pytest.mark.parametrize("module", MODULES)
def test_nobody_imports_cli(module):
    if not within(module, "qfx_plugin.cli"):
        assert not any(within(target, "qfx_plugin.cli") for target in imported(module))


@pytest.mark.parametrize("output", OUTPUTS)
def test_outputs_do_not_know_each_other(output):
    others = [other for other in OUTPUTS if other != output]
    for module in (module for module in MODULES if within(module, output)):
        assert not any(within(target, other) for target in imported(module) for other in others)


def test_training_does_not_know_the_plugin():
    for module in (module for module in MODULES if within(module, "brevitas_quantizers")):
        assert not any(within(target, "qfx_plugin") for target in imported(module)), module


def test_a_name_means_one_class():
    """Public classes of both packages, wherever they stand in a module's body."""
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    shared = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert shared.keys() == SHARED_NAMES.keys(), shared


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in MODULES.values()}
    missing = [str(folder) for folder in folders if not (folder / "__init__.py").exists()]
    assert not missing, f"not installed by pip without an __init__.py: {missing}"


def test_files_stay_readable():
    long = {m: n for m, p in MODULES.items() if (n := len(p.read_text().splitlines())) > 450}
    assert not long


def test_the_reader_of_imports_sees_all_forms(tmp_path, monkeypatch):
    source = (
        "import a.b\nfrom . import verify\nfrom ..errors import X\n"
        "def f():\n    import c\n    import_module('d')\n"
        "if TYPE_CHECKING:\n    import e\nelse:\n    import g\n"
    )
    path = tmp_path / "demo.py"
    path.write_text(source)
    monkeypatch.setitem(MODULES, "qfx_plugin.ir.demo", path)
    monkeypatch.setitem(MODULES, "qfx_plugin.ir.verify", path)
    assert imported("qfx_plugin.ir.demo") == {
        "a.b", "qfx_plugin.ir.verify", "qfx_plugin.errors", "c", "d", "g",
    }  # fmt: skip
