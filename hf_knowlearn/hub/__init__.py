"""Publishes models, views and questions on the Hugging Face Hub.

The files to publish and a card are written to a staging folder. This folder is searched for secrets, and then uploaded
in one commit.
"""
