"""From `module: massive.so` to a class and its checked options."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from tsstore.errors import ConfigError, InvalidKeyError
from tsstore.host import reference
from tsstore.key import KeyPattern
from tsstore.redact import Redactor, secrets_in, secrets_in_environment
from tsstore.yamlfile import Value
from tsstore.yamlsettings import convert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsstore.config import BgWorkerEntry, Config, TriggerEntry

#: Entry point group of each kind of plugin.
GROUPS = {"bgworker": "tsstore.bgworkers", "trigger": "tsstore.triggers"}
# From here on a name is taken for one that was mistyped.
_ALIKE = 0.75


@dataclass(frozen=True)
class Plugin:
    """A plugin that mkts.yml asks for.

    Attributes:
        kind: `bgworker` or `trigger`.
        name: what logs and /heartbeat call it; no two of a kind have the same.
        build: the class: called with a context and `options` it gives the running plugin.
        options: the plugin's checked `Config`, or None when it has none.
        pattern: of a trigger, the keys it fires for.
    """

    kind: str
    name: str
    build: Callable[..., Any]
    options: Any = field(default=None, repr=False)
    pattern: KeyPattern | None = None


@dataclass(frozen=True)
class Plugins:
    """Everything to run.

    Attributes:
        workers: the bgworkers.
        triggers: the triggers.
        secrets: what the redactor has to mask of their options.
        notices: what the log should say about plugins and options that are passed over.
    """

    workers: tuple[Plugin, ...] = ()
    triggers: tuple[Plugin, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    notices: tuple[str, ...] = ()


def load_plugins(config: Config, environment: Mapping[str, str] | None = None) -> Plugins:
    """Find all plugins of a configuration and check their options.

    Args:
        config: mkts.yml.
        environment: where `${NAME}` is looked up; the environment of the process if absent.

    Raises:
        ConfigError: one line for each mistake of any of them.
    """
    loading = _Loading(environment, is_replica=bool(config.replication.master_host))
    workers = [loading.worker(entry) for entry in config.bgworkers]
    triggers = [loading.trigger(entry) for entry in config.triggers]
    if loading.problems:
        raise ConfigError(Redactor(loading.secrets).mask("\n".join(loading.problems)))
    return Plugins(
        tuple(plugin for plugin in workers if plugin is not None),
        tuple(plugin for plugin in triggers if plugin is not None),
        tuple(loading.secrets),
        tuple(loading.notices),
    )


class _Loading:
    """Collects what is wrong or passed over, so that all of it is reported at once."""

    def __init__(self, environment: Mapping[str, str] | None, *, is_replica: bool) -> None:
        self.problems: list[str] = []
        self.notices: list[str] = []
        self.secrets = secrets_in_environment(environment)
        self._environment = environment
        self._is_replica = is_replica
        self._names: dict[tuple[str, str], Value] = {}
        self._sole: dict[Any, Value] = {}

    def worker(self, entry: BgWorkerEntry) -> Plugin | None:
        return self._plugin("bgworker", entry.module, entry.name, entry.config, None)

    def trigger(self, entry: TriggerEntry) -> Plugin | None:
        name = f"{plugin_name(entry.module.content)} {entry.on}"
        try:
            pattern = trigger_pattern(entry.on)
        except InvalidKeyError as error:
            self.problems.append(entry.module.problem(f"on: {error}"))
            return None
        return self._plugin("trigger", entry.module, name, entry.config, pattern)

    def _plugin(
        self,
        kind: str,
        module: Value,
        name: str,
        section: Value | None,
        pattern: KeyPattern | None,
    ) -> Plugin | None:
        known_as = plugin_name(module.content)
        if _is_of_marketstore(kind, module.content):
            self.notices.append(module.problem(reference.not_here(known_as)))
            return None
        try:
            found = find_plugin(kind, module.content)
        except ConfigError as error:
            self.problems.append(module.problem(str(error)))
            return None
        name = name or known_as
        if clash := self._clash(kind, name, module, found):
            self.problems.append(module.problem(clash))
        section = section or Value(module.file, module.line, _config_path(module), {})
        self.secrets += secrets_in(section)
        try:
            options = self._options(found, self._without_ignored(known_as, section))
        except ConfigError as error:
            self.problems.append(str(error))
            return None
        try:
            self._check(found, options)
        except ConfigError as error:
            self.problems.append(section.problem(str(error)))
        return Plugin(kind, name, found, options, pattern)

    def _clash(self, kind: str, name: str, module: Value, found: Any) -> str:
        """Why it cannot run beside those before it; empty if it can."""
        if instead := getattr(found, "once", ""):
            before = self._sole.setdefault(found, module)
            if before is not module:
                return f"{before.content} is in line {before.line} already; {instead}"
        before = self._names.setdefault((kind, name), module)
        if before is not module:
            return f"{name!r} is in line {before.line} already; give it another `name`"
        return ""

    def _without_ignored(self, known_as: str, section: Value) -> Value:
        """The section without the options of the reference that have no effect here."""
        ignored = reference.OPTIONS.get(known_as, {})
        if not isinstance(section.content, dict):
            return section
        kept = {}
        for key, value in section.content.items():
            if key in ignored:
                self.notices.append(value.problem(f"ignored: {ignored[key]}"))
            else:
                kept[key] = value
        return Value(section.file, section.line, section.path, kept)

    def _check(self, found: Any, options: Any) -> None:
        """What the surroundings say about the options, where the plugin is to run."""
        check = getattr(found, "check_config", None)
        runs = not self._is_replica or getattr(found, "runs_on_replicas", False)
        if check is not None and runs:
            check(options)

    def _options(self, found: Any, section: Value) -> Any:
        kind = getattr(found, "Config", None)
        if kind is not None:
            return convert(section, kind, self._environment)
        if section.content:
            raise ConfigError(section.problem("this plugin has no options; remove them"))
        return None


def _is_of_marketstore(kind: str, module: str) -> bool:
    """Whether it is a plugin of Go, for which there is nothing of that name here.

    One that looks like a mistyped name of ours is not: the server would start without it.
    """
    name = plugin_name(module)
    if ":" in name or entry_points(group=GROUPS[kind], name=name):
        return False
    if name in reference.MODULES:
        return True
    installed = entry_points(group=GROUPS[kind]).names
    mistyped = difflib.get_close_matches(name, installed, cutoff=_ALIKE)
    return module.endswith(".so") and not mistyped


def _config_path(module: Value) -> str:
    return module.path.removesuffix("module") + "config"


def plugin_name(module: str) -> str:
    """The name of a plugin from how MarketStore's files write it: `/go/bin/massive.so`."""
    return module if ":" in module else PurePath(module).name.removesuffix(".so")


def trigger_pattern(on: str) -> KeyPattern:
    """The keys that `on` means: MarketStore's `*`, one or more characters but no `/`.

    The whole key has to match, so that `*/1Min/OHLCV` does not fire for `OHLCV_X`.

    Raises:
        InvalidKeyError: not three parts.
    """
    return KeyPattern(on.replace("*", "?*"))


def find_plugin(kind: str, module: str) -> Any:
    """The class of a plugin.

    Args:
        kind: `bgworker` or `trigger`.
        module: `massive.so` or `massive` (an entry point), or `package.module:Name`.

    Raises:
        ConfigError: there is none of that name, or it cannot be imported.
    """
    name = plugin_name(module)
    try:
        if ":" in name:
            package, _, attribute = name.partition(":")
            return getattr(import_module(package), attribute)
        for point in entry_points(group=GROUPS[kind], name=name):
            return point.load()
    except Exception as error:
        # A plugin's import may raise anything; which one it was tells what to install.
        raise ConfigError(f"cannot load {module!r}: {type(error).__name__}: {error}") from error
    installed = sorted(entry_points(group=GROUPS[kind]).names)
    raise ConfigError(
        f"no {kind} {module!r} is installed; there are {', '.join(installed) or 'none'}; install "
        "the package that has it, or write package.module:Name"
    )
