"""From the bytes of an image file to RGB and to the canvas."""
