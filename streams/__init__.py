"""How stages run: topology, step(), the in-memory driver, the Faust runtime."""
