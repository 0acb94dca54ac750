"""From a configuration to the functions of a run: network, optimiser, scheme, step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax
from jax.sharding import Mesh

from jaxmarks import augment, backend, keys, landmarks, losses, models, words
from jaxmarks.config import Config
from jaxmarks.landmarks import Scheme
from jaxmarks.training import defaults, optimizer, sharding, state, step
from jaxmarks.types import State


class Assembly(NamedTuple):
    """Everything a run computes with; `steps` is where it ends."""

    config: Config
    key: jax.Array
    model: models.Model
    scheme: Scheme
    mesh: Mesh
    steps: int
    steps_per_epoch: int

    def split(self, tree):
        """A batch on the devices, each with its share."""
        return sharding.split(self.mesh, tree)


def assemble(config: Config, key: jax.Array, scheme: Scheme, photographs: int, mesh: Mesh | None = None) -> Assembly:
    """The run of `photographs` training examples. Raises ValueError, before anything is compiled, on what cannot be."""
    config.check()
    backend.release_after_compilation()
    augment.configure(config.augment, scheme.mirror is not None)
    mesh = mesh or sharding.mesh()
    sharding.check_batch(config.batch, mesh.size, config.accumulate)
    steps = defaults.steps(config, photographs)
    per_epoch = max(1, photographs // config.batch)
    model = models.build(config.model, scheme.num_points, precision=config.precision)
    optimizer.rate(config, steps)  # raises what the schedule rejects
    if config.freeze and not optimizer.frozen_steps(config, per_epoch):
        raise ValueError(f"--freeze {config.freeze:g} is less than a step: an epoch has {per_epoch}")
    return Assembly(config, key, model, scheme, mesh, steps, per_epoch)


def remarks(a: Assembly) -> list[str]:
    """What a person should know of the run before it starts, a line each."""
    points, top, keep = a.scheme.num_points, a.config.trim_top, a.config.trim_keep
    found = [f"{words.counted(points, 'point')}{_mirroring(a)}"]
    if (top, keep) != (0, 1):
        first, last = losses.band(top, keep, a.config.batch)
        found.append(
            f"trimmed: of {a.config.batch} the worst {first} and the easiest {a.config.batch - last} are left out"
        )
        if top and not first:
            found.append(
                f"--trim-top {top:g} of {a.config.batch} is none; {1 / a.config.batch:g} is the least that is one"
            )
    found += _idle(a)
    if backend.is_cpu() and a.config.model != "resnet18":
        found.append(
            f"{a.config.model} takes seconds a step on a CPU; --recipe small is made for one, and takes minutes"
        )
    if frozen := optimizer.frozen_steps(a.config, a.steps_per_epoch):
        random = "" if a.config.init_from else "; it is random: --init-from gives it something to keep"
        how_long = f"for {words.counted(frozen, 'step')}" if frozen < a.steps else "all the time"
        found.append(f"the backbone stands still {how_long}{random}")
    return found


def _mirroring(a: Assembly) -> str:
    """What says how the points mirror."""
    mirror, known = a.scheme.mirror, landmarks.scheme(a.scheme.num_points).mirror
    if mirror is None:
        return ", and how they mirror is not known: trained unmirrored; scripts/symmetry.py finds it"
    if a.config.scheme:
        return f", mirrored as {a.config.scheme} says"
    if known is None or (mirror != known).any():
        return ", mirrored as the scheme file says that the run began with"
    return " in the order known for so many; scripts/symmetry.py --check known tests that"


def _idle(a: Assembly) -> list[str]:
    """Settings that do nothing, or less than they say."""
    c, plain, found = a.config, Config(), []
    if c.precision == "tf32" and backend.is_cpu():
        found.append("--precision tf32 is float32 on a CPU")
    if c.precision == "bfloat16" and backend.is_cpu() and "amx_bf16" not in backend.instruction_sets():
        found.append(
            "--precision bfloat16 gains nothing on this processor, which has no AMX: float32 is faster and exact"
        )
    if c.thaw_lr != 1 and not c.freeze:
        found.append("--thaw-lr does nothing without --freeze")
    for name in ("plateau_factor", "plateau_patience"):
        if c.schedule != "plateau" and getattr(c, name) != getattr(plain, name):
            found.append(f"--{name.replace('_', '-')} does nothing under --schedule {c.schedule}")
    if c.steps and c.epochs:
        found.append(f"--epochs {c.epochs:g} does nothing beside --steps {c.steps}, which decides")
    if c.fold and c.val_fraction not in (plain.val_fraction, defaults.SHARE):
        found.append("--val-fraction does nothing with --fold, which says what validates")
    if c.warmup > a.steps // 2 and c.schedule != "onecycle":
        found.append(f"the warm-up takes half of the run, {words.counted(a.steps // 2, 'step')}")
    return found


def describe(a: Assembly) -> list[str]:
    """What the run will do and take, a line each."""
    devices = "1 device" if a.mesh.size == 1 else f"{a.mesh.size} devices"
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template(a)))
    return [
        f"{words.counted(a.steps, 'step')} of {a.config.batch} on {devices}; {a.config.model} at {a.config.size} px",
        f"a checkpoint takes {words.size(size)}; four are kept, and about one for every tenth of the run",
    ]


def _optimiser(a: Assembly, schedule: optax.Schedule | None = None):
    return optimizer.make(a.config, a.steps, a.steps_per_epoch, schedule)


def first_key(a: Assembly) -> jax.Array:
    """The key that a network's first weights are drawn with."""
    return keys.named(a.key, "init")


def _begin(a: Assembly) -> Callable:
    def begin(weights):
        params, stats = weights or a.model.init(first_key(a), a.config.size)
        return state.beginning(_optimiser(a), params, stats, bool(a.config.ema))

    return begin


def initial_state(a: Assembly, weights: tuple[dict, dict] | None = None) -> State:
    """Step 0, on every device; weights: (params, stats) to begin with, else drawn from the run's key."""
    return sharding.replicate(a.mesh, jax.jit(_begin(a))(weights))


def template(a: Assembly) -> State:
    """The shapes of a state, nothing computed."""
    return jax.eval_shape(_begin(a), None)


def place(a: Assembly, saved: State) -> State:
    """A restored state, on every device."""
    return sharding.replicate(a.mesh, saved)


def training_step(a: Assembly, schedule: optax.Schedule | None = None) -> Callable:
    """step(state, batch) -> (state, record); schedule: the head's rate by step, in place of the configuration's."""
    frozen = optimizer.frozen_steps(a.config, a.steps_per_epoch)
    tx = _optimiser(a, schedule)
    return step.make_step(a.model, tx, a.key, a.config, a.scheme, a.steps, a.mesh, frozen=frozen, schedule=schedule)


def render(a: Assembly) -> Callable:
    """render(batch) -> (images, points) as the training step sees them."""
    return jax.jit(step.make_render(a.key, a.config, a.scheme, a.mesh))
