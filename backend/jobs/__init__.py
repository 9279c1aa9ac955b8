"""Background work: tasks, the in-process queue, and Celery."""
