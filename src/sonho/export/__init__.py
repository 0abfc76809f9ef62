"""What a model wrote in other forms: tunes as MIDI and sound, sound as WAV and pictures, molecules counted.

Light wing: NumPy, and mido, Pillow or RDKit where they are asked for.
"""
