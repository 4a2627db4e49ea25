"""Finding the application that a device is run with."""

from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from admittance.device.applications.application import Application
from admittance.errors import ConfigurationError

BUILT_IN: Final = ("climate", "lock", "monitor")


def load(text: str) -> Application:
    """``climate``, ``lock`` or ``monitor``, with an argument behind a colon if it takes one, or the path of a Python
    file that has an `Application` named ``app``. Raises `ConfigurationError`."""
    name, _, argument = text.partition(":")
    if name in BUILT_IN:
        made: Application = import_module(f"admittance.device.applications.{name}").make(argument)
        return made
    path = Path(text)
    if path.suffix != ".py" or not path.is_file():
        raise ConfigurationError(f"{text} is neither {', '.join(BUILT_IN)} nor the path of a Python file.")
    application = getattr(_module(path), "app", None)
    if not isinstance(application, Application):
        raise ConfigurationError(f"{path} has no Application named app.")
    return application


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is not a Python file.")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigurationError(f"{path} does not load: {type(error).__name__}: {error}") from error
    return module
