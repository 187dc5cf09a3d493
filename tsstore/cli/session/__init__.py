r"""The session of `tsstore connect`.

`lines` says what a line means, `source` reads lines, `run` carries them out on `stores`. `control`,
`golayout`, `timecells` and `controlled` are its `\load`.
"""
