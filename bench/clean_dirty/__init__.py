"""Whether curation makes a better model: what dirt looks like, and two trainings that differ in nothing else."""
