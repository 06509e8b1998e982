"""YAML as plain data: no tags, aliases or merge keys, no key twice, not too much. A leaf."""

import re
from typing import Any, Dict, Hashable, Mapping, Union

import yaml

MOST_BYTES = 1 << 18  # 50 times a usual manifest; PyYAML reads them in a second
# PyYAML lets more out than its own errors: `!!bool x` is a KeyError, `!!timestamp x` a TypeError.
NOT_YAML = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError,
            TypeError, ValueError)


class NotPlain(ValueError):
    """A text is not the YAML of plain data; the message says why, in one line."""


class ManifestLoader(yaml.SafeLoader):
    """Every value stands where it is used, once: a few lines of aliases make gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse anchors (&) and aliases (*)."""
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, 'anchor', None):
            raise yaml.YAMLError(f'it has an anchor or alias ({str(event.anchor)[:40]})')
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Refuse `<<`, which nobody needs in plain data."""
        if any(key.tag == 'tag:yaml.org,2002:merge' for key, _ in node.value):
            raise yaml.YAMLError('it merges mappings (<<)')

    def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Hashable, Any]:
        """Refuse a key that stands there twice: PyYAML takes the last, a reader the first."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            names = [str(key.value) for key, _ in node.value]
            twice = next((name for name in names if names.count(name) > 1), names[0])
            raise yaml.YAMLError(f'it has the key {twice[:40]!r} twice in one mapping')
        return mapping


class PlainDumper(yaml.SafeDumper):
    """Write what ManifestLoader reads: a value that stands in two places is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Name nothing."""
        return True


for kind in (ManifestLoader, PlainDumper):
    # YAML 1.1 takes 1e-5 for a text, though that is how everybody writes an eps.
    kind.add_implicit_resolver(
        'tag:yaml.org,2002:float', re.compile(r'[-+]?\d+(\.\d*)?[eE][-+]?\d+$'),
        list('-+0123456789'))


def load(text: Union[str, bytes]) -> Any:
    """Return what a YAML text says, or raise NotPlain."""
    if len(text) > MOST_BYTES:
        raise NotPlain(f'it has more than {MOST_BYTES} bytes')
    try:
        return yaml.load(text, ManifestLoader)
    except NOT_YAML as error:
        raise NotPlain(' '.join(str(error).split())[:200]) from None


def dump(mapping: Mapping[str, Any]) -> str:
    """Return plain data as YAML, or raise NotPlain."""
    try:
        return yaml.dump(mapping, Dumper=PlainDumper, sort_keys=False, default_flow_style=None,
                         width=99)
    except (yaml.YAMLError, RecursionError) as error:
        raise NotPlain(' '.join(str(error).split())[:200]) from None
