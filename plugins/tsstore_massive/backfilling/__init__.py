"""History by REST: `massive_backfiller`, and what the worker fetches like it."""
