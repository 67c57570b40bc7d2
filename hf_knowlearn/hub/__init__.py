"""Publishing on the Hub: cards made from a report, staged folders, a search for secrets, and one commit."""
