"""Who may import whom, proven on the source and on what a fresh interpreter really loads."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pipeline

ROOT = Path(pipeline.__file__).parent
MODULES = ["pipeline"] + [
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "pipeline.")
    if not module.name.endswith("__main__")  # which would run
]


def path_of(module: str) -> Path:
    path = ROOT.parent.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def imports_in(tree: ast.AST, *, when_loaded: bool = False) -> Iterator[str]:
    """What is imported in `tree`, as `package.module` or `package.module:name`.

    Args:
        when_loaded: without the imports inside functions and those for type checkers.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in MODULES else f"{node.module}:{name.name}"
        elif not (when_loaded and _waits(node)):
            yield from imports_in(node, when_loaded=when_loaded)


def _waits(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
        isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )


def modules_imported(module: str, *, when_loaded: bool = False) -> set[str]:
    return {name.partition(":")[0] for name in imports_in(tree_of(module), when_loaded=when_loaded)}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `code`."""
    code = f"import sys\n{code}\nimport json; print(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


# What is loaded


def test_the_runtime_loads_neither_torch_nor_onnx_nor_the_other_packages() -> None:
    loaded = loaded_by(f"import importlib\nfor name in {MODULES}: importlib.import_module(name)")
    assert set(MODULES) <= loaded
    assert not loaded & {"torch", "torchvision", "timm", "onnx", "onnxscript", "training", "export"}
    assert not loaded & {"trackers", "supervision"}


def test_the_package_alone_costs_nothing() -> None:
    loaded = loaded_by("import pipeline")
    assert not loaded & {"numpy", "cv2", "onnxruntime", "av", "pydantic", "click", "rich", "yaml"}


@pytest.mark.parametrize(
    "command", [["--help"], ["run", "--help"], ["bench", "--help"], ["adopt", "--help"], ["demo", "--help"]]
)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    loaded = loaded_by(f"from pipeline.cli import main\nassert main({command}) == 0")
    assert "click" in loaded
    assert not loaded & {"numpy", "cv2", "onnxruntime", "av", "pydantic", "rich", "torch", "onnx", "yaml"}


# Who knows whom


@pytest.mark.parametrize("module", MODULES)
def test_the_runtime_imports_no_other_package_of_ours(module: str) -> None:
    heads = {name.partition(".")[0] for name in modules_imported(module)}
    assert not heads & {"training", "export", "torch", "torchvision", "onnx", "tests"}


def test_imports_point_one_way() -> None:
    graph = {module: modules_imported(module, when_loaded=True) & set(MODULES) - {module} for module in MODULES}
    TopologicalSorter(graph).prepare()


SHARED = {"pipeline.types", "pipeline.errors"}
LEAVES = {
    "pipeline.redact": {"pipeline.terms"},
    "pipeline.track": {"pipeline.extras"},
    "pipeline.overlay": {"pipeline.lettering", "pipeline.palette", "pipeline.scene", "pipeline.trails"},
    "pipeline.scene": {"pipeline.lettering", "pipeline.palette"},
    "pipeline.counters": {"pipeline.zones"},
    "pipeline.counting": {"pipeline.counters", "pipeline.zones"},
    "pipeline.trails": {"pipeline.palette"},
    "pipeline.lettering": {"pipeline.palette"},
    "pipeline.palette": set(),
    "pipeline.watch": {"pipeline.contract", "pipeline.model"},  # for the type checker alone
    "pipeline.types": set(),
    "pipeline.errors": set(),
    "pipeline.terms": set(),
    "pipeline.contract": {"pipeline.terms"},
    "pipeline.channel": {"pipeline.lane", "pipeline.pace"},
    "pipeline.lane": set(),
    "pipeline.gate": set(),
    "pipeline.preprocess": {"pipeline.contract"},
    "pipeline.postprocess": {"pipeline.preprocess"},
    "pipeline.settings": {"pipeline.contract"},
    "pipeline.tiles": set(),
}


@pytest.mark.parametrize("module", LEAVES)
def test_a_stage_knows_the_values_that_pass_it_and_its_own_helpers(module: str) -> None:
    ours = {name for name in modules_imported(module) if name.startswith("pipeline")}
    assert ours <= SHARED | LEAVES[module]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(("pipeline.sources", "pipeline.sinks"))])
def test_sources_and_sinks_know_the_values_and_their_own_package(module: str) -> None:
    package = ".".join(module.split(".")[:2])
    ours = {name for name in modules_imported(module) if name.startswith("pipeline")}
    others = {name for name in ours if name != package and not name.startswith(f"{package}.")}
    assert others <= SHARED | {"pipeline.cuda", "pipeline.session"}


@pytest.mark.parametrize(
    ("library", "owner"),
    [
        ("onnxruntime", "pipeline.session"),
        ("yaml", "pipeline.config"),
        ("psutil", "pipeline.bench.machine"),
        ("pynvml", "pipeline.bench.gpu"),
        ("trackers", "pipeline.track"),
        ("supervision", "pipeline.track"),
        ("alembic", "pipeline.serve.database"),
        ("uvicorn", "pipeline.serve.web.server"),
        ("argon2", "pipeline.serve.web.accounts"),
        ("prometheus_client", "pipeline.serve.web.metrics"),
    ],
)
def test_a_library_has_one_owner(library: str, owner: str) -> None:
    users = {m for m in MODULES if any(name.partition(".")[0] == library for name in modules_imported(m))}
    assert users == {owner}


# Threads and redaction

THREADS = ("concurrent.futures", "multiprocessing", "_thread", "queue")
CALM = {
    "threading": {"Event", "Lock", "RLock", "current_thread", "local"},
    "asyncio": {"AbstractEventLoop", "CancelledError", "Event", "Lock", "get_running_loop", "timeout"},
}


def test_only_the_channel_creates_threads() -> None:
    for module in MODULES:
        if module == "pipeline.channel" or module.startswith("pipeline.testcamera"):
            continue
        for name in imports_in(tree_of(module)):
            assert not name.startswith(THREADS), f"{module} imports {name}"
            library, _, used = name.partition(":")
            if used and library in CALM:
                assert used in CALM[library], f"{module} imports {name}"
            assert not library.startswith(("threading.", "asyncio.")), f"{module} imports {name}"
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in CALM:
                used = f"{node.value.id}.{node.attr}"
                assert node.attr in CALM[node.value.id], f"{module} line {node.lineno} uses {used}"


def test_the_rule_about_threads_can_see_a_thread() -> None:
    names = {node.attr for node in ast.walk(tree_of("pipeline.channel")) if isinstance(node, ast.Attribute)}
    assert "Thread" in names


@pytest.mark.parametrize(
    ("made", "makers"),
    [("Redacted", {"pipeline.redact"}), ("Annotated", {"pipeline.overlay", "pipeline.trip"})],
)
def test_only_redaction_makes_what_may_be_shown(made: str, makers: set[str]) -> None:
    calls = {
        module
        for module in MODULES
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == made
    }
    assert calls == makers
