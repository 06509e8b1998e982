"""Weights are found if only one choice is possible; otherwise the user is asked."""

from copy import deepcopy
import json

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')
pytest.importorskip('onnxruntime', reason='ONNX Runtime is not installed')
pytest.importorskip('onnx', reason='onnx is not installed')

from driven import assert_drives_as_it_did, pictures  # noqa: E402, I100
from importer import fresh_weights, importing, saved, sb3_zip, structure  # noqa: E402, F401
import original  # noqa: E402
from torch import nn  # noqa: E402
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn  # noqa: E402
from vla_nav_node.bundle.bundle import load_bundle  # noqa: E402
from vla_nav_node.convert.checkpoint.checkpoint import (  # noqa: E402
    read_checkpoint, refuse_foreign)
from vla_nav_node.convert.checkpoint.containers import Selection  # noqa: E402
from vla_nav_node.errors import CheckpointError  # noqa: E402


def sd(seed=0):
    return dict(original.original(seed).state_dict())


def under(prefix, weights):
    return {f'{prefix}.{name}': value for name, value in weights.items()}


def read(tmp_path, document, weights='', drop=(), rules=()):
    torch.save(document, tmp_path / 'c.pth')
    return read_checkpoint(tmp_path / 'c.pth', Selection(weights, drop, dict(rules)))


def is_seed(checkpoint, seed):
    wanted = sd(seed)
    return checkpoint.tensors.keys() == wanted.keys() and all(
        torch.equal(value, wanted[name]) for name, value in checkpoint.tensors.items())


OPTIMIZER = torch.optim.Adam(original.original().parameters()).state_dict()
OPTIMIZER['state'] = {place: {'step': torch.tensor(1.), 'exp_avg': torch.ones_like(value)}
                      for place, value in enumerate(sd().values())}
ONE_READING = {
    'nested keys': {'model': {'state_dict': sd()}, 'optimizer': OPTIMIZER},
    'robomimic': {'model': {'nets': under('policy', sd())}},
    'an actor and another critic': {'actor_state_dict': sd(), 'critic_state_dict': {
        'net.0.weight': torch.ones(3, 3)}, 'optimizer_state_dict': OPTIMIZER},
    'agent': {'agent': under('actor', sd()), 'rng_state': torch.get_rng_state()},
    'a dict for each part': {part: {name.partition('.')[2]: value for name, value in sd().items()
                                    if name.startswith(part)}
                             for part in ('vision_encoder', 'rnn', 'actions')},
    'one in a list': {'model': [sd()]},
    'the same twice': {'state_dict': sd(), 'best_state_dict': sd()},
    'DataParallel, compiled, Lightning': {'state_dict': under('model.module._orig_mod', sd())},
    'compiled, Lightning': {'state_dict': under('_orig_mod.policy', sd())},
    'figures as tensors': {**sd(), 'val_mae': torch.tensor(0.222)},
}


@pytest.mark.parametrize('form', ONE_READING)
def test_weights_that_have_one_reading_are_found(tmp_path, form):
    options = {'figures as tensors': {'drop': ['val_mae']},
               'one in a list': {'weights': 'model.0'}}.get(form, {})
    assert is_seed(read(tmp_path, ONE_READING[form], **options), 0)


def averaged(form):
    """Return a checkpoint with raw weights of seed 0 and an average of seed 1."""
    raw, average = sd(0), sd(1)
    return {
        'beside': {'model_state_dict': raw, 'ema_state_dict': average},
        'timm': {'state_dict': raw, 'state_dict_ema': under('module', average)},
        'in one container': {'state_dicts': {'model': raw, 'ema_model': average}},
        'in one dict': {'state_dict': {**under('model', raw), **under('ema_model', average)}},
        'raw without a prefix': {'state_dict': {**raw, **under('ema', average)}},
        'at the top': {**under('actor', raw), **under('target_actor', average)},
        'averaged_model.module': {'state_dict': {
            **under('policy', raw), **under('averaged_model.module', average),
            'averaged_model.n_averaged': torch.tensor(3)}},
        'dots in keys': {'net.raw': raw, 'net.ema.v2': average},
        'a list': {'models': [raw, average]},
    }[form]


@pytest.mark.parametrize('form, lines, chosen', [
    ('beside', '--weights model_state_dict, or --weights ema_state_dict', 'ema_state_dict'),
    ('timm', '--weights state_dict, or --weights state_dict_ema.module', 'state_dict_ema'),
    ('in one container', '--weights state_dicts.model, or --weights state_dicts.ema_model',
     'state_dicts.ema_model'),
    ('in one dict', '--weights state_dict.model, or --weights state_dict.ema_model',
     'state_dict.ema_model'),
    ('raw without a prefix', '--weights state_dict --drop ema, or --weights state_dict.ema',
     'state_dict.ema'),
    ('at the top', '--weights actor, or --weights target_actor', 'target_actor'),
    ('averaged_model.module',
     '--weights state_dict.policy, or --weights state_dict.averaged_model.module',
     'state_dict.averaged_model.module'),
    ('dots in keys', '--weights net.raw, or --weights net.ema.v2', 'net.ema.v2'),
    ('a list', '--weights models.0, or --weights models.1', 'models.1')])
def test_where_two_fit_is_a_question_and_its_lines_answer_it(tmp_path, form, lines, chosen):
    with pytest.raises(CheckpointError) as refusal:
        read(tmp_path, averaged(form))
    assert '2 places' in refusal.value.found and refusal.value.fix == f'add {lines}'
    raw, average = (line.split() for line in lines.split(', or '))
    for line, seed in ((raw, 0), (average, 1)):
        options = dict(zip(line[::2], line[1::2]))
        assert is_seed(read(tmp_path, averaged(form), options['--weights'],
                            [options['--drop']] if '--drop' in options else []), seed)
    taken = read(tmp_path, averaged(form), chosen)
    assert is_seed(taken, 1) and taken.notes == [f'the weights at {chosen}']


def test_raw_weights_at_the_top_are_chosen_by_dropping_the_others(tmp_path):
    document = {**sd(0), **under('ema', sd(1))}
    with pytest.raises(CheckpointError) as refusal:
        read(tmp_path, document)
    assert refusal.value.fix == 'add --drop ema, or --weights ema'
    assert is_seed(read(tmp_path, document, drop=['ema']), 0)
    assert is_seed(read(tmp_path, document, 'ema'), 1)


@pytest.mark.parametrize('place', ['ema_state_dict', 'teacher', 'swa.model', 'target_policy'])
def test_a_place_that_may_mean_another_network_is_named_by_the_user(tmp_path, place):
    document = sd()
    for key in reversed(place.split('.')):
        document = {key: document}
    with pytest.raises(CheckpointError, match=f'add --weights {place}'):
        read(tmp_path, document)
    assert is_seed(read(tmp_path, document, place), 0)


def test_an_average_without_names_is_seen(tmp_path):
    """torch_ema and diffusers keep the average as a list in the parameters' order."""
    document = {'model': sd(), 'ema': {'decay': 0.99, 'shadow_params': list(sd(1).values())}}
    with pytest.raises(CheckpointError) as refusal:
        read(tmp_path, document)
    assert 'ema.shadow_params (30 tensors)' in str(refusal.value)
    assert 'add --weights model for' in refusal.value.fix
    assert is_seed(read(tmp_path, document, 'model'), 0)
    with pytest.raises(CheckpointError, match='has 0 .* and no vision_encoder'):
        refuse_foreign(read(tmp_path, document, 'ema'))


def test_an_average_that_is_a_whole_object_is_seen(tmp_path):
    document = {'model_state_dict': sd(), 'ema': original.original(1)}
    with pytest.raises(CheckpointError, match=r'ema \(\d+ tensors in an object of original.Orig'):
        read(tmp_path, document)
    assert is_seed(read(tmp_path, document, 'model_state_dict'), 0)


def test_an_average_with_other_names_is_seen(tmp_path):
    mangled = {name.replace('.', '_'): value for name, value in sd(1).items()}
    with pytest.raises(CheckpointError, match='same shapes, perhaps their average: ema'):
        read(tmp_path, {'model': sd(), 'ema': mangled})
    assert is_seed(read(tmp_path, {**sd(), 'ema': mangled}, drop=['ema']), 0)
    beside = {**under('model', sd()), **under('model_ema', mangled), 'log_std': torch.ones(2)}
    with pytest.raises(CheckpointError) as refusal:
        read(tmp_path, {'state_dict': beside})
    assert 'state_dict.model_ema (30 tensors)' in refusal.value.found
    assert is_seed(read(tmp_path, {'state_dict': beside}, 'state_dict.model'), 0)


def test_a_place_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(CheckpointError, match='no weights lie at ema; expected one of a, b.c;'):
        read(tmp_path, {'a': sd(), 'b': {'c': sd()}}, 'ema')


def test_several_places_of_foreign_names_are_listed(tmp_path):
    with pytest.raises(CheckpointError) as refusal:
        read(tmp_path, {'policy': {'cnn.0.weight': torch.ones(2)}, 'optimizer': OPTIMIZER,
                        'critic': {'net.0.weight': torch.ones(2)}})
    assert 'policy (1 tensor, cnn.0.weight), critic (1 tensor, net.0.weight)' \
        in refusal.value.found
    assert '--weights PLACE' in refusal.value.fix


def test_rules_reach_the_names_below_a_place(tmp_path):
    weights = {name.replace('actions', 'head.mlp'): value for name, value in sd().items()}
    for place, chosen in (('net.model', ''), ('ema', 'ema')):
        document = {'state_dict': under(place, weights)}
        assert is_seed(read(tmp_path, document, chosen and f'state_dict.{chosen}',
                            rules={'head.mlp': 'actions'}), 0)


def lively_average():
    """Average a network over two steps, as torch.optim.swa_utils does."""
    network = original.original()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    average.update_parameters(network)
    return network, average


def test_what_the_policy_does_not_need_is_dropped_by_name_and_told(tmp_path, capsys):
    network, average = lively_average()
    weights = {**average.state_dict(), 'criterion.weight': torch.ones(3), 'log_std': torch.ones(2),
               'critic.0.weight': torch.full((2, 2), float('nan')),
               'critic.0.bias': torch.ones(2)}
    torch.save({'state_dict': weights}, tmp_path / 'c.pth')
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', '--drop', 'critic', 'log_std', '--drop',
                     'criterion.weight', 'n_averaged', structure=structure(tmp_path / 's.yaml'),
                     json=tmp_path / 'r.json') == 0
    message = capsys.readouterr().out
    assert 'note: dropped by --drop critic: 2 tensors, critic.0.weight, critic.0.bias' in message
    assert 'note: dropped by --drop n_averaged: 1 tensor, n_averaged' in message
    assert json.loads((tmp_path / 'r.json').read_text())['dropped'] == {
        'critic': ['critic.0.weight', 'critic.0.bias'], 'log_std': ['log_std'],
        'criterion.weight': ['criterion.weight'], 'n_averaged': ['n_averaged']}
    assert_drives_as_it_did(load_bundle(tmp_path / 'b'), network, pictures())


@pytest.mark.parametrize('prefix', ['critic', 'model.critic', 'state_dict.model.critic'])
def test_a_drop_takes_names_as_the_file_or_a_message_has_them(tmp_path, prefix):
    document = {'state_dict': under('model', {**sd(), 'critic.0.weight': torch.ones(2)})}
    assert is_seed(read(tmp_path, document, drop=[prefix]), 0)
    assert is_seed(read(tmp_path, {'ema': {**sd(), 'critic.a': torch.ones(2)}}, 'ema',
                        ['critic']), 0)


@pytest.mark.parametrize('prefix', ['criti', 'ritic', 'weight', 'state', 'state_dict.rn'])
def test_a_drop_that_takes_nothing_is_refused(tmp_path, prefix):
    with pytest.raises(CheckpointError, match=f'no tensor is called {prefix}'):
        read(tmp_path, {'state_dict': {**sd(), 'critic.0.weight': torch.ones(2)}}, drop=[prefix])


@pytest.mark.parametrize('prefix', ['actions.2', 'actions', 'rnn.bias_ih_l0'])
def test_a_drop_that_takes_what_is_needed_writes_nothing(tmp_path, weights, prefix):
    path = saved(tmp_path / 'c.pth', weights)
    out = tmp_path / 'never'
    assert importing(path, out, '--drop', prefix, structure=structure(tmp_path / 's.yaml')) == 2
    assert not out.exists()


def test_the_hints_of_drop(tmp_path, weights, capsys):
    weights.update({'critic.0.weight': torch.ones(2), 'log_std': torch.ones(2)})
    saved(tmp_path / 'c.pth', weights)
    shape = structure(tmp_path / 's.yaml')
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', structure=shape) == 2
    assert '--drop critic log_std leaves them out' in capsys.readouterr().err
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', '--drop', 'critic', 'log_std',
                     'actions.2', structure=shape) == 2
    message = capsys.readouterr().err
    assert 'actions.2.weight is missing' in message
    assert '--drop actions.2 takes what the policy needs' in message
    assert 'leaves them' not in message
    assert importing(tmp_path / 'c.pth', tmp_path / 'b', '--drop', 'actions', 'critic', 'log_std',
                     structure=shape) == 2
    assert '--drop actions takes what the policy needs' in capsys.readouterr().err


def test_copies_of_a_storage_go_by_themselves_and_other_weights_do_not(tmp_path):
    network = original.original()
    network.head = network.actions
    network.extractors = nn.ModuleDict({'images': network.vision_encoder})
    taken = read(tmp_path, {'model_state_dict': network.state_dict()})
    assert is_seed(taken, 0)
    assert 'copies of weights under another name: 14 tensors, head.0.weight' in taken.notes[0]
    network.head = deepcopy(network.actions)  # equal now, and another storage: who knows of later
    taken = read(tmp_path, {'model_state_dict': network.state_dict()})
    assert 'head.0.weight' in taken.tensors and 'extractors.images.0.weight' not in taken.tensors


def test_tied_weights_that_both_count_stay(tmp_path):
    network = original.original(layers=2, widths=(4, 6, 6), features=12)
    network.rnn.weight_ih_l1 = network.rnn.weight_hh_l1
    network.rnn.weight_hh_l0 = network.rnn.weight_hh_l1
    taken = read(tmp_path, network.state_dict())
    assert taken.tensors.keys() == network.state_dict().keys() and not taken.notes


def normed():
    network = original.original()
    network.vision_encoder.insert(1, nn.BatchNorm2d(4))
    return network


@pytest.mark.parametrize('change', ['as saved', 'missing', 'half', 'another'])
def test_the_counter_of_batch_normalisation_is_never_missed_nor_in_the_way(tmp_path, change):
    network = normed()
    weights = dict(network.state_dict())
    counter = 'vision_encoder.1.num_batches_tracked'
    if change == 'missing':
        weights.pop(counter)
    elif change == 'half':
        weights = {name: value.half() for name, value in weights.items()}
    elif change == 'another':
        weights['vision_encoder.2.num_batches_tracked'] = torch.tensor(9)
        weights['criterion.num_batches_tracked'] = torch.tensor(9)
    taken = read(tmp_path, weights)
    assert taken.tensors.keys() == network.state_dict().keys()
    assert taken.tensors[counter].dtype == torch.int64


class Recurrent(nn.Module):
    """A network like sb3-contrib's CnnLstmPolicy, with two extractors of one storage."""

    def __init__(self):
        super().__init__()
        self.features_extractor = nn.Module()
        self.features_extractor.cnn = nn.Sequential(
            nn.Conv2d(3, 4, 8, 4), nn.ReLU(), nn.Conv2d(4, 6, 4, 2), nn.ReLU(),
            nn.Conv2d(6, 6, 3, 1), nn.ReLU(), nn.Flatten())
        self.features_extractor.linear = nn.Sequential(nn.Linear(6 * 2 * 2, 16), nn.ReLU())
        self.pi_features_extractor = self.vf_features_extractor = self.features_extractor
        self.lstm_actor = nn.LSTM(16, 12)
        self.lstm_critic = nn.LSTM(16, 12)
        self.action_net, self.value_net = nn.Linear(12, 2), nn.Linear(12, 1)
        self.log_std = nn.Parameter(torch.zeros(2))

    def forward(self, images):
        """Run a sequence [1, T, 3, H, W] -> [1, T, 2]."""
        features = self.features_extractor.linear(self.features_extractor.cnn(images[0]))
        return self.action_net(self.lstm_actor(features[:, None])[0])[:, 0][None]


def test_a_policy_of_sb3_contrib_drives_as_it_did(tmp_path, capsys):
    torch.manual_seed(0)
    network = Recurrent().eval()
    for weight in network.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=2.0 / weight[0].numel() ** 0.5)
    sb3_zip(tmp_path / 'run.zip', network.state_dict())
    structure(tmp_path / 's.yaml', [
        {'type': 'Conv2d', 'stride': 4}, {'type': 'ReLU'}, {'type': 'Conv2d', 'stride': 2},
        {'type': 'ReLU'}, {'type': 'Conv2d'}, {'type': 'ReLU'}, {'type': 'Flatten'},
        {'type': 'Linear'}, {'type': 'ReLU'}], [{'type': 'Linear'}], type='LSTM')
    assert importing(tmp_path / 'run.zip', tmp_path / 'b', '--map',
                     'features_extractor.cnn=vision_encoder',
                     'features_extractor.linear.0=vision_encoder.7', 'lstm_actor=rnn',
                     '--map', 'action_net=actions.0', '--drop', 'lstm_critic', 'value_net',
                     'log_std', structure=tmp_path / 's.yaml', limits=(2.0, 2.0)) == 0
    message = capsys.readouterr().out
    for part in ('Stable-Baselines3', 'lstm_critic: 4 tensors', 'another name: 16 tensors'):
        assert part in message
    assert_drives_as_it_did(load_bundle(tmp_path / 'b'), network, pictures())
