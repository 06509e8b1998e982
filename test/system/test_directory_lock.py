"""A directory has one writer at a time, and a dead one blocks nobody."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import tiny
from vla_nav_node.bundle.bundle import amend, load_bundle
from vla_nav_node.system.atomic_files import locked

HOLD = ('import sys, time; from pathlib import Path\n'
        'from vla_nav_node.system.atomic_files import locked\n'
        'with locked(Path(sys.argv[1])):\n'
        '    print("held", flush=True); time.sleep(100)\n')
AMEND = ('import sys; from vla_nav_node.bundle.bundle import amend, load_bundle\n'
         'bundle = load_bundle(sys.argv[1])\n'
         'def change(manifest):\n'
         '    manifest["verification"].setdefault("proof", {})[sys.argv[2] + str(n)] = n\n'
         'for n in range(5):\n'
         '    amend(bundle, change)\n')


@pytest.fixture(name='holder')
def _holder(tmp_path):
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE,
                               text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()


def test_who_holds_it_keeps_others_out_and_for_so_long_only(holder, tmp_path):
    with pytest.raises(OSError, match='another process is writing there'), locked(tmp_path, 0.1):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_dead_process_is_free(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path, 0.0):
        pass


def test_threads_keep_one_another_out(tmp_path):
    with locked(tmp_path):
        problems = []

        def try_it():
            with pytest.raises(OSError), locked(tmp_path, 0.05):
                problems.append('it was let in')
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert problems == []


def test_who_waited_for_a_directory_that_was_replaced_waits_for_the_new_one(tmp_path):
    there, other, entered = tmp_path / 'there', tmp_path / 'other', threading.Event()
    there.mkdir()
    other.mkdir()
    inodes = []

    def wait():
        with locked(there):
            inodes.append(os.stat(there).st_ino)
            entered.set()
    with locked(there):
        thread = threading.Thread(target=wait)
        thread.start()
        new = os.stat(other).st_ino
        there.rename(tmp_path / 'aside')
        other.rename(there)
    thread.join(30)
    assert entered.is_set() and inodes == [new]


def test_figures_that_are_put_in_at_once_are_all_kept(tmp_path):
    """Threads of one process, and processes."""
    bundle = tiny.write_tiny(tmp_path / 'tiny')

    def put_in(who):
        for number in range(5):
            amend(bundle, lambda manifest: manifest['verification'].setdefault(
                'proof', {}).update({f'{who}{number}': number}))  # noqa: B023, used in this turn
    threads = [threading.Thread(target=put_in, args=(who,)) for who in 'ab']
    processes = [subprocess.Popen([sys.executable, '-c', AMEND, str(bundle.directory), who])
                 for who in 'cd']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert load_bundle(bundle.directory).manifest['verification']['proof'] == {
        f'{who}{number}': number for who in 'abcd' for number in range(5)}
    assert len(list(bundle.directory.iterdir())) == 3


def test_figures_that_came_while_a_file_was_made_are_kept(tmp_path):
    """Quantize works for minutes on a bundle that verify writes its verdicts into."""
    from vla_nav_node.convert.export.rewrite import rewrite_bundle
    from vla_nav_node.errors import BundleError
    bundle = tiny.write_tiny(tmp_path / 'tiny')
    (tmp_path / 'new').write_bytes(b'made of the fp32 graph')
    amend(bundle, lambda manifest: manifest['training'].update(loss=0.25))
    after = rewrite_bundle(bundle, bundle.directory, {'policy.int8.onnx': tmp_path / 'new'},
                           lambda manifest: manifest['training'].update(epoch=3))
    assert after.manifest['training'] == {'trained': True, 'loss': 0.25, 'epoch': 3}
    assert after.precisions == ('fp32', 'int8')
    again = rewrite_bundle(bundle, bundle.directory, {'policy.fp16.onnx': tmp_path / 'new'})
    assert again.precisions == ('fp32', 'int8', 'fp16')
    rewrite_bundle(bundle, bundle.directory, {'policy.fp32.onnx': tmp_path / 'new'})
    with pytest.raises(BundleError, match='policy.fp32.onnx of .* was replaced meanwhile'):
        rewrite_bundle(bundle, bundle.directory, {'policy.int8.onnx': tmp_path / 'new'})
