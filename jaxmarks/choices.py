"""Names that flags and configurations choose from, importable without JAX.

Each is the only table of its kind: a new backbone, loss, preset or format is a function or a file, and its name here.
"""

MODELS = {  # name: the file of jaxmarks/models that has the function of that name
    "resnet18": "resnet",
    "resnet50": "resnet",
    "inception_v3": "inception",
}
LOSSES = ("l2", "l1", "smooth_l1", "wing", "soft_wing", "enme")  # functions of jaxmarks/losses.py
PRESETS = ("none", "recipe", "light", "contest", "strong")  # constants of jaxmarks/augment/presets.py, in capitals
VIEWS = ("none", "flip", "standard")  # sets of views: jaxmarks.tta
MERGES = ("mean", "median", "trimmed")  # of views: jaxmarks.tta
FORMATS = {  # of data sets: files of pipelines/sources/formats, asked in this order; and what they are, in messages
    "contest": "a folder with train/landmarks.csv",
    "labelstudio": "a .json of tasks",
    "coco": "a .json of keypoints",
    "wflw": "a .txt list",
    "deeplabcut": "a project, or CollectedData_*.csv",
    "plain": "a .csv",
    "pts": "a folder of images and .pts files",
    "cvat": "a .xml of CVAT for images",
    "labelme": "a folder of LabelMe's .json files",
    "yolo": "a folder with data.yaml",
    "sleap": "a .slp of image files",
}
WRITTEN = tuple(name for name in FORMATS if name != "sleap")  # those that can be written
EXPORTS = ("stablehlo", "onnx")  # files of a network: pipelines.export.model_file
PIXELS = ("uint8", "float32")  # that such a network takes
