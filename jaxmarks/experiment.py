"""Experiment: a run as one object, with its components and the functions made of them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import optax
from jax.sharding import Mesh

from jaxmarks import augment, backend, inference, keys, landmarks, losses, models, tta, words
from jaxmarks.config import Config
from jaxmarks.landmarks import Scheme
from jaxmarks.training import defaults, forward, optimizer, rendering, sharding, shards, state, step
from jaxmarks.types import Batch, Record, State


class Experiment(NamedTuple):
    """A run's configuration and what follows from it; made by `assemble`, and nothing is compiled before it is needed.

    Its life: `initial_state`, or `template` to restore into and `place`; `training_step` for every batch; `member` to
    validate and predict. `render` shows what a step sees.
    """

    config: Config
    key: jax.Array
    model: models.Model
    scheme: Scheme
    mesh: Mesh
    steps: int  # where it ends
    steps_per_epoch: int

    @property
    def frozen(self) -> int:
        """The steps, from 0, in which the backbone keeps its bits."""
        return optimizer.frozen_steps(self.config, self.steps_per_epoch)

    @property
    def first_key(self) -> jax.Array:
        """The key that a network's first weights are drawn with."""
        return keys.named(self.key, "init")

    def optimizer(self, schedule: optax.Schedule | None = None) -> optax.GradientTransformationExtraArgs:
        """Return the optimizer.

        Args:
            schedule: the head's rate by step, in place of the configuration's; None: that one.

        Returns:
            clipping, AdamW and plateau, as `optimizer.make` has it.
        """
        return optimizer.make(self.config, self.steps, self.steps_per_epoch, schedule)

    def _begin(self, weights: tuple[dict, dict] | None) -> State:
        params, stats = weights or self.model.init(self.first_key, self.config.size)
        return state.beginning(self.optimizer(), params, stats, bool(self.config.ema))

    def initial_state(self, weights: tuple[dict, dict] | None = None) -> State:
        """Return step 0, on every device.

        Args:
            weights: (params, stats) to begin with; None: drawn from the run's key.

        Returns:
            the state, replicated.
        """
        return self.place(jax.jit(self._begin)(weights))

    def template(self) -> State:
        """Return the shapes of a state, nothing computed."""
        return jax.eval_shape(self._begin, None)

    def place(self, saved: State) -> State:
        """Return a restored state on every device.

        Args:
            saved: a state on the host.

        Returns:
            the state, replicated.
        """
        return sharding.replicate(self.mesh, saved)

    def split(self, batch: Batch) -> Batch:
        """Return a batch on the devices, each with its share.

        Args:
            batch: on the host, of as many examples as the devices divide.

        Returns:
            the batch, its leading axes split.
        """
        return sharding.split(self.mesh, batch)

    def _render(self, over: Mesh | None) -> Callable[[Batch], rendering.Rendered]:
        config = augment.configure(self.config.augment, self.scheme.mirror is not None)
        return rendering.make_render(self.key, config, self.scheme, self.config.size, over)

    def render(self) -> Callable[[Batch], rendering.Rendered]:
        """Return the jitted rendering of batches.

        Returns:
            render(batch), the batch as the training step sees it.
        """
        return jax.jit(self._render(self.mesh))

    def training_step(self, schedule: optax.Schedule | None = None) -> Callable[[State, Batch], tuple[State, Record]]:
        """Return the training step, jitted.

        Args:
            schedule: the head's rate by step, in place of the configuration's; None: that one.

        Returns:
            step(state, batch) -> (state, record), as `step.make_step` has it.
        """
        c, tx = self.config, self.optimizer(schedule)
        objective = forward.Objective(c.loss, c.loss_unit, c.trim_top, c.trim_keep)
        rate, rest = schedule or optimizer.rate(c, self.steps, self.frozen), {"ema": c.ema, "frozen": self.frozen}
        if c.shards > 1:
            one = self._render(None)
            return shards.make_step(
                self.model, tx, one, objective, rate, c.size, shards=c.shards, over=self.mesh, **rest
            )
        rest |= {"accumulate": c.accumulate, "out": sharding.whole(self.mesh) if self.mesh.is_multi_process else None}
        return step.make_step(self.model, tx, self._render(self.mesh), objective, rate, c.size, **rest)

    def member(self, views: str) -> Callable[[State], inference.Member]:
        """Return the function that makes the run a member of an ensemble.

        Args:
            views: a set of views, as `tta.view_configs` takes it.

        Returns:
            member(state), with the state's weights folded, on the devices of this process.

        Raises:
            ValueError: as `tta.view_configs`.
        """
        mine = sharding.local(self.mesh)
        network = inference.make_network(self.model, self.scheme, self.config.size, mine)
        chosen = tta.views(views, self.scheme.mirror is not None, self.config.size)

        def member(now: State) -> inference.Member:
            weights = state.judged(now)
            if mine is not self.mesh:  # of several processes each predicts by itself
                weights = sharding.replicate(mine, jax.device_get(weights))
            return inference.Member(network, self.model.fold(*weights), chosen, mine)

        return member


def assemble(config: Config, key: jax.Array, scheme: Scheme, images: int, mesh: Mesh | None = None) -> Experiment:
    """Return the experiment of a configuration; nothing is compiled.

    Args:
        config: the run's.
        key: its root key.
        scheme: of its points.
        images: number of training examples.
        mesh: the devices; None: all.

    Returns:
        the experiment.

    Raises:
        ValueError: for settings that no run can have.
    """
    config.check()
    backend.release_after_compilation()
    augment.configure(config.augment, scheme.mirror is not None)
    mesh = mesh or sharding.mesh()
    if config.shards > 1:
        shards.check(config.shards, config.batch, mesh.size)
    sharding.check_batch(config.batch, mesh.size, config.accumulate)
    steps = defaults.steps(config, images)
    per_epoch = max(1, images // config.batch)
    model = models.build(config.model, scheme.num_points, precision=config.precision)
    optimizer.rate(config, steps)  # raises what the schedule rejects
    found = Experiment(config, key, model, scheme, mesh, steps, per_epoch)
    if config.freeze and not found.frozen:
        raise ValueError(f"`freeze` {config.freeze:g} is less than a step: an epoch has {per_epoch}")
    return found


def remarks(a: Experiment) -> list[str]:
    """Return what a person should know of a run before it starts.

    Args:
        a: the experiment.

    Returns:
        a line each.
    """
    points, top, keep = a.scheme.num_points, a.config.trim_top, a.config.trim_keep
    found = [f"{words.counted(points, 'point')}{_mirroring(a)}"]
    if (top, keep) != (0, 1):
        first, last = losses.band(top, keep, a.config.batch)
        found.append(
            f"trimmed: of {a.config.batch} the worst {first} and the easiest {a.config.batch - last} are left out"
        )
        if top and not first:
            found.append(
                f"`trim_top` {top:g} of {a.config.batch} leaves out no image; {1 / a.config.batch:g} leaves out one"
            )
    found += _idle(a)
    if backend.is_cpu() and a.config.model != "resnet18":
        found.append(
            f"{a.config.model} takes seconds a step on a CPU; `recipe` small is made for one, and takes minutes"
        )
    if frozen := a.frozen:
        random = "" if a.config.init_from else "; it is random: `init_from` gives it something to keep"
        how_long = f"for {words.counted(frozen, 'step')}" if frozen < a.steps else "all the time"
        found.append(f"the backbone is frozen {how_long}{random}")
    return found


def _mirroring(a: Experiment) -> str:
    """What says how the points mirror."""
    mirror, known = a.scheme.mirror, landmarks.scheme(a.scheme.num_points).mirror
    if mirror is None:
        return ", and how they mirror is not known: trained unmirrored; scripts/symmetry.py finds it"
    if a.config.scheme:
        return f", mirrored as {a.config.scheme} says"
    if known is None or (mirror != known).any():
        return ", mirrored as its files say (flip_idx), or the scheme file that the run began with"
    return (
        f", mirrored as in the known list of {a.scheme.num_points}; scripts/symmetry.py --check known tests on 40 objects or"
        " more whether yours is in that order"
    )


def _idle(a: Experiment) -> list[str]:
    """Settings that do nothing, or less than they say."""
    c, plain, found = a.config, Config(), []
    if c.precision == "tf32" and backend.is_cpu():
        found.append("`precision` tf32 is float32 on a CPU")
    if c.precision == "bfloat16" and backend.is_cpu() and "amx_bf16" not in backend.instruction_sets():
        found.append(
            "`precision` bfloat16 gains nothing on this processor, which has no AMX: float32 is faster and exact"
        )
    if c.thaw_lr != 1 and not c.freeze:
        found.append("`thaw_lr` does nothing without `freeze`")
    for name in ("plateau_factor", "plateau_patience"):
        if c.schedule != "plateau" and getattr(c, name) != getattr(plain, name):
            found.append(f"`{name}` does nothing under `schedule` {c.schedule}")
    if c.steps and c.epochs:
        found.append(f"`epochs` {c.epochs:g} does nothing beside `steps` {c.steps}, which decides")
    if c.fold and c.val_fraction not in (plain.val_fraction, defaults.SHARE):
        found.append("`val_fraction` does nothing with `fold`, which says what validates")
    if c.warmup > a.steps // 2 and c.schedule != "onecycle":
        found.append(f"the warm-up takes half of the run, {words.counted(a.steps // 2, 'step')}")
    return found


def describe(a: Experiment) -> list[str]:
    """Return what a run will do and take.

    Args:
        a: the experiment.

    Returns:
        a line each.
    """
    devices = "1 device" if a.mesh.size == 1 else f"{a.mesh.size} devices"
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(a.template()))
    return [
        f"{words.counted(a.steps, 'step')} of {a.config.batch} on {devices}; {a.config.model} at {a.config.size} px",
        f"a checkpoint takes {words.size(size)}; four are kept, and about one for every tenth of the run",
    ]
