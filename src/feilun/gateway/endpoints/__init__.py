"""The endpoints: one file per group of paths, each with the shapes that go in and out.

This room knows the OpenAI API and our own ``/api``. It does not know where a key came from, which engine answers, or
who runs what it queues.
"""
