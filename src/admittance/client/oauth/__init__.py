"""The client's side of the authorization server."""
