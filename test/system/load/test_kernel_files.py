"""Small files of the kernel, which may be missing."""

from vla_nav_node.system.load.kernel_files import matching, read_number, read_numbers, read_text


def test_what_is_missing_is_no_error(tmp_path):
    (tmp_path / 'max').write_text('max\n')
    (tmp_path / 'n').write_text('-12\n')
    assert read_text(str(tmp_path / 'none')) == read_text(str(tmp_path)) == ''
    assert read_number(str(tmp_path / 'max')) is None
    assert read_numbers([str(tmp_path / name) for name in ('n', 'none', 'max')]) == [-12]


def test_patterns_find_files_below_a_root_of_any_name(tmp_path):
    root = tmp_path / 'a[b]*'
    for name in ('cpu1', 'cpu0'):
        (root / name).mkdir(parents=True)
    assert matching(str(root), 'cpu*') == [str(root / 'cpu0'), str(root / 'cpu1')]
    assert matching(str(tmp_path / 'none'), 'cpu*') == []
