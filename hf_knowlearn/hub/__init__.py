"""Publishing on the Hub: cards are made from a report, folders are staged and searched for secrets, and one commit
uploads them."""
