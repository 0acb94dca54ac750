"""Data pipelines: from files to batches for a device, and from predictions to files and pages."""

import os

from pipelines.images.headers import MAX_PIXELS

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))  # OpenCV reads it once, when it is imported
