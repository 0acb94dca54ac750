"""From files on disk to examples: tables, formats, bounding boxes, weights, decisions."""
