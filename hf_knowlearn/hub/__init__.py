"""Publishes models, views and questions on the Hugging Face Hub.

A folder is staged with exactly the files to publish, and a card that is rendered from the report of the run. It is
searched for secrets, and then uploaded in one commit.
"""
