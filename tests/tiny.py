"""What tests of the step and of the loop share: a tiny configuration, a batch from nothing, two small networks."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxmarks import experiment, keys, models
from jaxmarks.config import Config
from jaxmarks.training import forward, step
from jaxmarks.types import Batch

CONFIG = Config(model="resnet18", size=32, batch=8, steps=4, augment="auto", val_fraction=0.0, warmup=0)


def batch_of(seed=0, batch=8, points=5, size=32):
    random = np.random.RandomState(seed)
    side = 40
    centred = np.tile(np.array([[1, 0, -4], [0, 1, -4]], np.float32), (batch, 1, 1))
    return Batch(
        image=random.randint(0, 256, (batch, side, side, 3)).astype(np.uint8),
        points=(size * random.rand(batch, points, 2)).astype(np.float32),
        mask=np.ones((batch, points), bool),
        frame=centred.astype(np.float64),
        index=np.arange(batch, dtype=np.int32),
        draw=keys.draws(8 * seed, batch, 100).astype(np.int32),
        fit=centred,
        extent=np.tile(np.array([0, 0, side - 1, side - 1], np.float32), (batch, 1)),
        diagonal=np.full(batch, side * np.sqrt(2), np.float32),
    )


def thumbnails(image):
    """[batch, 32, 32, 3] -> [batch, 48], about -1..1."""
    return image.reshape(-1, 4, 8, 4, 8, 3).mean((2, 4)).reshape(-1, 48) / 128 - 1


def step_of(plan: experiment.Experiment, tx, **options):
    """The training step of a run with another optimizer."""
    c = plan.config
    objective = forward.Objective(c.loss, c.loss_unit, c.trim_top, c.trim_keep)
    settings = {"render": plan.render(), "accumulate": c.accumulate, **options}
    return step.make_step(plan.model, tx, objective=objective, schedule=lambda _: 0.0, size=c.size, **settings)


class Linear:
    """A network of one matrix: cheap, smooth, no batch norm, for tests of what is around it."""

    @staticmethod
    def init(key, size):
        return {"head": {"kernel": 0.01 * jax.random.normal(key, (48, 10))}}, {}

    @staticmethod
    def apply(params, stats, image, train):
        return (thumbnails(image) @ params["head"]["kernel"]).reshape(-1, 5, 2), stats


LINEAR = models.Model(Linear.init, Linear.apply)


class Normed:
    """A backbone of one matrix with batch norm, and a head: the least network with something to freeze."""

    @staticmethod
    def init(key, size):
        first, last = jax.random.split(key)
        backbone = {"kernel": jax.random.normal(first, (48, 6)), "scale": jnp.ones(6)}
        head = {"kernel": 0.1 * jax.random.normal(last, (6, 10)), "bias": jnp.zeros(10)}
        return {"backbone": backbone, "head": head}, {"backbone": {"mean": jnp.zeros(6), "var": jnp.ones(6)}}

    @staticmethod
    def apply(params, stats, image, train):
        hidden, old = thumbnails(image) @ params["backbone"]["kernel"], stats["backbone"]
        used = {"mean": jnp.mean(hidden, 0), "var": jnp.var(hidden, 0)} if train else old
        after = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, old, used) if train else old
        scaled = params["backbone"]["scale"][None] * (hidden - used["mean"][None])
        features = jnp.tanh(scaled / jnp.sqrt(used["var"] + 1e-5)[None])
        points = (features @ params["head"]["kernel"] + params["head"]["bias"][None]).reshape(-1, 5, 2)
        return points, {"backbone": after}


NORMED = models.Model(Normed.init, Normed.apply)
