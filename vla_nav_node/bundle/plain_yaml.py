"""Plain YAML: no tags, aliases, merge keys or duplicate keys, and of limited size. A leaf."""

import re
from typing import Any, Dict, Hashable, Mapping, Union

import yaml

MOST_BYTES = 1 << 18  # 50 times a usual manifest; PyYAML needs a second for them
# PyYAML raises more than its own errors: `!!bool x` is a KeyError, `!!timestamp x` a TypeError.
NOT_YAML = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError,
            TypeError, ValueError)


class NotPlain(ValueError):
    """The text is not plain YAML; the message gives the reason in one line."""


class ManifestLoader(yaml.SafeLoader):
    """A YAML loader without references: a few lines of aliases expand to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Raise YAMLError for anchors (&) and aliases (*)."""
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, 'anchor', None):
            raise yaml.YAMLError(f'it has an anchor or alias ({str(event.anchor)[:40]})')
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Raise YAMLError for `<<`, which plain data does not need."""
        if any(key.tag == 'tag:yaml.org,2002:merge' for key, _ in node.value):
            raise yaml.YAMLError('it merges mappings (<<)')

    def construct_mapping(self, node: Any, deep: bool = False) -> Dict[Hashable, Any]:
        """Raise YAMLError for a duplicate key: PyYAML takes the last one, a reader the first."""
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            names = [str(key.value) for key, _ in node.value]
            twice = next((name for name in names if names.count(name) > 1), names[0])
            raise yaml.YAMLError(f'it has the key {twice[:40]!r} twice in one mapping')
        return mapping


class PlainDumper(yaml.SafeDumper):
    """A YAML dumper for what ManifestLoader reads: a shared value is written out each time."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return true: write no anchors."""
        return True


for kind in (ManifestLoader, PlainDumper):
    # YAML 1.1 reads 1e-5 as a text, though that is how an eps is usually written.
    kind.add_implicit_resolver(
        'tag:yaml.org,2002:float', re.compile(r'[-+]?\d+(\.\d*)?[eE][-+]?\d+$'),
        list('-+0123456789'))


def load(text: Union[str, bytes]) -> Any:
    """Return the data of a YAML text, or raise NotPlain."""
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
