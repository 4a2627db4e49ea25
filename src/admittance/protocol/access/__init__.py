"""Who may do what on which device, when and how often."""
