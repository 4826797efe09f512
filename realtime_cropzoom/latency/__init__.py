"""How long the loop takes, from a frame that is handed over to a trigger output that is written.

``trials`` joins what a run and a trigger process have left; ``software`` makes them, with the arena's animal
that jumps at known times; ``hardware`` measures with a light that the camera sees; ``report`` puts
it into words and a picture.
"""
