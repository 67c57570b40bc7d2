"""Publishes models, views and questions on the Hugging Face Hub.

The files to publish and a card are written to a staging folder. The folder is searched for secrets. Then one commit
uploads it.
"""
