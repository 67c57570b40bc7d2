"""The commands of `knowlearn`, one file each."""
