"""The one image of all services: what it is made of, and what runs in it beside them."""
