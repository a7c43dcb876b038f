"""Hot swap: the alias is watched, a new version opened and certified beside the old one, and traffic shifts to it."""
