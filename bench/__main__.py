"""``python -m bench NAME [--json]`` runs `bench/NAME.py` and tells its figures.

A bench is a module with ``run() -> dict[str, float]``; its docstring says what the figures are. Without ``--json``
a table comes first; the last line is always one object ``{"bench": NAME, "figures": {...}}``.
"""

import argparse
import importlib
import json
import pkgutil
import signal
import sys
from collections.abc import Sequence

import bench


def names() -> list[str]:
    """Every bench there is."""
    modules = pkgutil.iter_modules(bench.__path__)
    return sorted(module.name for module in modules if module.name != "__main__" and not module.ispkg)


def table(name: str, description: str, figures: dict[str, float]) -> str:
    """The figures for people."""
    width = max(len(figure) for figure in figures)
    rows = [f"  {figure:<{width}}  {value:>12,.3f}" for figure, value in figures.items()]
    return "\n".join([f"{name}: {description}", *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Run one bench.")
    parser.add_argument("name", choices=names(), help="which bench")
    parser.add_argument("--json", action="store_true", help="print the object alone")
    chosen = parser.parse_args(arguments)
    # A bench that is stopped stops the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    module = importlib.import_module(f"bench.{chosen.name}")
    figures: dict[str, float] = {name: round(value, 6) for name, value in module.run().items()}
    if not chosen.json:
        print(table(chosen.name, (module.__doc__ or "").partition("\n")[0], figures))
    print(json.dumps({"bench": chosen.name, "figures": figures}))


if __name__ == "__main__":
    main()
