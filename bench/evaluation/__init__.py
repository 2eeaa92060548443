"""Our exams against lm-evaluation-harness: the same prompts, the same scores, questions a second."""
