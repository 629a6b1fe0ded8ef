"""Server-rendered pages over the same API as everybody else."""
