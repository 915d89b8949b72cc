"""Who plays the outside world: the provider and its customers, scenarios, the demo."""
