"""The symptoms and facts of data/*.yaml, checked as a whole when they are first needed."""

from dataclasses import dataclass, field
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path
import re
from string import Formatter
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Set, Tuple

from .safe_pattern import SafePattern
from ...bundle.plain_yaml import load, NotPlain
from ...errors import VlaNavError

DATA = Path(__file__).parent / 'data'
TEXTS = ('cause', 'remedy')
PLATFORMS = {'jetson': 'On a Jetson', 'container': 'In a container'}
FIRST_CHOICE = re.compile(r'\(\?:([^()]*)\)(?![?*+{])(.*)')
KEYS = {'name', 'patterns', 'follows', 'cause', 'remedy', 'cases', 'harmless',
        'source', *PLATFORMS}


class SymptomError(VlaNavError):
    """The data of the symptoms is wrong."""


@dataclass(frozen=True)
class Case:
    """What to say when all facts that `when` names have values that fit."""

    when: Mapping[str, 're.Pattern[str]']
    cause: str
    remedy: str

    def fits(self, facts: Mapping[str, str]) -> bool:
        """Return whether the facts are those of this case; an absent one is ''."""
        return all(value.fullmatch(facts.get(name, '')) for name, value in self.when.items())


@dataclass(frozen=True)
class Symptom:
    """One row of the data."""

    name: str
    patterns: Sequence[SafePattern]
    cases: Sequence[Case]  # the last one fits always
    source: str
    follows: Sequence[str] = ()  # names of symptoms that cause this one
    platforms: Mapping[str, str] = field(default_factory=dict)
    harmless: bool = False  # what looks like an error and is none

    def case(self, facts: Mapping[str, str]) -> Case:
        """Return the first case that fits."""
        return next(case for case in self.cases if case.fits(facts))


@dataclass(frozen=True)
class Catalogue:
    """All symptoms by name, and the patterns of facts that hold for a whole log."""

    symptoms: Mapping[str, Symptom]
    facts: Mapping[str, Sequence[SafePattern]]
    topics: Mapping[str, Sequence[str]]  # titles of the files, with the symptoms in them


@lru_cache(maxsize=None)
def catalogue(folder: Path = DATA) -> Catalogue:
    """Read and check all files; raise SymptomError with every problem at once."""
    problems: List[str] = []
    facts: Dict[str, Sequence[SafePattern]] = {}
    symptoms: Dict[str, Symptom] = {}
    topics: Dict[str, Sequence[str]] = {}
    files = [(path, _read(path)) for path in sorted(folder.glob('*.yaml'))]
    for path, content in files:
        for name, sources in content.get('facts', {}).items():
            facts[name] = _patterns(sources, f'{path.name}: fact {name}', problems)
    for path, content in files:
        rows = [_symptom(row, path.name, facts, problems) for row in content.get('symptoms', ())]
        twice = [row.name for row in rows if row.name in symptoms]
        problems += [f'{path.name}: {name} is there twice' for name in twice]
        symptoms.update((row.name, row) for row in rows)
        if rows:
            topics[content['title']] = [row.name for row in rows]
    problems += _order_problems(symptoms)
    if problems or not symptoms:
        raise SymptomError('; '.join(problems) or f'no symptoms in {folder}',
                           fix='see 1_cuda.yaml for the format')
    return Catalogue(symptoms, facts, topics)


def _read(path: Path) -> Dict[str, Any]:
    try:
        content = load(path.read_bytes())
    except NotPlain as error:
        raise SymptomError(f'{path.name}: {error}') from None
    if not isinstance(content, dict) or not set(content) <= {'title', 'facts', 'symptoms'}:
        raise SymptomError(f'{path.name} has other keys', 'title, facts and symptoms')
    return content


def _symptom(row: Mapping[str, Any], file: str, facts: Mapping[str, Any],
             problems: List[str]) -> Symptom:
    where = f'{file}: {row.get("name", "a symptom without a name")}'
    absent = {'name', 'patterns', 'cause', 'remedy', 'source'} - set(row)
    problems += [f'{where}: {key} is missing' for key in sorted(absent)]
    problems += [f'{where}: unknown key {key}' for key in sorted(set(row) - KEYS)]
    patterns = _patterns(row.get('patterns', ()), where, problems)
    own = {name for pattern in patterns for name in pattern.regex.groupindex}
    always = set.intersection(*(set(pattern.regex.groupindex) for pattern in patterns), own)
    cases = list(_cases(row, where, own | set(facts), problems))
    for case in cases:
        given = always | {name for name, value in case.when.items() if not value.fullmatch('')}
        problems += [f'{where}: {{{name}}} may be unknown: name it in when'
                     for name in _fields(case) if name not in given]
    return Symptom(str(row.get('name')), patterns, cases, str(row.get('source')),
                   row.get('follows', ()),
                   {name: row[name] for name in PLATFORMS if name in row},
                   bool(row.get('harmless')))


def _cases(row: Mapping[str, Any], where: str, known: Set[str],
           problems: List[str]) -> Iterator[Case]:
    for case in [*row.get('cases', ()), {}]:
        when = {name: re.compile(str(value), re.IGNORECASE)
                for name, value in case.get('when', {}).items()}
        problems += [f'{where}: no fact {name}' for name in when if name not in known]
        texts = {key: str(case.get(key, row.get(key, ''))).strip() for key in TEXTS}
        yield Case(when, **texts)


def _patterns(sources: Iterable[Any], where: str, problems: List[str]) -> List[SafePattern]:
    patterns = []
    for source in chain.from_iterable(_choices(str(one)) for one in sources):
        try:
            patterns.append(SafePattern(source))
        except (ValueError, re.error) as error:
            problems.append(f'{where}: {source}: {error}')
    return patterns


def _choices(source: str) -> List[str]:
    """Return a pattern for each choice at its beginning: `(?:a|b)c` becomes `ac` and `bc`."""
    found = FIRST_CHOICE.fullmatch(source)
    return [choice + found[2] for choice in found[1].split('|')] if found else [source]


def _fields(case: Case) -> List[str]:
    return [name for text in (case.cause, case.remedy)
            for _, name, _, _ in Formatter().parse(text) if name is not None]


def _order_problems(symptoms: Mapping[str, Symptom]) -> List[str]:
    unknown = [f'{row.name} follows {name}, which is not there' for row in symptoms.values()
               for name in row.follows if name not in symptoms]
    try:
        TopologicalSorter({row.name: row.follows for row in symptoms.values()}).prepare()
    except CycleError as error:
        return [*unknown, f'symptoms follow one another in a circle: {error.args[1]}']
    return unknown


class _Facts(Dict[str, str]):
    """Facts of which a group that matched nothing is unknown."""

    def __missing__(self, name: str) -> str:
        """Return a word for what is unknown."""
        return f'(unknown {name})'


def render(text: str, facts: Mapping[str, str]) -> str:
    """Return a text of the data with the facts in it."""
    return ' '.join(text.format_map(_Facts(facts)).split())


def platform_lines(symptom: Symptom) -> List[Tuple[str, str]]:
    """Return what else helps, with the platform that it is for."""
    return [(PLATFORMS[name], ' '.join(text.split())) for name, text in symptom.platforms.items()]
