"""``hrdet predict``: pictures in; drawn pictures, COCO's format and a table out."""
