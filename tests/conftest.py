"""What holds for every test."""

from hypothesis import settings

# A busy machine must not make a right answer wrong.
settings.register_profile("sonho", deadline=None)
settings.load_profile("sonho")
