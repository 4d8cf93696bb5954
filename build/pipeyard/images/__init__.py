"""Container images of components: content-addressed, built only when the registry lacks them."""
