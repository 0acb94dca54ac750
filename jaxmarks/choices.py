"""Names that flags and configurations choose from, importable without JAX.

A new backbone, loss, preset or format has its line here as well; a test holds these names and what they stand for together.
"""

MODELS = ("resnet18", "resnet50", "inception_v3")  # jaxmarks.models.NAMES
LOSSES = ("l2", "l1", "smooth_l1", "wing", "soft_wing", "enme")  # jaxmarks.losses.NAMES
PRESETS = ("none", "recipe", "light", "contest", "strong")  # jaxmarks.augment.presets.PRESETS
VIEWS = ("none", "flip", "standard")  # sets of views: jaxmarks.tta
MERGES = ("mean", "median", "trimmed")  # of views: jaxmarks.tta
FORMATS = ("contest", "coco", "wflw", "deeplabcut", "plain", "pts")  # of data sets: pipelines.sources.formats.FORMATS
EXPORTS = ("stablehlo", "onnx")  # files of a network: pipelines.export.model_file
PIXELS = ("uint8", "float32")  # that such a network takes
