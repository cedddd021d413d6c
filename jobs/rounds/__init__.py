"""Rounds of distillation: from drawn rows to a sealed student and its evaluation."""
