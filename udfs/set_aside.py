"""Records in `rejected` that are no texts: annotations and scores set aside, told by how their reason begins."""

from __future__ import annotations

ANNOTATION, SCORE = "annotation_", "score_"
NO_TEXT = f"^({ANNOTATION}|{SCORE})"
"""What their reasons match. No load accounts for them, and by its digest such a record is known when its file comes
again."""
