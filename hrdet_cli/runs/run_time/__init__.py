"""How long a planned run will take, by what such steps took before."""
