"""The ascent step: closed forms, another implementation, non-finite gradients, rounding."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_optimizer
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Trainer, TrainerCallback, TrainingArguments

from hf_knowlearn.training import SAMMixin, SAMOptions, sam, sam_ascent

exactly = partial(torch.testing.assert_close, rtol=0, atol=0, equal_nan=True)
to_1e_12 = partial(torch.testing.assert_close, rtol=0, atol=1e-12)


def hessian_and_weights(size=6, seed=0):
    """A positive definite H and a start w, split into two parameters, so that the norm must cover both."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=generator, dtype=torch.float64)
    start = torch.randn(size, generator=generator, dtype=torch.float64)
    return (
        root @ root.T + torch.eye(size, dtype=torch.float64),
        start,
        [
            nn.Parameter(start[:2].clone()),
            nn.Parameter(start[2:].clone()),
        ],
    )


def descend(h, weights, rho, steps=20, learning_rate=0.03, **options):
    def backward():
        w = torch.cat(weights)
        (w @ h @ w / 2).backward()

    for _ in range(steps):
        backward()
        with sam_ascent(weights, rho, **options) as stats:
            assert stats
            backward()
        with torch.no_grad():
            for w in weights:
                w -= learning_rate * w.grad
                w.grad = None
    return torch.cat(weights).detach()


def test_sam_on_a_quadratic_follows_the_closed_form():
    h, w, weights = hessian_and_weights()
    for _ in range(20):
        gradient = h @ w
        w = w - 0.03 * h @ (w + 0.3 * gradient / gradient.norm())
    to_1e_12(descend(h, weights, rho=0.3), w)


@pytest.mark.parametrize("eta", [0.0, 0.01])
def test_asam_on_a_quadratic_follows_the_closed_form(eta, monkeypatch):
    monkeypatch.setattr(sam, "ASAM_ETA", eta)
    h, w, weights = hessian_and_weights()
    for _ in range(20):
        gradient, t = h @ w, w.abs() + eta
        w = w - 0.03 * h @ (w + 0.3 * t**2 * gradient / (t * gradient).norm())
    to_1e_12(descend(h, weights, rho=0.3, adaptive=True), w)


def test_sam_converges_to_its_two_cycle_around_the_minimum_of_a_parabola():
    # |w| = lr * a * rho / (2 - lr * a) for L = a w^2 / 2: each step changes the sign of w
    w = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    end = descend(torch.tensor([[4.0]], dtype=torch.float64), [w], rho=0.1, steps=400, learning_rate=0.1)
    to_1e_12(end.abs(), torch.tensor([0.1 * 4.0 * 0.1 / (2 - 0.1 * 4.0)], dtype=torch.float64))


def test_asam_without_eta_is_invariant_to_rescaled_weights(monkeypatch):
    monkeypatch.setattr(sam, "ASAM_ETA", 0.0)
    h, start, weights = hessian_and_weights()
    scale = torch.tensor([0.1, 3.0, 1.0, 20.0, 0.5, 2.0], dtype=torch.float64)
    scaled = nn.Parameter(start * scale)
    with torch.no_grad():
        gradient = h @ start
        weights[0].grad, weights[1].grad, scaled.grad = gradient[:2], gradient[2:], gradient / scale
    with sam_ascent(weights, 0.3, adaptive=True), sam_ascent([scaled], 0.3, adaptive=True):
        to_1e_12(scaled.detach() / scale, torch.cat(weights).detach())


def test_a_gradient_of_zero_moves_no_weight(monkeypatch):
    monkeypatch.setattr(sam, "ASAM_ETA", 0.0)
    # LoRA before its first step: B is 0, so the gradient of A is 0.
    a, b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
    a.grad, b.grad = torch.zeros(3), torch.ones(3)
    with sam_ascent([a, b], 0.5, adaptive=True) as stats:
        assert stats
        exactly(a.detach(), torch.ones(3))
        exactly(b.detach(), torch.zeros(3))
    a.grad, b.grad = torch.zeros(3), torch.zeros(3)
    with sam_ascent([a, b], 0.5):
        exactly(a.detach(), torch.ones(3))


def test_asam_moves_weights_of_zero():
    b = nn.Parameter(torch.zeros(4))
    b.grad = torch.ones(4)
    with sam_ascent([b], 0.5, adaptive=True):
        torch.testing.assert_close(b.detach(), torch.full((4,), 0.5 * 0.01**2 / (0.01 * 2)))


def test_weights_without_a_gradient_do_not_move_and_do_not_count():
    moved, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    moved.grad = torch.tensor([3.0, 4.0])
    with sam_ascent([unused, moved], 5.0):
        exactly(moved.detach(), torch.tensor([4.0, 5.0]))
        exactly(unused.detach(), torch.ones(2))
        assert moved.grad is None


def test_stats_are_false_if_no_weight_has_a_gradient():
    with sam_ascent([nn.Parameter(torch.ones(2))], 5.0) as stats:
        assert not stats


def test_a_loss_scale_does_not_change_the_ascent_step():
    plain, scaled = nn.Parameter(torch.randn(50)), nn.Parameter(torch.empty(50))
    scaled.data.copy_(plain.data)
    plain.grad = torch.randn(50)
    scaled.grad = plain.grad * 2.0**16
    with sam_ascent([plain], 0.1), sam_ascent([scaled], 0.1):
        exactly(scaled.detach(), plain.detach())


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("adaptive", [False, True])
def test_weights_do_not_move_if_the_gradient_is_not_finite(bad, adaptive):
    w, v = nn.Parameter(torch.randn(5)), nn.Parameter(torch.randn(5))
    w.grad, v.grad = torch.randn(5), torch.tensor([1.0, bad, 2.0, 3.0, 4.0])
    before = [t.detach().clone() for t in (w, v)]
    with sam_ascent([w, v], 0.1, adaptive=adaptive) as stats:
        assert not stats
        exactly([w.detach(), v.detach()], before)
        assert w.grad is v.grad is None  # the second pass must not add to the first
    exactly([w.detach(), v.detach()], before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_weights_are_restored_bit_for_bit_in_the_same_memory(dtype, error):
    w = nn.Parameter(torch.randn(20_000).to(dtype))
    w.grad = torch.randn(20_000).to(dtype)
    before, address = w.detach().clone(), w.data_ptr()
    with pytest.raises(error) if error else nullcontext(), sam_ascent([w], 2.0):
        assert not torch.equal(w, before)
        if error:
            raise error
    exactly(w.detach(), before)
    assert w.data_ptr() == address


def test_an_open_autocast_block_uses_no_casts_from_before_the_ascent_step():
    layer, x = nn.Linear(16, 16), torch.randn(4, 16)
    with torch.autocast("cpu", torch.bfloat16):
        before = layer(x)
        before.float().pow(2).sum().backward()
        with sam_ascent(layer.parameters(), 3.0):
            perturbed, fresh = layer(x), nn.Linear(16, 16)
            fresh.load_state_dict(layer.state_dict())
            exactly(perturbed, fresh(x))
            assert (perturbed - before).abs().max() > 0.5
        exactly(layer(x), before)


class HostReads(TorchDispatchMode):
    """Counts how often the host waits for a value from the device, as in `.item()`, `bool(...)` and `float(...)`."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("random_seed", [None, 3])
@pytest.mark.parametrize(("measure", "reads"), [(False, 1), (True, 5)])
def test_the_host_waits_once_for_the_device(adaptive, random_seed, measure, reads):
    weights = [nn.Parameter(torch.randn(3)) for _ in range(5)]
    for w in weights:
        w.grad = torch.randn(3)
    options = {"adaptive": adaptive, "random_seed": random_seed, "measure": measure}
    with HostReads() as host_reads, sam_ascent(weights, 0.1, **options) as stats:
        assert stats
    assert host_reads.count == reads


# TRL computes the loss in fp32. Comparisons to 1e-12 therefore use the Trainer of transformers, in fp64.


@dataclass
class Arguments(SAMOptions, TrainingArguments):
    pass


class SAMTrainer(SAMMixin, Trainer):
    pass


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.layers = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 2)).double()
            self.never_used = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x, labels):
        return {"loss": mse_loss(self.layers(x), labels)}


def examples(count=16):
    generator = torch.Generator().manual_seed(5)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    return [{"x": draw(5), "labels": draw(2)} for _ in range(count)]


def new_trainer(folder, trainer_class=SAMTrainer, **options):
    settings = {
        "output_dir": str(folder),
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "save_strategy": "no",
        "train_sampling_strategy": "sequential",
        "lr_scheduler_type": "constant",
        "learning_rate": 0.05,
        "weight_decay": 0.1,
        "max_grad_norm": 0.0,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "max_steps": 10,
        "logging_steps": 1,
    }
    return trainer_class(Network(), Arguments(**settings | options), train_dataset=examples())


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw_torch"])
def test_the_trajectory_equals_that_of_pytorch_optimizer(optimizer, adaptive, tmp_path, monkeypatch):
    monkeypatch.setattr(sam, "ASAM_ETA", 0.0)
    trainer = new_trainer(tmp_path, optim=optimizer, sam_rho=0.2, sam_adaptive=adaptive)
    trainer.train()

    model, rows = Network(), examples()
    names = trainer.get_decay_parameter_names(model)
    groups = [
        {"params": [p for n, p in model.named_parameters() if n in names], "weight_decay": 0.1},
        {"params": [p for n, p in model.named_parameters() if n not in names], "weight_decay": 0.0},
    ]
    assert all(group["params"] for group in groups)
    base = {"sgd": torch.optim.SGD, "adamw_torch": torch.optim.AdamW}[optimizer]
    oracle = pytorch_optimizer.SAM(groups, base, lr=0.05, rho=0.2, adaptive=adaptive)
    for step in range(10):
        window = rows[8 * (step % 2) :][:8]

        def closure(window=window):
            oracle.zero_grad()
            loss = model(torch.stack([r["x"] for r in window]), torch.stack([r["labels"] for r in window]))["loss"]
            loss.backward()
            return loss

        closure()
        oracle.step(closure)

    expected = dict(model.named_parameters())
    assert (expected["layers.0.weight"] - Network().layers[0].weight).abs().max() > 0.05  # the weights moved
    for name, weight in trainer.model.named_parameters():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)


def by_hand(steps, ascent, rho=0.2, learning_rate=0.05):
    """SGD over windows of four micro-batches of two rows. `ascent(step)` micro-batches give the ascent gradient."""
    model, rows = Network(), examples()
    weights = list(model.layers.parameters())

    def gradient(part):
        loss = model(torch.stack([r["x"] for r in part]), torch.stack([r["labels"] for r in part]))["loss"]
        return torch.autograd.grad(loss, weights)

    for step in range(steps):
        window = rows[8 * (step % 2) :][:8]
        saved = [w.detach().clone() for w in weights]
        with torch.no_grad():
            if ascent(step):
                gradients = [g.clone() for g in torch.enable_grad()(gradient)(window[: 2 * ascent(step)])]
                norm = torch.cat([g.flatten() for g in gradients]).norm()
                for w, g in zip(weights, gradients, strict=True):
                    w += rho * g / norm
            sam_gradients = torch.enable_grad()(gradient)(window)
            for w, start, g in zip(weights, saved, sam_gradients, strict=True):
                w.copy_(start - learning_rate * g)
    return weights


def layers_of(trainer):
    return list(trainer.model.layers.parameters())


WITHOUT_DECAY = {"optim": "sgd", "weight_decay": 0.0, "sam_rho": 0.2}


@pytest.mark.parametrize("batches", [0, 1, 2, 3, 4])
def test_ascent_from_part_of_a_window_follows_the_formula(batches, tmp_path):
    trainer = new_trainer(tmp_path, sam_ascent_batches=batches, **WITHOUT_DECAY)
    forwards = count_forwards(trainer)
    trainer.train()
    to_1e_12(layers_of(trainer), by_hand(10, lambda step: batches or 4))
    assert forwards.count == 10 * (4 + (batches or 4))
    assert trainer.gradient_evaluations == 10 * (1 + (batches or 4) / 4)


def test_ascent_batches_0_and_all_micro_batches_are_equal_bit_for_bit(tmp_path):
    exact, all_of_them = (new_trainer(tmp_path, sam_ascent_batches=n, **WITHOUT_DECAY) for n in (0, 4))
    exact.train()
    all_of_them.train()
    exactly(layers_of(all_of_them), layers_of(exact))


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"sam_start": 0.7}, [7, 8, 9]),
        ({"sam_start": 0.65}, [7, 8, 9]),
        ({"sam_start": 0.5, "sam_ascent_batches": 1}, [5, 6, 7, 8, 9]),
    ],
)
def test_sam_start_sets_the_first_step_of_sam(options, steps, tmp_path):
    trainer = new_trainer(tmp_path, **WITHOUT_DECAY, **options)
    trainer.train()
    batches = options.get("sam_ascent_batches", 4)
    to_1e_12(layers_of(trainer), by_hand(10, lambda step: batches if step in steps else 0))
    assert trainer.gradient_evaluations == 10 + len(steps) * batches / 4
    logged = [entry["step"] - 1 for entry in trainer.state.log_history if "sam/realised_rho" in entry]
    assert logged == steps


def count_forwards(trainer):
    forwards = SimpleNamespace(count=0)

    def hook(*_):
        forwards.count += 1

    trainer.model.register_forward_pre_hook(hook)
    return forwards


class Steps(Trainer):
    """Records the distance of the weights from their initial values at each forward."""

    def compute_loss(self, model, inputs, *others, **named):
        steps = [p.detach() - h.detach() for p, h in zip(model.parameters(), Network().parameters(), strict=True)]
        self.__dict__.setdefault("steps", []).append(torch.cat([step.flatten() for step in steps]))
        return super().compute_loss(model, inputs, *others, **named)


class SAMSteps(SAMMixin, Steps):
    pass


def random_steps(folder, **options):
    """The ascent steps of a run with random directions whose learning rate is 0."""
    settings = {"optim": "sgd", "sam_rho": 0.2, "sam_direction": "random", "learning_rate": 0.0, "max_steps": 3}
    trainer = new_trainer(folder, SAMSteps, **settings | options)
    trainer.train()
    generators = torch.get_rng_state()
    new_trainer(folder, **settings | options | {"sam_rho": 0.0}).train()
    exactly(torch.get_rng_state(), generators)
    exactly(list(trainer.model.parameters()), list(Network().parameters()))
    return trainer, torch.stack(trainer.steps)


def test_random_directions_have_length_rho_and_cost_one_pass(tmp_path):
    trainer, steps = random_steps(tmp_path)
    assert trainer.gradient_evaluations == 3
    assert len(steps) == 3 * 4
    assert "sam/grad_norm" not in trainer.state.log_history[0]
    to_1e_12(steps.norm(dim=1), torch.full((12,), 0.2, dtype=torch.float64))
    exactly(steps[0], steps[3])  # one step per window, another one in the next
    cosine = steps[0] @ steps[4] / 0.2**2
    assert abs(cosine) < 0.5
    assert len(steps[0].unique()) == len(steps[0])
    _, again = random_steps(tmp_path)
    exactly(again, steps)
    _, of_another_seed = random_steps(tmp_path, seed=43)
    assert (of_another_seed - steps).abs().max() > 0.01


def test_adaptive_random_directions_move_each_weight_in_proportion_to_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(sam, "ASAM_ETA", 0.0)
    _, steps = random_steps(tmp_path, sam_adaptive=True)
    weights = torch.cat([p.detach().flatten() for p in Network().parameters()])
    assert ((steps != 0) == (weights != 0)).all()
    scaled = (steps / weights.where(weights != 0, torch.inf)).norm(dim=1)  # T^-1 e has length rho
    to_1e_12(scaled, torch.full((12,), 0.2, dtype=torch.float64))


@pytest.mark.parametrize(("rho", "survives"), [(1.0, True), (1e-6, False)])
def test_the_share_of_the_step_that_survives_rounding_is_measured(rho, survives):
    w = nn.Parameter(torch.randn(50_000))
    w.grad = torch.randn(50_000)
    before, gradient = w.detach().double(), w.grad.double()
    with sam_ascent([w], rho, measure=True) as stats:
        step, exact = w.detach().double() - before, rho * gradient / gradient.norm()
    assert stats.realised_rho == pytest.approx(float(step.norm() / exact.norm()), rel=1e-3)
    assert stats.cosine == pytest.approx(float(step @ exact / (step.norm() * exact.norm())), abs=2e-3)
    assert (stats.realised_rho * stats.cosine > 0.5) == survives
    assert stats.grad_norm == pytest.approx(float(gradient.norm()), rel=1e-5)


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_whole_step_survives_in_fp32(adaptive):
    w = nn.Parameter(torch.randn(5_000))
    w.grad = torch.randn(5_000)
    norm = float(w.grad.norm())
    with sam_ascent([w], 0.05, adaptive=adaptive, measure=True) as stats:
        pass
    assert [stats.realised_rho, stats.cosine] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert stats.grad_norm == pytest.approx(norm, rel=1e-6)


def test_sam_does_not_change_training_on_a_linear_loss(tmp_path):
    def trained(rho):
        trainer = new_trainer(tmp_path, optim="adamw_torch", sam_rho=rho)
        trainer.model.forward = lambda x, labels: {"loss": (trainer.model.layers[0](x) * labels.sum()).sum()}
        trainer.train()
        return trainer.model.layers[0].weight.detach()

    to_1e_12(trained(0.5), trained(0.0))


def test_the_second_pass_gets_the_same_inputs_if_the_first_removes_them(tmp_path):
    class Popping(Trainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            taken = {name: inputs.pop(name) for name in list(inputs)}
            return super().training_step(model, taken, num_items_in_batch)

    class SAMPopping(SAMMixin, Popping):
        pass

    popping, plain = (new_trainer(tmp_path, c, sam_rho=0.2, max_steps=2) for c in (SAMPopping, SAMTrainer))
    popping.train()
    plain.train()
    exactly(list(popping.model.parameters()), list(plain.model.parameters()))


def test_gradients_of_weights_outside_the_optimizer_are_of_one_pass(tmp_path):
    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model, **_):
            self.seen = [p.grad.clone() for p in model.layers.parameters()]

    runs = []
    for rho in (0.0, 1e-300):
        trainer = new_trainer(tmp_path, sam_rho=rho, max_steps=1)
        trainer.optimizer = torch.optim.SGD(trainer.model.layers[0].parameters(), lr=0.1)
        trainer.add_callback(gradients := Gradients())
        trainer.train()
        runs.append(gradients.seen)
    exactly(*runs)


def run_with_a_loss_scale(folder, scale, **options):
    trainer = new_trainer(folder, optim="sgd", sam_rho=0.2, max_steps=4, **options)
    if scale:
        scaler = trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        # accelerate does this before clipping in fp16, which a CPU does not support.
        trainer.accelerator.unscale_gradients = lambda: scaler.unscale_(trainer.optimizer.optimizer)
    trainer.train()
    return trainer


@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_a_loss_scaler_does_not_change_the_trajectory(clip, tmp_path):
    plain, scaled = (run_with_a_loss_scale(tmp_path, scale, max_grad_norm=clip) for scale in (None, 2.0**16))
    to_1e_12(list(scaled.model.parameters()), list(plain.model.parameters()))
    assert scaled.gradient_evaluations == 8


def overflowing(trainer, first_pass):
    """Make the gradient infinite in each first pass (True), in each second pass (False), or in both (None)."""
    seen = SimpleNamespace(passes=0)

    def overflow(gradient):
        seen.passes += 1
        return gradient * torch.inf if first_pass is None or (seen.passes % 2 == 1) == first_pass else gradient

    trainer.model.layers[0].weight.register_hook(overflow)
    trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    return trainer


def test_an_overflow_in_the_first_pass_makes_a_plain_step(tmp_path):
    plain = new_trainer(tmp_path, optim="sgd", max_steps=1, gradient_accumulation_steps=1)
    plain.train()
    sam = new_trainer(tmp_path, optim="sgd", sam_rho=0.2, max_steps=1, gradient_accumulation_steps=1)
    overflowing(sam, first_pass=True).train()
    exactly(list(sam.model.parameters()), list(plain.model.parameters()))
    assert sam.accelerator.scaler.get_scale() == 4.0  # the scaler uses the second pass, which is finite


def test_the_scaler_skips_the_step_after_an_overflow_in_both_passes(tmp_path):
    trainer = new_trainer(tmp_path, optim="sgd", sam_rho=0.2, max_steps=1, gradient_accumulation_steps=1)
    overflowing(trainer, first_pass=None).train()
    exactly(list(trainer.model.parameters()), list(Network().parameters()))
    assert trainer.accelerator.scaler.get_scale() == 2.0


def test_the_scaler_skips_the_step_after_an_overflow_in_the_second_pass(tmp_path):
    trainer = new_trainer(tmp_path, optim="sgd", sam_rho=0.2, max_steps=1, gradient_accumulation_steps=1)
    overflowing(trainer, first_pass=False).train()
    exactly(list(trainer.model.parameters()), list(Network().parameters()))
    assert trainer.gradient_evaluations == 2
    assert trainer.accelerator.scaler.get_scale() == 2.0
