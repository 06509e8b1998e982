"""Write the symptoms into docs/troubleshooting.md: python test/trouble.py (make trouble)."""

from pathlib import Path
import re
import sys

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / 'docs' / 'troubleshooting.md'
BEGIN = '<!-- make trouble: written from vla_nav_node/doctor/symptoms/data -->\n'


def page(text):
    """Return the text of docs/troubleshooting.md with today's symptoms below its own words."""
    sys.path.insert(0, str(REPOSITORY))
    from vla_nav_node.doctor.symptoms.catalogue import catalogue
    known = catalogue()
    parts = [text.partition(BEGIN)[0], BEGIN]
    for title, names in known.topics.items():
        parts.append(f'\n## {title}\n')
        parts += [_section(known.symptoms[name]) for name in names]
    return ''.join(parts)


def _section(symptom):
    from vla_nav_node.doctor.symptoms.catalogue import platform_lines
    default = symptom.cases[-1]
    lines = [f'\n### {symptom.name}\n', f'{_plain(default.cause)}\n']
    if symptom.harmless:
        lines.append('Harmless.')
    lines.append(f'- **Fix.** {_plain(default.remedy)}')
    for case in symptom.cases[:-1]:
        lines.append(f'- **Or:** {_plain(case.cause)} **Fix.** {_plain(case.remedy)}')
    lines += [f'- **{platform}.** {text}' for platform, text in platform_lines(symptom)]
    if symptom.follows:
        lines.append('- Follows from: ' + ', '.join(f'[{name}](#{name})'
                                                    for name in symptom.follows) + '.')
    lines.append(f'- Source: {symptom.source}.')
    return '\n'.join(lines) + '\n'


def _plain(text):
    """Return a text with its facts as words in capitals, as in DRIVER."""
    return re.sub(r'\{(\w+)\}', lambda fact: fact[1].upper(), ' '.join(text.split()))


if __name__ == '__main__':
    PAGE.write_text(page(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
    print(PAGE)
