"""A simulated program, to see what the flags of relationships at risk catch: causes that no rule sees, played through the platform's own rules."""
